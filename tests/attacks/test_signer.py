"""Attacks on the signer: by other users, a sandbox's root, strangers, garbage, floods, and its own night.

The control is the same conversation, held by the process that may.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.night_keys import HeldKeys
from pantheon.adapters.sandbox.bubblewrap import open_bubblewrap
from pantheon.adapters.signer_child import signer_child
from pantheon.adapters.signer_client import SocketSigner
from pantheon.adapters.signer_process import remove_stale_socket
from pantheon.adapters.signer_server import MAX_CONNECTIONS, Admission, SignerServer, listen
from pantheon.adapters.signer_wire import MAX_MESSAGE_BYTES, Hello, pack
from pantheon.core.attestations import Whose, review_claim
from pantheon.core.checkpoint import Checkpoint
from pantheon.core.delegation import NIGHT_ROLE, read_delegation, reviewer_role
from pantheon.core.dsse import open_envelope, parse_envelope
from pantheon.core.errors import SignatureError
from pantheon.core.merkle import MerkleTree
from pantheon.core.review import Review
from pantheon.core.sandbox import SandboxLimits
from pantheon.core.statement import (
    ATTEMPT_PREDICATE,
    BATCH_PREDICATE,
    DELEGATION_PREDICATE,
    REVIEW_PREDICATE,
    make_statement,
    parse_statement,
)
from pantheon.ports.signer import DelegationRequest, SigningRequest
from pantheon.testing.clock import FakeClock

pytestmark = pytest.mark.primitive("peercred")

NIGHT, ORIGIN = "n1", "pantheon.local/night/n1/c"
ROLES = (NIGHT_ROLE, reviewer_role("peerA"), reviewer_role("peerB"))
OTHER_USER = 60_322
PROBE = """
import json, socket, sys
one = socket.socket(socket.AF_UNIX)
one.settimeout(5)
try:
    one.connect(sys.argv[1])
    message = json.dumps({"op": "hello"}).encode()
    one.sendall(len(message).to_bytes(4, "big") + message)
    print("answered" if one.recv(4096) else "refused")
except OSError as error:
    print("refused", error)
