"""Attacks on whom the night takes for its signer: another user's socket, another process's, another key.

The control is the same socket, served by the one that the night expects.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.keys import FileSigner, public_pem_path
from pantheon.adapters.night_keys import HeldKeys
from pantheon.adapters.signer_client import SocketSigner
from pantheon.adapters.signer_server import Admission, SignerServer, listen
from pantheon.core.dsse import PAYLOAD_TYPE, key_id, pae, seal
from pantheon.core.errors import SignatureError
from pantheon.shell.config import Project, UserPaths, load_project
from pantheon.shell.signer_wiring import open_signer
from pantheon.testing.signing import FakeSigner

pytestmark = pytest.mark.primitive("peercred")

OTHER_USER = 60_323
IMPOSTOR = """
import socket, sys
one = socket.socket(socket.AF_UNIX)
one.bind(sys.argv[1])
one.listen(4)
print("ready", flush=True)
got = one.accept()[0].recv(100)
print("got", len(got), flush=True)
"""


@asynccontextmanager
async def served(path: Path, key: Ed25519PrivateKey) -> AsyncIterator[None]:
    """Serve a key on a socket for the length of a ``with``."""
    path.parent.chmod(0o700)
    listening = listen(path, os.geteuid())
    server = SignerServer(HeldKeys(key, SystemClock()), Admission(os.geteuid()), lambda _: None)
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve(listening, ready.set), name="signer")
        await ready.wait()
        try:
            yield
        finally:
            serving.cancel()


@pytest.fixture
def user(tmp_path: Path) -> UserPaths:
    """A user without a key, on a machine without one."""
    return UserPaths(
        keys=tmp_path / "keys",
        models=tmp_path / "models",
        witness=tmp_path / "witness",
        machine_key=tmp_path / "machine.pub.pem",
    )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A repository that names a signer."""
    root = tmp_path / "repository"
    root.mkdir()
    (root / "pantheon.toml").write_text(f'[night]\nsigner = "{tmp_path}/s.sock"\n')
    return load_project(root, env={})


async def name_of(project: Project, user: UserPaths) -> str:
    async with open_signer(project, user, SystemClock()) as signer:
        return key_id(signer.public_key)


@pytest.mark.parametrize("whose", ["the user's", "the machine's"])
async def test_a_signer_of_another_key_is_refused(
    tmp_path: Path, project: Project, user: UserPaths, whose: str
) -> None:
    """A socket that the repository's settings name decides nothing: its key is the one pinned outside, or none."""
    own = tmp_path / "elsewhere" / "k"
    holder = FileSigner.open(own)
    pinned = public_pem_path(user.signing_key) if whose == "the user's" else user.machine_key
    pinned.parent.mkdir(exist_ok=True)
    pinned.write_bytes(public_pem_path(own).read_bytes())
    async with served(tmp_path / "s.sock", holder._key):
        assert await name_of(project, user) == holder.key_id, "the control"
    mine = Ed25519PrivateKey.generate()
    async with served(tmp_path / "s.sock.2", mine):
        (tmp_path / "s.sock").unlink(missing_ok=True)
        (tmp_path / "s.sock.2").rename(tmp_path / "s.sock")
        with pytest.raises(SignatureError) as refused:
            await name_of(project, user)
    assert holder.key_id in refused.value.message
    assert key_id(mine.public_key().public_bytes_raw()) in refused.value.message
    assert refused.value.exit_code == 3
    assert refused.value.hint


async def test_a_signer_that_nobody_has_pinned_is_refused(
    tmp_path: Path, project: Project, user: UserPaths
) -> None:
    """Without a public key to compare with, a signer that is named is not believed; nor is a broken one overlooked."""
    async with served(tmp_path / "s.sock", Ed25519PrivateKey.generate()):
        with pytest.raises(SignatureError, match="no public key says whose"):
            await name_of(project, user)
        user.machine_key.write_text("no key")
        with pytest.raises(SignatureError, match="not a public key"):
            await name_of(project, user)


async def test_a_socket_of_another_user_is_told_nothing(tmp_path: Path) -> None:
    """The kernel says who listens; another user's process, or the wrong one of this user's, gets not a byte."""
    key = Ed25519PrivateKey.generate()
    (tmp_path / "own").mkdir(mode=0o700)
    async with served(tmp_path / "own" / "s.sock", key):
        signer = await SocketSigner.connect(tmp_path / "own" / "s.sock", pid=os.getpid())
        assert signer.public_key == key.public_key().public_bytes_raw(), "the control"
        await signer.aclose()
        with pytest.raises(SignatureError, match="not the signer, which is 1"):
            await SocketSigner.connect(tmp_path / "own" / "s.sock", pid=1)
    for place in (*tmp_path.parents, tmp_path):
        if place.is_relative_to("/tmp/pytest-of-root"):
            place.chmod(0o755)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, OTHER_USER, OTHER_USER)
    process = await asyncio.create_subprocess_exec(
        "setpriv", f"--reuid={OTHER_USER}", f"--regid={OTHER_USER}", "--clear-groups",
        "/usr/bin/python3", "-c", IMPOSTOR, str(theirs / "s.sock"), stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(20):
        assert await process.stdout.readline() == b"ready\n"
        with pytest.raises(
            SignatureError, match=f"is of user {OTHER_USER}; the signer is of user {os.geteuid()}"
        ):
            await SocketSigner.connect(theirs / "s.sock")
        assert await process.stdout.readline() == b"got 0\n"
        await process.wait()


async def test_only_root_this_user_and_the_named_one_may_run_the_service(
    tmp_path: Path, project: Project, user: UserPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service of a user that nobody named is refused before its key is asked for; the control names it."""
    own = tmp_path / "elsewhere" / "k"
    holder = FileSigner.open(own)
    user.machine_key.write_bytes(public_pem_path(own).read_bytes())
    from pantheon.adapters import signer_client
    from pantheon.adapters.signer_peer import Peer

    monkeypatch.setattr(signer_client, "peer_of", lambda _: Peer(77, 2))
    night = project.config.night.model_copy(update={"signer_user": "bin"})
    named = replace(project, config=project.config.model_copy(update={"night": night}))
    async with served(tmp_path / "s.sock", holder._key):
        assert await name_of(named, user) == holder.key_id, "the control: bin is user 2"
        with pytest.raises(SignatureError, match="process 77, which listens at"):
            await name_of(project, user)


async def test_a_night_makes_no_key_beside_batches_of_another(tmp_path: Path, user: UserPaths) -> None:
    """The user's key is gone and batches wait: the night names the key that it misses, and makes none."""
    root = tmp_path / "repository"
    (root / "queue").mkdir(parents=True)
    (root / "pantheon.toml").write_text("")
    project = load_project(root, env={})
    lost = FakeSigner(9)
    envelope = seal(b"{}", [(lost.key_id, await lost.sign(pae(PAYLOAD_TYPE, b"{}")))])
    batch = root / "queue" / f"{'1' * 12}.attestation.json"
    batch.write_bytes(envelope.to_bytes())
    with pytest.raises(SignatureError, match=lost.key_id) as refused:
        await name_of(project, user)
    assert refused.value.hint
    assert not user.signing_key.exists()
    batch.unlink()
    assert await name_of(project, user), "the control"
    assert user.signing_key.exists()
