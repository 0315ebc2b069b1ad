"""The key file is made once, belongs to its owner alone, and is refused in every other shape."""

import os
import shutil
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from pantheon.adapters.keys import FileSigner, public_pem_path
from pantheon.core.dsse import PAYLOAD_TYPE, pae
from pantheon.core.errors import SignatureError


def test_the_first_use_makes_the_key(tmp_path: Path) -> None:
    """Mode 0600 in a folder of mode 0700, whatever the umask; nothing else is left behind."""
    path = tmp_path / "a" / "keys" / "night.ed25519"
    before = os.umask(0)
    try:
        signer = FileSigner.open(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert sorted(os.listdir(path.parent)) == ["night.ed25519", "night.ed25519.pub.pem"]
    assert FileSigner.open(path).public_key == signer.public_key


def test_two_first_uses_at_once_agree_on_one_key(tmp_path: Path) -> None:
    """Whoever comes second takes the key of whoever came first."""
    path = tmp_path / "keys" / "k"
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: FileSigner.open(path).public_key, range(16)))
    assert len(keys) == 1
    assert sorted(os.listdir(path.parent)) == ["k", "k.pub.pem"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o622, 0o777])
def test_a_key_that_others_can_touch_is_refused(tmp_path: Path, mode: int) -> None:
    """The message says how to mend it."""
    path = tmp_path / "keys" / "k"
    FileSigner.open(path)
    path.chmod(mode)
    with pytest.raises(SignatureError, match="chmod 600"):
        FileSigner.open(path)


def test_a_folder_in_which_others_could_exchange_the_key_is_refused(tmp_path: Path) -> None:
    """A private file in a public folder is not private."""
    path = tmp_path / "keys" / "k"
    FileSigner.open(path)
    path.parent.chmod(0o777)
    with pytest.raises(SignatureError, match="chmod 700"):
        FileSigner.open(path)


def test_a_link_is_refused(tmp_path: Path) -> None:
    """Also when it leads to a sound key, and also when it leads nowhere: nothing is made behind it."""
    real = tmp_path / "real" / "k"
    FileSigner.open(real)
    for target in (real, tmp_path / "nowhere"):
        link = tmp_path / f"link-to-{target.name}"
        link.symlink_to(target)
        with pytest.raises(SignatureError, match="symbolic link"):
            FileSigner.open(link)
    assert not (tmp_path / "nowhere").exists()


def test_a_key_inside_the_repository_is_refused(tmp_path: Path) -> None:
    """Directly, through a linked folder, or as a link to one: no key where a commit could take it."""
    repository = tmp_path / "repository"
    repository.mkdir()
    inside = repository / ".keys"
    (tmp_path / "elsewhere").symlink_to(inside)
    for path in (inside / "k", tmp_path / "elsewhere" / "k"):
        with pytest.raises(SignatureError, match="inside the repository"):
            FileSigner.open(path, outside=repository)
    assert not inside.exists()


def test_what_is_no_key_is_refused(tmp_path: Path) -> None:
    """Rubbish, an empty file, a folder, a pipe and a key of another kind are each a SignatureError."""
    other = X25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for number, data in enumerate((b"", b"rubbish", other)):
        path = tmp_path / f"k{number}"
        path.write_bytes(data)
        path.chmod(0o600)
        with pytest.raises(SignatureError):
            FileSigner.open(path)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("folder", "pipe"):
        with pytest.raises(SignatureError):
            FileSigner.open(tmp_path / name)


def test_a_lost_or_changed_public_half_is_put_right(tmp_path: Path) -> None:
    """A kill between the two files, or a hand that changed one, heals at the next use."""
    path = tmp_path / "keys" / "k"
    FileSigner.open(path)
    public = public_pem_path(path)
    good = public.read_bytes()
    public.unlink()
    FileSigner.open(path)
    assert public.read_bytes() == good
    public.write_bytes(b"rubbish")
    FileSigner.open(path)
    assert public.read_bytes() == good


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
async def test_openssl_verifies_what_was_signed(tmp_path: Path) -> None:
    """The public half is all that an independent verifier needs; another type does not verify."""
    signer = FileSigner.open(tmp_path / "keys" / "k")
    signature = tmp_path / "signature"
    signature.write_bytes(await signer.sign(pae(PAYLOAD_TYPE, b"{}")))
    for kind, expected in ((PAYLOAD_TYPE, 0), ("application/json", 1)):
        signed = tmp_path / "signed"
        signed.write_bytes(pae(kind, b"{}"))
        public = public_pem_path(tmp_path / "keys" / "k")
        done = subprocess.run(  # noqa: ASYNC221 (nothing else runs on this loop)
            ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", str(public), "-in", str(signed),
             "-sigfile", str(signature)],
            capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == expected, done.stderr


def test_a_lost_key_is_not_replaced_in_silence(tmp_path: Path) -> None:
    """Where the public half of another key stands, no new one is made: it says which was lost, and what to do."""
    path = tmp_path / "keys" / "k"
    lost = FileSigner.open(path)
    path.unlink()
    with pytest.raises(SignatureError) as refused:
        FileSigner.open(path)
    assert lost.key_id in refused.value.message
    assert not path.exists()
    public_pem_path(path).unlink()
    assert FileSigner.open(path).key_id != lost.key_id