"""


def delegation(**changes: object) -> DelegationRequest:
    values = {
        "night": NIGHT,
        "origin": ORIGIN,
        "roles": ROLES,
        "seq": 0,
        "previous": None,
        "valid_s": 3_600.0,
    }
    return DelegationRequest(**{**values, **changes})  # type: ignore[arg-type]


def wish(seq: int, kind: str = ATTEMPT_PREDICATE, role: str = NIGHT_ROLE, **fields: object) -> SigningRequest:
    place = {"night": NIGHT, "seq": seq, "at": "2026-01-01T00:00:00+00:00"}
    return SigningRequest(role, make_statement({"x": "0" * 64}, kind, {"ledger": place, **fields}))


class Served:
    """A signer in this process, whom anybody may be told to ask."""

    def __init__(self, path: Path, clock: FakeClock | None = None) -> None:
        self.path = path
        self.told: list[str] = []
        self.held = HeldKeys(Ed25519PrivateKey.generate(), clock or SystemClock())


@asynccontextmanager
async def served(
    folder: Path, *, pid: int | None = None, clock: FakeClock | None = None
) -> AsyncIterator[Served]:
    """Serve on a socket for the length of a ``with``."""
    os.chmod(folder, 0o700)
    found = Served(folder / "s.sock", clock)
    listening = listen(found.path, os.geteuid())
    server = SignerServer(found.held, Admission(os.geteuid(), pid), found.told.append)
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve(listening, ready.set), name="signer")
        await ready.wait()
        try:
            yield found
        finally:
            serving.cancel()


async def probe(path: Path, *before: str) -> str:
    """Ask for the public key as another process, started by ``before``; returns what came of it."""
    process = await asyncio.create_subprocess_exec(
        *before, "/usr/bin/python3", "-c", PROBE, str(path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        said = (await process.stdout.read()).decode().split()
        await process.wait()
    return said[0] if said else "died"


async def test_control_the_night_itself_is_answered(tmp_path: Path) -> None:
    """The process that may ask gets keys, signatures and a checkpoint."""
    async with served(tmp_path, pid=os.getpid()) as server:
        signer = await SocketSigner.connect(server.path)
        envelope = parse_envelope(await signer.delegate(delegation()))
        keys = read_delegation(parse_statement(open_envelope(envelope, [signer.public_key]))).keys
        assert sorted(keys) == sorted(ROLES)
        signed = await signer.sign_statements([wish(1), wish(2)])
        assert (len(signed.signatures), signed.refusal) == (2, "")
        tree = MerkleTree([b"a"])
        point = Checkpoint(origin=ORIGIN, size=1, root=tree.root().hex())
        assert len(await signer.sign_checkpoint(point.text(), ())) == 64
        await signer.aclose()
    assert server.told == []


@pytest.mark.primitive("bwrap", "userns")
async def test_another_user_is_refused(tmp_path: Path) -> None:
    """Even with the socket open to everybody, the kernel tells who asks; the same probe as this user is answered."""
    async with served(tmp_path) as server:
        assert await probe(server.path) == "answered"
        for place in (*tmp_path.parents, tmp_path):
            if place.is_relative_to("/tmp/pytest-of-root"):
                place.chmod(0o755)
        server.path.chmod(0o666)
        as_other = ("setpriv", f"--reuid={OTHER_USER}", f"--regid={OTHER_USER}", "--clear-groups")
        assert await probe(server.path, *as_other) == "refused"
        fake_root = (*as_other, "bwrap", "--unshare-user", "--uid", "0", "--gid", "0", "--bind", "/", "/")
        assert await probe(server.path, *fake_root) == "refused"
    assert len(server.told) == 2
    assert all(f"of user {OTHER_USER}" in line for line in server.told), server.told


async def test_the_socket_is_this_users_alone(tmp_path: Path) -> None:
    """Mode 0600 in a folder of 0700; a folder that others can enter is refused."""
    async with served(tmp_path) as server:
        assert server.path.stat().st_mode & 0o777 == 0o600
    open_folder = tmp_path / "open"
    open_folder.mkdir()
    open_folder.chmod(0o755)
    with pytest.raises(SignatureError, match="others can enter"):
        listen(open_folder / "s.sock", os.geteuid())


async def test_another_process_of_the_same_user_is_refused(tmp_path: Path) -> None:
    """A night's own signer answers its parent alone: a test or a tool of the same user gets nothing."""
    async with served(tmp_path) as anybody:
        assert await probe(anybody.path) == "answered", "the control"
    (tmp_path / "own").mkdir(mode=0o700)
    async with served(tmp_path / "own", pid=os.getpid()) as server:
        assert await probe(server.path) == "refused"
        inside = ("bwrap", "--unshare-pid", "--bind", "/", "/", "--dev", "/dev", "--proc", "/proc")
        assert await probe(server.path, *inside) == "refused"
    assert len(server.told) == 2


@pytest.mark.primitive("bwrap")
async def test_a_suite_in_the_sandbox_gets_no_answer(tmp_path: Path) -> None:
    """It does not find the socket, finds no key that the same search finds outside, and is refused where it is let in.

    The control is the same program outside.
    """
    search = (
        "find / -path /usr -prune -o -path /proc -prune -o -name secret-2b61.key -print 2>/dev/null; true"
    )
    (tmp_path / "secret-2b61.key").write_text("private")
    tree = tmp_path / "tree"
    tree.mkdir()
    sandbox, limits = open_bubblewrap(SystemClock()), SandboxLimits(wall_s=20)

    async def inside(path: str) -> str:
        result = await sandbox.run(("/usr/bin/python3", "-c", PROBE, path), tree, limits)
        return result.stdout.decode().split()[0]

    async with served(tmp_path) as anybody:
        assert await probe(anybody.path) == "answered", "the control"
        assert await inside(str(anybody.path)) == "refused" and anybody.told == [], "there is no such path"
        here = ["/bin/sh", "-c", search.replace("find /", f"find {tmp_path}", 1)]
        assert await asyncio.to_thread(subprocess.check_output, here), "the control"
        assert not (await sandbox.run(("/bin/sh", "-c", search), tree, limits)).stdout
    tree = tmp_path / "other"
    tree.mkdir()
    async with served(tree, pid=os.getpid()) as within:
        assert await inside("/work/s.sock") == "refused"
        assert len(within.told) == 1 and within.told[0].startswith("refused: process"), within.told


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        (MAX_MESSAGE_BYTES + 1).to_bytes(4, "big"),
        b"\0\0\0\0",
        b"\0\0\0\2{}",
        b"\0\0\0\x05[1,2]",
        b"GET / HTTP/1.1\r\n\r\n",
        pack(Hello())[:-1] + b"\xff",
        len(b'{"op":"hello","more":1}').to_bytes(4, "big") + b'{"op":"hello","more":1}',
        len(b"[" * 100_000).to_bytes(4, "big") + b"[" * 100_000,
    ],
    ids=["length", "too long", "empty", "no message", "list", "http", "not UTF-8", "further field", "deep"],
)
async def test_garbage_costs_its_sender_the_connection(tmp_path: Path, data: bytes) -> None:
    """What is no message is refused, told, and disturbs nobody else's night."""
    async with served(tmp_path) as server:
        night = await SocketSigner.connect(server.path)
        await night.delegate(delegation())
        reader, writer = await asyncio.open_unix_connection(server.path)
        writer.write(data)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
        assert (await night.sign_statements([wish(1)])).refusal == ""
        await night.aclose()
    assert len(server.told) == 1


