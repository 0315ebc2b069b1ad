"""The signing key in a file: made on first use, readable by its owner alone, outside every work tree.

Invariants:
- a key file that others can read, that is a link, or that lies inside the repository is refused;
- the file appears whole or not at all, and is never overwritten;
- beside it stands the public half as PEM, for any other verifier.
"""

import os
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pantheon.core.dsse import key_id
from pantheon.core.errors import SignatureError


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
        if outside is not None and path.resolve().is_relative_to(outside.resolve()):
            raise SignatureError(
                f"{path} lies inside the repository {outside}",
                hint="Keep the key outside: set XDG_CONFIG_HOME to a folder elsewhere.",
            )
        try:
            if not os.path.lexists(path):
                _create(path)
            return cls(_read(path))
        except OSError as error:
            raise SignatureError(f"{path}: {error.strerror or error}") from error

    @property
    def key_id(self) -> str:
        return key_id(self._public)

    @property
    def public_key(self) -> bytes:
        return self._public

    async def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)


def public_pem_path(path: Path) -> Path:
    """Return where the public half of a key file stands."""
    return path.with_name(path.name + ".pub.pem")


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    _write_new(temporary, private, 0o600)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return
    finally:
        temporary.unlink()
    public_path = public_pem_path(path)
    public_path.unlink(missing_ok=True)
    _write_new(public_path, public, 0o644)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _write_new(path: Path, data: bytes, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(handle)


def _read(path: Path) -> Ed25519PrivateKey:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise SignatureError(f"{path} is not a regular file of this user")
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise SignatureError(f"{path} can be read by others", hint=f"chmod 600 {path}")
        data = file.read(10_000)
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SignatureError(f"{path} is not a private key in PEM form") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SignatureError(f"{path} is not an Ed25519 key")
    return key
