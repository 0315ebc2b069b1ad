"""A whole night from the command line, contained by default: as root and as an ordinary user, over socket and relay."""

import asyncio
import base64
import json
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from pantheon.core.qualification import QUALIFICATIONS_FILE
from pantheon.testing.as_user import OtherUser
from pantheon.testing.night import NoteScript
from pantheon.testing.qualified import qualify_project
from pantheon.testing.sample_notes import NOTE, PROPOSALS, TARGET
from pantheon.testing.scripted_model import Reply, Say, ScriptedServer
from pantheon.testing.thread import in_thread
from pantheon.testing.user_repository import make_repository

SCRIPT = NoteScript(PROPOSALS)
OTHER_USER = 60_323
Script = Callable[[Mapping[str, Any]], Reply]


class Person:
    """Whoever has the repository: root, or somebody else."""

    def __init__(self, top: Path, uid: int) -> None:
        self.uid = uid
        self.top = top
        self.other = OtherUser(uid, top) if uid else None
        self.root = top / "user"

    def words(self, *words: str) -> list[str]:
        return self.other.pantheon(*words) if self.other else [sys.executable, "-m", "pantheon", *words]

    def environment(self, **more: str) -> Mapping[str, str]:
        if self.other:
            return self.other.environment(**more)
        return {"PATH": os.environ["PATH"], "HOME": str(self.top / "home"), "LC_ALL": "C.UTF-8", **more}

    def run(self, *words: str, stdin: str = "", **variables: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.words(*words), cwd=self.root, env=self.environment(**variables), input=stdin, capture_output=True,
            text=True, timeout=120, check=False,
        )  # fmt: skip

    def prepare(self) -> None:
        """Lay out the repository and queue its note."""
        assert self.run("init").returncode == 0
        qualify_project(self.root)
        os.chown(self.root / ".pantheon" / QUALIFICATIONS_FILE, self.uid, self.uid)
        scoped = self.run("scope", "docops", "docs/**/*.md")
        enqueued = self.run("enqueue", "-", stdin=scoped.stdout, PANTHEON_ENDPOINT_KIND="openai")
        assert enqueued.returncode == 0, enqueued


PREPARED: dict[int, tempfile.TemporaryDirectory[str]] = {}
"""User id -> a folder with a repository whose note is queued, made once and copied for each test."""


@pytest.fixture(scope="module", autouse=True)
def clean_up() -> Iterator[None]:
    yield
    while PREPARED:
        PREPARED.popitem()[1].cleanup()


@contextmanager
def person(uid: int) -> Iterator[Person]:
    if uid not in PREPARED:
        PREPARED[uid] = tempfile.TemporaryDirectory(prefix="pantheon-night-")
        top = Path(PREPARED[uid].name)
        top.chmod(0o755)
        root = make_repository(top / "user", {TARGET: NOTE})
        for path in (root, *root.rglob("*")):
            os.chown(path, uid, uid)
        Person(top, uid).prepare()
    with tempfile.TemporaryDirectory(prefix="pantheon-night-") as folder:
        Path(folder).chmod(0o755)
        for name in ("user", "home"):
            subprocess.run(["cp", "-a", f"{PREPARED[uid].name}/{name}", folder], check=True)
        yield Person(Path(folder), uid)


@asynccontextmanager
async def _serving(script: Script, place: Path | str) -> AsyncIterator[tuple[ScriptedServer, str]]:
    scripted = ScriptedServer(script)
    if isinstance(place, Path):
        server = await asyncio.start_unix_server(scripted.handle, place)
        await asyncio.to_thread(place.chmod, 0o666)
        told = str(place)
    else:
        server = await asyncio.start_server(scripted.handle, place)
        told = f"http://{place}:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield scripted, told


@contextmanager
def serving(script: Script, place: Path | str) -> Iterator[tuple[ScriptedServer, dict[str, str]]]:
    """Serve a script from a thread; yields the server and the variables that lead to it."""
    with in_thread(_serving(script, place)) as (scripted, told):
        name = "PANTHEON_ENDPOINT_UDS" if isinstance(place, Path) else "PANTHEON_ENDPOINT_URL"
        yield scripted, {"PANTHEON_ENDPOINT_KIND": "openai", name: told}


def statement_of(root: Path, night: str) -> dict[str, Any]:
    """Return the predicate of the night's containment statement."""
    for path in sorted((root / "artifacts" / night).iterdir()):
        for line in path.read_bytes().split(b"\n") if path.suffix in (".json", ".jsonl") else ():
            if b'"payload"' in line:
                statement = json.loads(base64.b64decode(json.loads(line)["payload"]))
                if statement["predicateType"].endswith("/containment/v1"):
                    found: dict[str, Any] = statement["predicate"]
                    return found
    raise AssertionError(f"no containment statement in {root}/artifacts/{night}")


def find(value: Any, key: str) -> Any:
    """Return the first value of a key at any depth."""
    if isinstance(value, dict):
        if key in value:
            return value[key]
        value = list(value.values())
    if isinstance(value, list):
        return next((got for one in value if (got := find(one, key)) is not None), None)
    return None