async def test_half_a_message_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who begins and does not end, or says nothing at all, is left after a while."""
    monkeypatch.setattr("pantheon.adapters.signer_wire.MESSAGE_TIMEOUT_S", 0.2)
    monkeypatch.setattr("pantheon.adapters.signer_server.STRANGER_S", 0.4)
    async with served(tmp_path) as server:
        for data in (b"\0\0", b"\0\0\1\0half", b""):
            reader, writer = await asyncio.open_unix_connection(server.path)
            writer.write(data)
            async with asyncio.timeout(5):
                assert await reader.read() == b""
            writer.close()
    assert len(server.told) == 3


async def test_the_nights_own_signer_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A night that loads its model for longer than a stranger may be silent is still answered by its own child."""
    monkeypatch.setattr("pantheon.adapters.signer_server.STRANGER_S", 0.1)
    async with served(tmp_path, pid=os.getpid()) as server:
        night = await SocketSigner.connect(server.path)
        await asyncio.sleep(0.4)
        assert await night.delegate(delegation())
        await night.aclose()


async def test_a_flood_of_connections_does_not_reach_the_night(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More connections than there may be are closed, and not because they are silent; the night goes on."""
    monkeypatch.setattr("pantheon.adapters.signer_server.STRANGER_S", 3_600)
    async with served(tmp_path) as server:
        night = await SocketSigner.connect(server.path)
        await night.delegate(delegation())
        crowd = [await asyncio.open_unix_connection(server.path) for _ in range(MAX_CONNECTIONS * 3)]
        async with asyncio.timeout(20):
            assert (await night.sign_statements([wish(seq) for seq in range(1, 200)])).refusal == ""
        async with asyncio.timeout(20):
            while sum(reader.at_eof() for reader, _ in crowd) < MAX_CONNECTIONS * 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        for _, writer in crowd:
            writer.close()
        await night.aclose()


async def test_a_second_night_does_not_get_the_first_ones_keys(tmp_path: Path) -> None:
    """Keys belong to the connection that had them made: another is refused, and after it has ended they are gone."""
    async with served(tmp_path) as server:
        first, second = await SocketSigner.connect(server.path), await SocketSigner.connect(server.path)
        await first.delegate(delegation())
        with pytest.raises(SignatureError, match="another night"):
            await second.delegate(delegation(night="n2"))
        assert "no night's keys" in (await second.sign_statements([wish(1)])).refusal
        await first.aclose()
        async with asyncio.timeout(5):
            while True:
                try:
                    await second.delegate(delegation(night="n2"))
                    break
                except SignatureError:
                    await asyncio.sleep(0.01)
        assert "of night 'n1'" in (await second.sign_statements([wish(1)])).refusal
        await second.aclose()


async def left(server: Served) -> None:
    """Wait until the signer has forgotten the night that left."""
    async with asyncio.timeout(5):
        while True:
            if server.held._rules is None:
                return
            await asyncio.sleep(0.01)


async def refused(signer: SocketSigner, **changes: object) -> str:
    with pytest.raises(SignatureError) as error:
        await signer.delegate(delegation(**changes))
    return error.value.message


async def test_a_night_gets_no_keys_of_another_night(tmp_path: Path) -> None:
    """A night that was taken over cannot write another one's history anew; its own keys it may renew."""
    former = {"night": "n0", "origin": "pantheon.local/night/n0/c"}
    async with served(tmp_path, pid=os.getpid()) as server:
        night = await SocketSigner.connect(server.path)
        await night.delegate(delegation())
        assert await night.delegate(delegation(seq=1)), "the control"
        assert "none of another" in await refused(night, **former)
        assert "none of another" in await refused(night, origin="pantheon.local/night/n1/d")
        assert (await night.sign_statements([wish(2)])).refusal == ""
        await night.aclose()
        await left(server)
        again = await SocketSigner.connect(server.path)
        assert "none of another" in await refused(again, **former), "a new connection to its own signer"
        await again.aclose()
    (tmp_path / "service").mkdir(mode=0o700)
    async with served(tmp_path / "service") as server:
        night = await SocketSigner.connect(server.path)
        await night.delegate(delegation())
        assert "none of another" in await refused(night, **former)
        await night.aclose()


async def test_a_log_is_not_begun_again_behind_what_was_signed(tmp_path: Path) -> None:
    """A service remembers the last checkpoint of a night: the same night gets new keys behind it, or bound to it."""
    tree = MerkleTree([b"a", b"b", b"c"])
    last = Checkpoint(origin=ORIGIN, size=3, root=tree.root().hex())
    async with served(tmp_path) as server:
        night = await SocketSigner.connect(server.path)
        await night.delegate(delegation())
        await night.sign_checkpoint(last.text(), ())
        for shorter in (None, last.model_copy(update={"size": 2}), last.model_copy(update={"origin": "x"})):
            assert "3 records of this night were signed for" in await refused(night, seq=2, previous=shorter)
        await night.aclose()
        await left(server)
        again = await SocketSigner.connect(server.path)
        assert "3 records" in await refused(again, seq=0)
        assert await again.delegate(delegation(seq=0, previous=last)), "the control: bound to what was lost"
        assert await again.delegate(delegation(seq=3, previous=last)), "the control: it goes on"
        await again.aclose()


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (wish(1, BATCH_PREDICATE), "does not sign"),
        (wish(1, DELEGATION_PREDICATE), "does not sign"),
        (wish(1, REVIEW_PREDICATE), "does not sign"),
        (wish(1, ATTEMPT_PREDICATE, reviewer_role("peerA")), "its own verdicts only"),
        (
            wish(1, REVIEW_PREDICATE, reviewer_role("peerA"), reviewer="peerB", verdict="pass"),
            "its own verdicts",
        ),
        (
            wish(1, REVIEW_PREDICATE, reviewer_role("peerA"), reviewer="peerA", verdict="maybe"),
            "pass or fail",
        ),
        (wish(1, role="reviewer/peerC"), "no key for the role"),
        (wish(1, role="user"), "no key for the role"),
        (wish(0), "signed for already"),
        (SigningRequest(NIGHT_ROLE, b"{}"), "not a statement"),
        (SigningRequest(NIGHT_ROLE, b"DSSEv1 28 x"), "not a statement"),
        (SigningRequest(NIGHT_ROLE, wish(1).statement.replace(b'"seq":1', b'"seq":1,"seq":2')), "twice"),
        (SigningRequest(NIGHT_ROLE, wish(1).statement.replace(b'"seq":1', b'"seq":1.5')), "float"),
        (SigningRequest(NIGHT_ROLE, wish(1).statement.replace(b'"n1"', b'"n2"')), "of night 'n2'"),
    ],
)
async def test_the_night_itself_cannot_have_everything_signed(
    tmp_path: Path, request_: SigningRequest, why: str
) -> None:
    """A night that was taken over gets no batch, no delegation, no verdict in a wrong name, no second place."""
    async with served(tmp_path) as server:
        night = await SocketSigner.connect(server.path)
        await night.delegate(delegation())
        signed = await night.sign_statements([request_])
        assert signed.signatures == ()
        assert why in signed.refusal
        assert (await night.sign_statements([wish(1)])).refusal == "", "the control"
        await night.aclose()


