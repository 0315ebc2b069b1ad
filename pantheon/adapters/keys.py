"""The signing key in a file: made on first use, readable by its owner alone, outside every work tree.

Invariants:
- a key file that others can read, that is a link, or that lies inside the repository is refused, and so is a
  folder in which others could exchange it;
- the file appears whole or not at all, and is never overwritten;
- no key is made where the public half of another one says that it was lost;
- beside it stands the public half as PEM, for any other verifier, put right whenever the key is opened.

Blocking on purpose: the key is opened before there is an event loop, or in a thread.
"""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pantheon.core.dsse import key_id
from pantheon.core.errors import SignatureError
from pantheon.ports.crash_points import CrashPoint, reach


class FileSigner:
    """``ports.signer.Signer`` with the private key in memory. Make it with ``open``."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._public = key.public_key().public_bytes_raw()

    @classmethod
    def open(cls, path: Path, *, outside: Path | None = None) -> "FileSigner":
        """Read the key, making it first when there is none.

        Args:
            path: the private key's file (PKCS 8, PEM).
            outside: folder the key must not be in, the repository.

        Raises:
            SignatureError: the file is not a private key that only its owner can read.
        """
        if outside is not None:
            refuse_inside(path, outside)
        return cls(open_key(path))

    @property
    def key_id(self) -> str:
        return key_id(self._public)

    @property
    def public_key(self) -> bytes:
        return self._public

    async def sign(self, data: bytes) -> bytes:
        reach(CrashPoint.SIGN_BEFORE)
        signature = self._key.sign(data)
        reach(CrashPoint.SIGN_AFTER)
        return signature


def refuse_inside(path: Path, folder: Path) -> None:
    """Refuse a key that lies in a repository. Raises ``SignatureError``."""
    if path.resolve().is_relative_to(folder.resolve()):
        raise SignatureError(
            f"{path} lies inside the repository {folder}",
            hint="Keep the key outside: set XDG_CONFIG_HOME to a folder elsewhere.",
        )


def open_credential(path: Path) -> Ed25519PrivateKey:
    """Return the private key that the service manager has laid out for this service alone.

    It belongs to the manager and is opened by an access list, so that its owner and group say nothing.

    Raises:
        SignatureError: it is missing, open to everybody, or no key.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode) or stat.S_IMODE(found.st_mode) & 0o007:
                raise SignatureError(f"{path} can be read by everybody")
            return _parse(path, file.read(10_000))
    except OSError as error:
        raise SignatureError(f"{path}: {error.strerror or error}") from error


def open_key(path: Path) -> Ed25519PrivateKey:
    """Return the private key of a file, making it first when there is none.

    Raises:
        SignatureError: the file is not a private key that only its owner can read.
    """
    try:
        if not os.path.lexists(path):
            _refuse_lost(path)
            _create(path)
        _check_folder(path.parent)
        key = _read(path)
        _publish(path, key.public_key().public_bytes_raw())
        return key
    except OSError as error:
        raise SignatureError(f"{path}: {error.strerror or error}") from error


def public_pem_path(path: Path) -> Path:
    """Return where the public half of a key file stands."""
    return path.with_name(path.name + ".pub.pem")


def read_public_key(path: Path) -> bytes:
    """Return the raw public key of a PEM file. Raises ``SignatureError``."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            key = serialization.load_pem_public_key(file.read(10_000))
    except OSError as error:
        raise SignatureError(f"{path}: {error.strerror or error}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SignatureError(f"{path} is not a public key in PEM form") from error
    if not isinstance(key, Ed25519PublicKey):
        raise SignatureError(f"{path} is not an Ed25519 key")
    return key.public_bytes_raw()


def _refuse_lost(path: Path) -> None:
    """Refuse a new key beside the public half of another: what that one has signed would be nobody's any more."""
    public = public_pem_path(path)
    # Looked at after the public half, for another process may make both just now, the private one first.
    if os.path.lexists(public) and not os.path.lexists(path):
        raise SignatureError(
            f"there is no private key at {path}, but the public half of {key_id(read_public_key(public))} beside it",
            hint=f"Put that key back. If it is lost for good, move {public} away, and a new key is made.",
        )


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    private = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    temporary = _temporary(path)
    try:
        _write_new(temporary, private, 0o600)
        # A link, not a rename: whoever is second must not replace a key that has signed already.
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


def _publish(path: Path, public_key: bytes) -> None:
    public = public_pem_path(path)
    pem = Ed25519PublicKey.from_public_bytes(public_key).public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    if public.is_file() and not public.is_symlink() and public.read_bytes() == pem:
        return
    temporary = _temporary(public)
    try:
        _write_new(temporary, pem, 0o644)
        temporary.replace(public)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}")


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _check_folder(folder: Path) -> None:
    found = folder.stat()
    if found.st_uid not in (os.geteuid(), 0) or stat.S_IMODE(found.st_mode) & 0o022:
        raise SignatureError(f"others could exchange the key in {folder}", hint=f"chmod 700 {folder}")


def _write_new(path: Path, data: bytes, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(handle)


def _read(path: Path) -> Ed25519PrivateKey:
    if path.is_symlink():
        raise SignatureError(f"{path} is a symbolic link", hint="Put the key itself there.")
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise SignatureError(f"{path} is not a regular file of this user")
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise SignatureError(f"{path} can be read by others", hint=f"chmod 600 {path}")
        return _parse(path, file.read(10_000))


def _parse(path: Path, data: bytes) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SignatureError(f"{path} is not a private key in PEM form") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SignatureError(f"{path} is not an Ed25519 key")
    return key