@pytest.mark.parametrize("uid", [0, OTHER_USER], ids=["root", "ordinary user"])
@pytest.mark.parametrize("way", ["unix socket", "relay to tcp"])
def test_a_night_is_contained_by_default(uid: int, way: str) -> None:
    """From queue to branch out of an empty network, with files that keep their owner and a signed proof."""
    with person(uid) as who:
        place = who.top / "model.sock" if way == "unix socket" else "127.0.0.1"
        with serving(SCRIPT, place) as (server, variables):
            done = who.run("night", "--json", **variables)
        assert done.returncode == 0, done
        told = json.loads(done.stdout)
        assert told["outcomes"] == {"accepted": 1}
        assert len(server.requests) > 1
        seen = statement_of(who.root, told["night"])
        assert find(seen, "proven") is True
        assert find(seen, "uid") == uid
        assert find(seen, "interfaces") == ["lo"]
        assert find(seen, "outside_namespace") == os.stat("/proc/self/ns/net").st_ino
        assert find(seen, "namespace") != find(seen, "outside_namespace")
        owners = {path.lstat().st_uid for path in who.root.rglob("*")}
        assert owners == {uid}


SANDBOXED = """
import asyncio, sys
from pathlib import Path
from pantheon.adapters.clock import SystemClock
from pantheon.adapters.sandbox.bubblewrap import open_bubblewrap
from pantheon.core.sandbox import SandboxLimits
words = ("/bin/sh", "-c", "echo made > x; tail -n +3 /proc/net/dev | cut -d: -f1")
done = asyncio.run(open_bubblewrap(SystemClock()).run(words, Path(sys.argv[1]), SandboxLimits(wall_s=20)))
sys.stdout.write(done.stdout.decode())
sys.stderr.write(done.stderr.decode())
sys.exit(done.returncode)
"""


@pytest.mark.parametrize("uid", [0, OTHER_USER], ids=["root", "ordinary user"])
def test_the_sandbox_works_where_a_night_runs(uid: int) -> None:
    """One inside the other: what executes a repository's code is kept in a sandbox out of the night's namespaces."""
    with person(uid) as who:
        words = [
            sys.executable,
            "-m",
            "pantheon.testing.contained",
            str(uid),
            sys.executable,
            "-c",
            SANDBOXED,
        ]
        tree = who.root / "docs"
        command = [*words, str(tree)]
        done = subprocess.run(
            who.other.command(*command) if who.other else command, cwd=who.root, env=who.environment(),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout.split()) == (0, ["lo"]), done
        assert (tree / "x").read_text() == "made\n"