@pytest.mark.parametrize("role", [reviewer_role("peerA"), reviewer_role("peerB"), NIGHT_ROLE])
async def test_what_one_role_has_said_no_other_says_after_it(tmp_path: Path, role: str) -> None:
    """The same statement again is signed again for who said it, as after a lost answer, and for nobody else."""
    one = wish(1)
    if role == NIGHT_ROLE:
        review = Review(
            reviewer="peerA", version="1", verdict="pass", margin=1.0, reasons=(), base="b" * 40, head="c" * 40,
            tree="d" * 40,
        )  # fmt: skip
        subjects, said = review_claim(review, "e" * 64, Whose(night=NIGHT, task="t", node="r", attempt=1))
        place = {"night": NIGHT, "seq": 1, "at": "2026-01-01T00:00:00+00:00"}
        statement = make_statement(subjects, REVIEW_PREDICATE, {**said, "ledger": place})
        one = SigningRequest(reviewer_role("peerA"), statement)
    async with served(tmp_path) as server:
        night = await SocketSigner.connect(server.path)
        await night.delegate(delegation())
        first = await night.sign_statements([one])
        assert (await night.sign_statements([one])).signatures == first.signatures != (), "the control"
        other = await night.sign_statements([SigningRequest(role, one.statement)])
        assert (other.signatures, bool(other.refusal)) == ((), True)
        await night.aclose()


