"""The supervisor of ``pantheon server`` over real sockets and processes: whom it waits for, ends and replaces."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pantheon.adapters.served_process import start_process
from pantheon.core.errors import ModelGoneError, ModelTimeoutError, PreflightError
from pantheon.core.server_watch import Patience
from pantheon.shell import vllm_keeping
from pantheon.shell.config import Project, load_project
from pantheon.shell.vllm_wiring import supervise, told_by_supervisor
from pantheon.shell.wiring import lay_out_repository
from pantheon.testing.scripted_model import Answer, Say, ScriptedServer, serve_script

GUARD_S = 60.0
QUICK = Patience(
    look_s=0.05, probe_s=0.5, silent_s=1.0, stuck_s=1.0, slow_s=30.0, ask_s=0.2, gap_s=20.0, gone_s=0.1
)
STAND_IN = """#!{python} -I
import asyncio, json, os, pathlib, sys
words, folder = sys.argv, pathlib.Path({folder!r})
(folder / "new").write_text(str(os.getpid())); os.replace(folder / "new", folder / "pid")
with open(folder / "starts", "a") as file: file.write("x")
if (folder / "broken").exists(): sys.exit("no memory")
if (folder / "frozen").exists(): os.rename(folder / "frozen", folder / "is-frozen"); frozen = True
else: frozen = False
path, name = words[words.index("--uds") + 1], words[words.index("--served-model-name") + 1]
metrics = b'vllm:num_requests_running{{engine="0"}} 1.0\\nvllm:generation_tokens_total{{engine="0"}} 5.0\\n'
async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            lower, length = head.lower(), 0
            if b"content-length:" in lower:
                length = int(lower.split(b"content-length:")[1].split(b"\\r\\n")[0])
            await reader.readexactly(length)
            asked, body = head.split(b" ")[1], b"{{}}"
            if asked == b"/v1/models": body = json.dumps({{"data": [{{"id": name}}]}}).encode()
            elif asked == b"/metrics": body = metrics
            elif b"chat" in asked:
                with open(folder / "chats", "a") as file: file.write("x")
                if frozen and (folder / "chats").stat().st_size > 1: await asyncio.Event().wait()
                choice = {{"index": 0, "delta": {{"content": "x"}}, "finish_reason": "stop"}}
                said = {{"model": name, "choices": [choice]}}
                body = b"data: " + json.dumps(said).encode() + b"\\n\\ndata: [DONE]\\n\\n"
            writer.write(b"HTTP/1.1 200 X\\r\\ncontent-length: %d\\r\\n\\r\\n" % len(body) + body)
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError): writer.close()
async def main():
    async with await asyncio.start_unix_server(serve, path): await asyncio.Event().wait()
