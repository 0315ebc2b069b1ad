"""The real vLLM as ``pantheon server`` starts, looks after and stops it, with a LoRA adapter that it loads later."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from pantheon.adapters.local_http import local_client
from pantheon.adapters.served_process import measure_group
from pantheon.adapters.server_work import ask_work
from pantheon.core.server_watch import Patience
from pantheon.shell.config import load_project
from pantheon.shell.vllm_watch import find_lost_metrics
from pantheon.shell.vllm_wiring import supervise
from pantheon.testing.user_repository import make_repository
from pantheon.testing.vllm_server import ADAPTER, NAME, Prepared

pytestmark = pytest.mark.vllm

RESTARTED_S = 240

CONFIGURATION = """
[endpoint]
kind = "openai"
uds = "{socket}"
model = "{name}"
context_tokens = 4096

[vllm]
python = "{python}"
model = "{model}"
dtype = "float32"
cpu_cache_gib = 2
cpu_threads = {cores}
eager = true

[[pool]]
name = "endpoint"
adapters = {{ {adapter} = "{folder}" }}
"""


def pantheon(repository: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of Pantheon in the repository, as a person would."""
    return subprocess.run(
        [sys.executable, "-m", "pantheon", *words],
        cwd=repository, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Path]:
    """A repository that says which vLLM is wanted; no server outlives its test."""
    prepared = Prepared()
    prepared.check()
    repository = make_repository(tmp_path / "user", {"README.md": b"hello\n"})
    assert pantheon(repository, "init").returncode == 0
    with tempfile.TemporaryDirectory(prefix="pt-") as folder:
        (repository / "pantheon.toml").write_text(
            CONFIGURATION.format(
                socket=f"{folder}/s.sock",
                name=NAME,
                python=prepared.python,
                model=prepared.model,
                cores=len(os.sched_getaffinity(0)),
                adapter=ADAPTER,
                folder=prepared.adapter,
            )
        )
        yield repository
        pantheon(repository, "server", "stop")


def test_it_is_served_with_room_for_adapters(repository: Path) -> None:
    """What is rendered is enough to load an adapter while it serves, and its end is seen to."""
    started = pantheon(repository, "server", "start", "--detach")
    assert started.returncode == 0, started.stderr
    told = json.loads(pantheon(repository, "server", "status", "--json").stdout)
    assert (told["answers"], told["model"]) == (True, NAME)
    assert "answers after" in told["supervisor_said"]
    socket, group = told["address"], _group(repository)
    with httpx.Client(
        transport=httpx.HTTPTransport(uds=socket), base_url="http://localhost", timeout=120
    ) as http:
        named = {"lora_name": ADAPTER, "lora_path": str(Prepared().adapter)}
        loaded = http.post("/v1/load_lora_adapter", json=named)
        assert loaded.status_code == httpx.codes.OK, loaded.text
        assert {one["id"] for one in http.get("/v1/models").json()["data"]} == {NAME, ADAPTER}
        asked = {"model": ADAPTER, "messages": [{"role": "user", "content": "1"}], "max_tokens": 2}
        assert http.post("/v1/chat/completions", json=asked).json()["model"] == ADAPTER
    again = pantheon(repository, "server", "start")
    assert (again.returncode, "looks after the server already" in again.stderr) == (3, True)
    stopped = pantheon(repository, "server", "stop")
    assert stopped.returncode == 0, stopped.stderr
    told = json.loads(pantheon(repository, "server", "status", "--json").stdout)
    assert (told["answers"], told["supervisor"]) == (False, None)
    assert _living(group) == 0


async def test_what_its_supervisor_looks_at_is_there(repository: Path) -> None:
    """Its counters grow with its work, and the time of the process that computes is that of its group."""
    started = await asyncio.to_thread(pantheon, repository, "server", "start", "--detach")
    assert started.returncode == 0, started.stderr
    socket = load_project(repository).config.endpoint.uds
    async with local_client("http://localhost", uds=socket) as http:
        before, used_s = await ask_work(http), measure_group(_group(repository))
        asked = {
            "model": NAME,
            "messages": [{"role": "user", "content": "1"}],
            "max_tokens": 50,
            "ignore_eos": True,
        }
        answer = await http.post("/v1/chat/completions", json=asked, timeout=120)
        assert answer.status_code == httpx.codes.OK, answer.text
        after = await ask_work(http)
    assert before is not None
    assert after is not None
    assert after - before >= 50
    assert measure_group(_group(repository)) > used_s
    assert await find_lost_metrics(load_project(repository)) == ""


async def test_its_engine_hangs_and_it_is_started_again(repository: Path) -> None:
    """Only the process that computes is stopped: every page answers, and one token does not come."""
    said: list[str] = []
    stopping, ready = asyncio.Event(), asyncio.Event()
    patience = Patience(look_s=2, ask_s=2, stuck_s=15)

    async def answering(times: int) -> None:
        while sum("answers after" in one for one in said) < times:  # noqa: ASYNC110  the supervisor tells in words
            await asyncio.sleep(0.1)

    async with asyncio.timeout(RESTARTED_S), asyncio.TaskGroup() as group:
        group.create_task(
            supervise(
                load_project(repository), say=said.append, stopping=stopping, ready=ready, patience=patience
            )
        )
        try:
            await answering(1)
            os.kill(_engine(said), signal.SIGSTOP)
            await answering(2)
        finally:
            stopping.set()
    assert [one for one in said if "has done no work since and used no processor" in one]


def _engine(said: list[str]) -> int:
    """Return the process that computes for the server that was started last."""
    group = int(re.findall(r"started vLLM as process (\d+)", "\n".join(said))[-1])
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.getpgid(int(place.name)) == group and b"EngineCore" in (place / "cmdline").read_bytes():
                found.append(int(place.name))
    [engine] = found
    return engine


def _group(repository: Path) -> int:
    """Return the process group of the server that is looked after."""
    log = (repository / ".pantheon" / "logs" / "supervisor.log").read_text()
    return int(re.findall(r"started vLLM as process (\d+)", log)[-1])


def _living(group: int) -> int:
    """Return how many processes of a group have not ended, whether or not somebody has taken note of it."""
    states = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            states.append(file.read_text(errors="replace").rpartition(")")[2].split())
    return sum(int(one[2]) == group and one[0] != "Z" for one in states)