async def test_what_comes_before_a_refusal_is_signed_and_nothing_after_it(tmp_path: Path) -> None:
    """A batch is signed in order, so that no place is skipped."""
    async with served(tmp_path) as server:
        night = await SocketSigner.connect(server.path)
        await night.delegate(delegation())
        signed = await night.sign_statements([wish(1), wish(2, BATCH_PREDICATE), wish(3)])
        assert len(signed.signatures) == 1
        assert signed.refusal
        await night.aclose()


async def test_keys_do_not_count_beyond_their_time(tmp_path: Path) -> None:
    """After the delegation has ended nothing is signed any more, by the signer's own clock."""
    clock = FakeClock()
    async with served(tmp_path, clock=clock) as server:
        night = await SocketSigner.connect(server.path)
        await night.delegate(delegation(valid_s=60.0))
        assert (await night.sign_statements([wish(1)])).refusal == "", "the control"
        clock.advance(61.0)
        assert "count from" in (await night.sign_statements([wish(2)])).refusal
        with pytest.raises(SignatureError, match="count from"):
            await night.sign_checkpoint(Checkpoint(origin=ORIGIN, size=0, root="0" * 64).text(), ())
        with pytest.raises(SignatureError, match="at most"):
            await night.delegate(delegation(valid_s=timedelta(days=365).total_seconds()))
        await night.aclose()


async def test_a_checkpoint_that_does_not_continue_the_last_one_is_not_signed(tmp_path: Path) -> None:
    """History cannot be rewritten under a running night: another past, a smaller size, another log."""
    tree = MerkleTree([b"a", b"b"])

    def point(size: int, root: bytes, origin: str = ORIGIN) -> str:
        return Checkpoint(origin=origin, size=size, root=root.hex()).text()

    async with served(tmp_path) as server:
        night = await SocketSigner.connect(server.path)
        await night.delegate(delegation())
        await night.sign_checkpoint(point(2, tree.root()), ())
        tree.append(b"c")
        forged = MerkleTree([b"a", b"x", b"c"])
        for text, proof in (
            (point(3, forged.root()), forged.prove_consistency(2)),
            (point(1, tree.root(1)), ()),
            (point(2, forged.root(2)), ()),
            (point(3, tree.root(), "pantheon.local/night/n2/c"), tree.prove_consistency(2)),
            ("not a checkpoint", ()),
        ):
            with pytest.raises(SignatureError):
                await night.sign_checkpoint(text, proof)
        await night.sign_checkpoint(point(3, tree.root()), tree.prove_consistency(2))
        await night.aclose()


def look_at_signer() -> tuple[str, str]:
    """Return the process id of this process's signer, and its limits."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    child = next(one for one in children if b"signer" in Path(f"/proc/{one}/cmdline").read_bytes())
    return child, Path(f"/proc/{child}/limits").read_text()


async def test_the_signer_ends_with_the_night_and_is_open_to_nobody(tmp_path: Path) -> None:
    """The real child: its memory is closed to others, it dumps no core, and after the night it is gone."""
    key = tmp_path / "keys" / "night.ed25519"
    async with signer_child(
        key,
        outside=tmp_path / "repository",
        log=tmp_path / "log",
        environment=dict(os.environ),
        clock=SystemClock(),
    ) as signer:
        await signer.delegate(delegation())
        child, limits = look_at_signer()
        assert "0                    0" in limits.split("core file size")[1]
        assert (await signer.sign_statements([wish(1)])).refusal == ""
    assert child not in os.listdir("/proc")


NIGHT_PROCESS = """
import asyncio, os, sys
from pathlib import Path
from pantheon.adapters.clock import SystemClock
from pantheon.adapters.signer_child import signer_child