asyncio.run(main())
"""


@dataclass
class Place:
    """A project whose vLLM is a stand-in."""

    folder: Path
    project: Project
    said: list[str] = field(default_factory=list)

    @property
    def socket(self) -> Path:
        return self.folder / "s.sock"

    @property
    def starts(self) -> int:
        counted = self.folder / "starts"
        return len(counted.read_text()) if counted.exists() else 0

    @property
    def pid(self) -> int:
        return int((self.folder / "pid").read_text())

    def heard(self, words: str) -> int:
        """Return how often something was said."""
        return sum(words in one for one in self.said)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds."""
        async with asyncio.timeout(GUARD_S):
            while not holds():  # noqa: ASYNC110  another process tells of itself in files
                await asyncio.sleep(0.01)

    async def supervise(self, then: Callable[[asyncio.Event], Awaitable[None]]) -> None:
        """Supervise for as long as something else takes."""
        stopping, ready = asyncio.Event(), asyncio.Event()
        async with asyncio.timeout(GUARD_S), asyncio.TaskGroup() as group:
            group.create_task(
                supervise(self.project, say=self.said.append, stopping=stopping, ready=ready, patience=QUICK)
            )
            try:
                await then(ready)
            finally:
                stopping.set()


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setattr(vllm_keeping, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(vllm_keeping, "POLL_S", 0.02)
    monkeypatch.setattr(vllm_keeping, "STOP_GRACE_S", 0.2)
    with tempfile.TemporaryDirectory(prefix="pt-") as name:
        folder = Path(name)
        (folder / "model").mkdir()
        root = folder / "user"
        (root / ".git").mkdir(parents=True)
        lay_out_repository(root, {}, dry_run=False)
        program = folder / "python"
        program.write_text(STAND_IN.format(python=sys.executable, folder=str(folder)))
        program.chmod(0o755)
        (root / "pantheon.toml").write_text(
            f'[endpoint]\nkind = "openai"\nuds = "{folder}/s.sock"\nmodel = "small"\n'
            f'[vllm]\nmodel = "{folder}/model"\npython = "{program}"\nready_timeout_s = 60\n'
        )
        yield Place(folder, load_project(root))


async def be_refused(place: Place, seconds: int = 60) -> pytest.ExceptionInfo[ExceptionGroup[Exception]]:
    """Return what a supervisor ends with by itself.

    Args:
        place: the project.
        seconds: that loading may take.
    """
    overrides = {"vllm.ready_timeout_s": str(seconds)}
    place.project = load_project(place.project.root, overrides)
    with pytest.raises(ExceptionGroup) as caught:
        await place.supervise(lambda ready: asyncio.sleep(GUARD_S))
    return caught


@asynccontextmanager
async def somebody(place: Place, *, model: str = "small") -> AsyncIterator[ScriptedServer]:
    """Have another program serve at the address."""
    async with serve_script(lambda body: Say("ok"), place.socket, model=model) as server:
        yield server


async def test_one_that_loads_is_waited_for_and_used(place: Place) -> None:
    """A server that takes connections and is not well yet keeps its socket; nothing is started beside it."""
    async with somebody(place) as server:
        server.pages["/health"] = Answer(503)
        before = place.socket.stat().st_ino

        async def look(ready: asyncio.Event) -> None:
            await place.until(lambda: place.heard("waiting for him") == 1)
            assert not ready.is_set()
            del server.pages["/health"]
            await ready.wait()

        await place.supervise(look)
        assert (place.socket.stat().st_ino, place.starts) == (before, 0)
    assert place.heard("used as it is") == 1


async def test_one_that_never_gets_ready_is_left_alone(place: Place) -> None:
    """The time that loading may take bounds the wait for somebody else's server too."""
    async with somebody(place) as server:
        server.pages["/health"] = Answer(503)
        caught = await be_refused(place, 1)
        assert caught.group_contains(ModelTimeoutError, match="left alone|did not answer within 1 s")
        assert (place.socket.exists(), place.starts) == (True, 0)


async def test_one_that_serves_another_model_is_refused(place: Place) -> None:
    """Somebody else's server is neither used nor fought: what it serves is said."""
    async with somebody(place, model="other"):
        caught = await be_refused(place)
        assert caught.group_contains(PreflightError, match="somebody else has .*'other'")
        assert (place.socket.exists(), place.starts) == (True, 0)


async def test_the_one_who_starts_in_the_background_is_refused_too(place: Place) -> None:
    """The command's exit code is that of a refusal, and its words say who has the address."""
    await asyncio.to_thread(subprocess.run, ["git", "init", "-q", str(place.project.root)], check=True)
    words = ["-P", "-m", "pantheon", "-C", str(place.project.root), "server", "start", "--detach"]
    async with somebody(place, model="other"), asyncio.timeout(GUARD_S):
        process = await asyncio.create_subprocess_exec(
            sys.executable, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        _, said = await process.communicate()
        assert (process.returncode, b"'other'" in said, b"supervisor.log" in said) == (3, True, True)
        assert (place.socket.exists(), place.starts) == (True, 0)


async def test_what_is_no_model_server_is_refused(place: Place) -> None:
    """Whoever listens there and speaks something else keeps its socket."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_unix_server(greet, str(place.socket)):
        caught = await be_refused(place, 1)
        assert caught.group_contains((PreflightError, ModelTimeoutError))
        assert (place.socket.is_socket(), place.starts) == (True, 0)


async def test_a_socket_that_is_bound_and_takes_nobody_yet_is_left(place: Place) -> None:
    """vLLM binds its socket before it loads, and listens afterwards: it refuses connections meanwhile."""
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(place.socket))
        caught = await be_refused(place, 1)
        assert caught.group_contains(ModelTimeoutError)
        assert (place.socket.is_socket(), place.starts) == (True, 0)


async def test_the_socket_of_one_that_is_gone_is_replaced(place: Place) -> None:
    """Nobody has it any more: a killed server's socket is in nobody's way."""
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(place.socket))

    async def look(ready: asyncio.Event) -> None:
        await ready.wait()

    await place.supervise(look)
    assert place.starts == 1


async def test_one_that_was_used_and_is_gone_is_replaced(place: Place) -> None:
    """A server of somebody else that stays away leaves the project without one: ours is started, and that is said."""

    async def look(ready: asyncio.Event) -> None:
        async with somebody(place):
            await ready.wait()
            assert "used as it is" in told_by_supervisor(place.project)
        await place.until(lambda: place.heard("answers after") == 1)

    await place.supervise(look)
    assert place.heard("is gone") == 1
    assert place.starts == 1


async def test_one_that_is_stopped_is_ended_and_started_again(place: Place) -> None:
    """A process that lives and answers nothing is killed with its group, and replaced by the same back-off."""

    async def look(ready: asyncio.Event) -> None:
        await ready.wait()
        first = place.pid
        os.kill(first, signal.SIGSTOP)
        await place.until(lambda: place.heard("answers after") > 1)
        assert place.pid != first
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)

    await place.supervise(look)
    assert place.heard("vLLM hangs: /health has not answered") >= 1


async def test_one_that_has_work_and_does_none_is_ended(place: Place) -> None:
    """Its pages answer, a question does not, what it counts stands still, and no processor is used."""
    (place.folder / "frozen").touch()

    async def look(ready: asyncio.Event) -> None:
        await place.until(lambda: place.heard("answers after") > 1)

    await place.supervise(look)
    assert place.heard("has done no work since and used no processor") >= 1


async def test_an_idle_one_is_asked_and_stays(place: Place) -> None:
    """Without work it answers one token now and then, and is left alone, though its gauge tells of a request that was
    called off: vLLM tells that anew only when it has computed something."""

    async def look(ready: asyncio.Event) -> None:
        await ready.wait()
        chats = place.folder / "chats"
        await place.until(lambda: chats.exists() and len(chats.read_text()) >= 4)

    await place.supervise(look)
    assert place.heard("done no work since") == 0


async def test_only_service_begins_the_count_anew(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes longer to break than a good one has to serve came to nothing all the same."""
    monkeypatch.setattr(vllm_keeping, "STAYED_S", 0.0)
    (place.folder / "broken").touch()
    caught = await be_refused(place)
    assert caught.group_contains(ModelGoneError, match="6 times in a row")
    assert place.starts == 6


async def test_a_supervisor_that_cannot_say_a_word_goes_on(place: Place) -> None:
    """A full disk below its log, or a terminal that is gone, is no reason to end a server that is well."""

    class Full(list[str]):
        def append(self, said: str) -> None:
            super().append(said)
            raise OSError(28, "No space left on device")

    place.said = Full()

    async def look(ready: asyncio.Event) -> None:
        await ready.wait()

    await place.supervise(look)
    assert (place.starts, place.heard("started vLLM"), place.heard("answers after")) == (1, 1, 1)


async def test_what_was_started_is_ended_whatever_goes_wrong(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing stands between the start and the promise to end it."""
    started: list[asyncio.subprocess.Process] = []
    start = start_process

    async def watched(*words: Any) -> asyncio.subprocess.Process:
        started.append(await start(*words))
        return started[-1]

    class Broken(list[str]):
        def append(self, said: str) -> None:
            if "started vLLM" in said:
                raise RuntimeError("broken")

    monkeypatch.setattr(vllm_keeping, "start_process", watched)
    place.said = Broken()
    caught = await be_refused(place)
    assert caught.group_contains(RuntimeError, match="broken")
    assert [one.returncode is None for one in started] == [False]


async def test_words_of_somebody_else_stay_in_their_line(place: Place) -> None:
    """What a foreign server says of an error begins no line that looks like the supervisor's own."""
    said = Answer(500, b"no\nstarted vLLM as process 1")
    async with serve_script(lambda body: said, place.socket, model="small"):
        await be_refused(place, 1)
    assert place.heard("no started vLLM as process 1") == 1
    assert not [one for one in place.said if "\n" in one]