def _all_processes() -> dict[int, tuple[str, int | None]]:
    """Return process id -> (command line, network namespace)."""
    found: dict[int, tuple[str, int | None]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                found[int(entry.name)] = (words, os.stat(entry / "ns/net").st_ino)
            except OSError:
                continue
    return found


@contextmanager
def slow_night(who: Person, **popen: Any) -> Iterator["tuple[subprocess.Popen[str], ScriptedServer]"]:
    """A night whose model takes its time, once it has been asked."""

    def slow(body: Mapping[str, Any]) -> Reply:
        reply = SCRIPT(body)
        return (
            Say(reply.text, reply.finish_reason, reply.logprobs, delay_s=0.02)
            if isinstance(reply, Say)
            else reply
        )

    with serving(slow, who.top / "model.sock") as (server, variables):
        process = subprocess.Popen(
            who.words("night"), cwd=who.root, env=who.environment(**variables), text=True, **popen
        )
        try:
            for _ in range(200):
                if server.requests or process.poll() is not None:
                    break
                time.sleep(0.1)
            assert server.requests, process
            yield process, server
        finally:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_the_night_that_has_moved(signum: signal.Signals) -> None:
    """The process that was started is the night: no parent is left, and a signal to it drains the night."""
    with person(0) as who:
        with slow_night(who, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as (process, _):
            words, namespace = _all_processes()[process.pid]
            assert "night" in words
            assert namespace != os.stat("/proc/self/ns/net").st_ino
            process.send_signal(signum)
            process.wait(60)
            assert process.stderr is not None
            said = process.stderr.read()
            assert process.returncode in (0, 130), said
            assert "finishing what runs" in said
        with serving(SCRIPT, who.top / "again.sock") as (_, variables):
            assert who.run("night", **variables).returncode == 0


def test_the_terminal_stays_the_nights() -> None:
    """Over the move, input, output and progress are the terminal's, and Ctrl-C is a signal to the night."""
    with person(0) as who:
        ours, theirs = pty.openpty()
        with slow_night(who, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as (
            process,
            _,
        ):
            os.close(theirs)
            heard = b""
            for descriptor in (0, 1, 2):
                assert os.readlink(f"/proc/{process.pid}/fd/{descriptor}").startswith("/dev/pts/")
            os.killpg(process.pid, signal.SIGINT)
            while process.poll() is None or heard[-1:] == b"":
                try:
                    heard += os.read(ours, 4096)
                except OSError:
                    break
            process.wait(60)
        os.close(ours)
        assert process.returncode in (0, 130)
        assert b"finishing what runs" in heard
        assert re.search(rb"\x1b\[", heard), "no progress was drawn"


def refused(who: Person, *words: str, **variables: str) -> str:
    """Run a night that must not start; return what it said."""
    with serving(SCRIPT, who.top / "model.sock") as (server, leads):
        done = who.run(*words, "night", **{**leads, **variables})
    assert done.returncode == 3, done
    assert server.head_lines == [], "the server was asked something"
    assert not [path for path in (who.root / "artifacts").iterdir() if path.name != ".gitignore"]
    return done.stderr


def test_proxies_and_credentials_keep_a_night_from_starting() -> None:
    """They are named, their values are not, and nothing was started; the policy may say to strip credentials."""
    with person(0) as who:
        assert "https_proxy" in refused(who, https_proxy="http://127.0.0.9:1")
        assert "NO_PROXY" in refused(who, NO_PROXY="*")
        said = refused(who, OPENAI_API_KEY="sk-canary", AWS_SECRET_ACCESS_KEY="canary")
        assert "AWS_SECRET_ACCESS_KEY, OPENAI_API_KEY" in said
        assert "canary" not in said
        policy = who.root / "policies" / "night.toml"
        policy.write_text(
            policy.read_text("utf-8").replace('credentials = "refuse"', 'credentials = "strip"'), "utf-8"
        )
        with slow_night_with_key(who) as environ:
            assert b"canary" not in environ


def test_a_running_night_has_only_what_it_needs() -> None:
    """Neither the night nor what it started has a variable that nobody named; what starts it has (the control)."""
    spare = {
        "SSH_AUTH_SOCK": "/canary",
        "UNNAMED": "canary",
        "LD_PRELOAD_OF_MINE": "canary",
        "GIT_DIR": "/canary",
    }
    with person(0) as who:
        plain = who.environment
        who.environment = lambda **more: {**plain(**more), **spare}  # type: ignore[method-assign]
        words = [sys.executable, "-c", "print(open('/proc/self/environ').read())"]
        shown = subprocess.run(
            words, env=who.environment(), capture_output=True, text=True, check=True
        ).stdout
        assert shown.count("canary") == len(spare), "the control"
        with slow_night(who, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as (process, _):
            inside = os.stat(f"/proc/{process.pid}/ns/net").st_ino
            night = [pid for pid, (_, namespace) in _all_processes().items() if namespace == inside]
            assert process.pid in night
            found = _environments(night)
        assert b"PATH=" in found[process.pid]
        assert [pid for pid, environ in found.items() if b"canary" in environ] == []


def _environments(pids: Sequence[int]) -> dict[int, bytes]:
    """Return the variables of those of the processes that have not ended meanwhile."""
    found = {}
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            found[pid] = Path(f"/proc/{pid}/environ").read_bytes()
    return found


@contextmanager
def slow_night_with_key(who: Person) -> Iterator[bytes]:
    """Yield the environments of a night under way and of all that it started."""
    variables = {**who.environment(), "OPENAI_API_KEY": "sk-canary"}
    who.environment = lambda **more: {**variables, **more}  # type: ignore[method-assign]
    assert who.run("enqueue", "-", stdin=who.run("scope", "docops", "docs/**/*.md").stdout,
                   PANTHEON_ENDPOINT_KIND="openai").returncode == 0  # fmt: skip
    who.words = _accepting_drift(who.words)  # type: ignore[method-assign]
    with slow_night(who, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as (process, _):
        inside = os.stat(f"/proc/{process.pid}/ns/net").st_ino
        night = [pid for pid, (_, namespace) in _all_processes().items() if namespace == inside]
        assert process.pid in night
        yield b"".join(_environments(night).values())


def _accepting_drift(words: Callable[..., list[str]]) -> Callable[..., list[str]]:
    def more(*given: str) -> list[str]:
        return words(*given, *(["--accept-drift", "a test"] if given[:1] == ("night",) else []))

    return more


def test_a_server_on_another_machine_is_out_of_reach() -> None:
    """The way to mend it names both other ways."""
    with person(0) as who:
        policy = who.root / "policies" / "night.toml"
        policy.write_text(
            policy.read_text("utf-8").replace("local_networks = []", 'local_networks = ["10.0.0.5/32"]')
        )
        done = who.run("night", PANTHEON_ENDPOINT_KIND="openai", PANTHEON_ENDPOINT_URL="http://10.0.0.5:8000")
        assert done.returncode == 3
        assert "endpoint.uds" in done.stderr
        assert "firewall" in done.stderr


def test_help_enters_nothing() -> None:
    """Asking what a command does moves no process."""
    words: Sequence[str] = [sys.executable, "-X", "importtime", "-m", "pantheon", "night", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "pantheon.adapters.containment" not in done.stderr