async def main():
    top = Path(sys.argv[1])
    async with signer_child(top / "keys" / "k", outside=top / "r", log=top / "log", environment=dict(os.environ),
                            clock=SystemClock()):
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
        print(" ".join(children), flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def lives(pid: str) -> bool:
    """Tell whether a process has not ended; who reaps it, and when, is nobody's concern here."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.primitive("pdeathsig")
def test_the_signer_dies_with_a_night_that_is_killed(tmp_path: Path) -> None:
    """Whatever ends the night's process, its keys do not outlive it."""
    with subprocess.Popen(
        [sys.executable, "-c", NIGHT_PROCESS, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as night:
        assert night.stdout is not None
        children = night.stdout.readline().split()
        assert children, "the control: it has a signer"
        assert all(lives(one) for one in children)
        night.send_signal(signal.SIGKILL)
        night.wait(10)
    until = time.monotonic() + 20
    while any(lives(one) for one in children) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(lives(one) for one in children)


def test_a_key_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    """The command refuses a key that is not its user's alone, and says so."""
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o700)
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", folder / "k"], check=True)
    (folder / "k").chmod(0o644)
    tmp_path.chmod(0o700)
    done = subprocess.run(
        [sys.executable, "-m", "pantheon", "signer", "--socket", tmp_path / "s.sock", "--key", folder / "k"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert "can be read by others" in done.stderr


def ask(path: Path, *before: str) -> str:
    """Ask for the public key as another process; returns what came of it."""
    done = subprocess.run(
        [*before, "/usr/bin/python3", "-c", PROBE, str(path)], capture_output=True, text=True, check=False
    )
    return (done.stdout.split() or ["died"])[0]


def test_a_service_answers_the_user_it_is_for(tmp_path: Path) -> None:
    """Run as a service for another user, it serves that user and not root."""
    tmp_path.chmod(0o750)
    os.chown(tmp_path, 0, 65_534)
    for place in tmp_path.parents:
        if place.is_relative_to("/tmp/pytest-of-root"):
            place.chmod(0o755)
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o700)
    path = tmp_path / "s.sock"
    words = ["signer", "--socket", path, "--key", folder / "k", "--user", "nobody"]
    with subprocess.Popen(
        [sys.executable, "-m", "pantheon", *words], stderr=subprocess.PIPE, text=True
    ) as service:
        try:
            as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
            until, asked = time.monotonic() + 20, "refused"
            while asked == "refused" and time.monotonic() < until:
                # It stands there before it is listened to.
                if path.exists():
                    os.chown(path, 0, 65_534)
                    asked = ask(path, *as_nobody)
                time.sleep(0.05)
            assert asked == "answered"
            assert ask(path) == "refused"
        finally:
            service.terminate()
            service.wait(10)
    assert not path.exists()


@pytest.mark.parametrize("what", ["file", "link", "link to a socket", "folder"])
def test_what_is_no_socket_is_not_removed_for_one(tmp_path: Path, what: str) -> None:
    """What a signer left behind goes (the control); anything else stays, though it refuses a caller as well."""
    path, victim = tmp_path / "s.sock", tmp_path / "victim"
    victim.write_bytes(b"somebody's")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    remove_stale_socket(path)
    assert not path.exists(), "the control"
    if what == "file":
        path.write_bytes(b"somebody's")
    elif what == "folder":
        path.mkdir()
    else:
        if what == "link to a socket":
            victim.unlink()
            with socket.socket(socket.AF_UNIX) as left:
                left.bind(str(victim))
        path.symlink_to(victim)
    with socket.socket(socket.AF_UNIX) as caller, pytest.raises(ConnectionRefusedError):
        caller.connect(str(path))
    with pytest.raises(SignatureError, match="no socket"):
        remove_stale_socket(path)
    assert os.path.lexists(path) and victim.exists()
