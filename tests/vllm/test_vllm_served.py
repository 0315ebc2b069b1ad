"""The real vLLM as ``pantheon server`` starts, looks after and stops it, with a LoRA adapter that it loads later."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pantheon.testing.user_repository import make_repository
from pantheon.testing.vllm_server import ADAPTER, NAME, Prepared

pytestmark = pytest.mark.vllm

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
    socket = told["address"]
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
    with pytest.raises(ProcessLookupError):
        os.kill(told["supervisor"], signal.SIG_DFL)
