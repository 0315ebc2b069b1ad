"""A whole night against the real vLLM: enqueued, worked under containment, verified, reported."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pantheon.testing import describe
from pantheon.testing.user_repository import make_repository
from pantheon.testing.vllm_server import NAME, Vllm

pytestmark = pytest.mark.vllm

ROOT = Path(__file__).parents[2]
ENDED = {0, 1, 5, 6}
"""Exit codes of a night that came to its end; this model is too small for all to be accepted."""
ADAPTED = 3
"""Notes of a night whose agent has an adapter."""
BEGUN_S = 120
CONFIGURATION = """
[endpoint]
kind = "openai"
uds = "{socket}"
context_tokens = 4096
slots = 8

[night]
slots = {{ model = 8, cpu = 2, git = 1 }}
"""


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and state of a night are its test's own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def pantheon(
    repository: Path, *words: str, allowed: frozenset[int] = frozenset({0})
) -> "subprocess.CompletedProcess[str]":
    """Run a command of Pantheon in the repository, as a person would."""
    named = ("HOME", "LANG", "PATH", "XDG_CONFIG_HOME", "XDG_STATE_HOME")
    environment = {name: os.environ[name] for name in named if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-m", "pantheon", *words],
        cwd=repository, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        timeout=1_800,
    )  # fmt: skip
    assert done.returncode in allowed, done.stderr[-3_000:]
    return done


def test_a_night_of_the_sample_notes(vllm: Vllm, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fifteen notes end each with an outcome, nothing is lost, the evidence verifies, and the calls were counted."""
    repository = tmp_path / "repository"
    subprocess.run([ROOT / "samples" / "make_repository.sh", repository], check=True, capture_output=True)
    pantheon(repository, "init")
    (repository / "pantheon.toml").write_text(CONFIGURATION.format(socket=vllm.socket))
    tasks = pantheon(repository, "scope", "docops", "docs/**/*.md").stdout
    (repository / "tasks.jsonl").write_text(tasks)
    pantheon(repository, "enqueue", "tasks.jsonl")
    began = time.monotonic()
    pantheon(repository, "night", allowed=frozenset(ENDED))
    night_s = time.monotonic() - began
    status = json.loads(pantheon(repository, "status", "--json").stdout)
    outcomes: dict[str, int] = status["night"]["outcomes"]
    assert sum(outcomes.values()) == len(tasks.splitlines()) >= 12
    [night] = (repository / "artifacts").glob("*/report.html")
    [key] = (tmp_path / "config" / "pantheon" / "keys").glob("*.pub.pem")
    pantheon(repository, "verify", str(night.parent), "--key", str(key))
    _print_figures(capsys, outcomes, _calls(night.parent), night_s)


def test_an_agent_with_an_adapter(vllm: Vllm, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The night has the server load an agent's adapter, every call is answered by it, and it is gone afterwards."""
    repository = _with_adapter(vllm, tmp_path)
    assert _listed(vllm) == {NAME}
    began = time.monotonic()
    said = pantheon(repository, "night", allowed=frozenset(ENDED)).stderr
    night_s = time.monotonic() - began
    assert "endpoint has loaded the adapter tiny" in said
    assert _listed(vllm) == {NAME}
    [night] = (repository / "artifacts").glob("*/report.html")
    calls = _calls(night.parent)
    answered = [call["reply"] for call in calls if call["reply"]]
    assert len(answered) >= ADAPTED
    assert {call["request"]["model"] for call in calls} == {"tiny"}
    assert {reply["model"] for reply in answered} == {"tiny"}
    _print_figures(capsys, {"adapter": ADAPTED}, calls, night_s)


def test_an_adapter_outlives_its_server(vllm: Vllm, tmp_path: Path) -> None:
    """A server that is killed in mid-answer and started again has lost what it had loaded: the night has it load the
    adapter again before it asks anything, and no task pays for it."""
    repository = _with_adapter(vllm, tmp_path)
    with ThreadPoolExecutor(1) as beside:
        night = beside.submit(pantheon, repository, "night")
        try:
            _wait_answering(vllm, night)
        finally:
            vllm.kill()
            vllm.start()
        said = night.result().stderr
    assert said.count("endpoint has loaded the adapter tiny") == 2
    assert _listed(vllm) == {NAME}
    [evidence] = (repository / "artifacts").glob("*/report.html")
    replies = [call["reply"] for call in _calls(evidence.parent) if call["reply"]]
    assert [reply["model"] for reply in replies] == ["tiny"] * ADAPTED


def _wait_answering(vllm: Vllm, night: "Future[Any]") -> None:
    """Wait until the server answers several calls at once: what a night asks before its tasks comes singly."""
    until = time.monotonic() + BEGUN_S
    while vllm.running() < 2:
        if night.done():
            night.result()
        assert not night.done() and time.monotonic() < until
        time.sleep(0.05)


def _with_adapter(vllm: Vllm, tmp_path: Path) -> Path:
    """Return a repository whose notes wait to be described by an agent that has a LoRA adapter."""
    notes = {
        f"docs/{n}.md": f"Note {n} on queues, caches and their owners.\n".encode() for n in range(ADAPTED)
    }
    repository = make_repository(tmp_path / "user", notes)
    pantheon(repository, "init")
    pool = f'\n[[pool]]\nname = "endpoint"\nadapters = {{ tiny = "{vllm.prepared.adapter}" }}\n'
    (repository / "pantheon.toml").write_text(CONFIGURATION.format(socket=vllm.socket) + pool)
    (repository / "flows" / "describe.toml").write_bytes(describe.flow_file())
    agent = repository / "agents" / describe.AGENT
    agent.mkdir()
    for name, data in describe.agent_files(runtime='adapter = "tiny"').items():
        (agent / name).write_bytes(data)
    tasks = [
        {"id": f"n{n}", "kind": describe.KIND, "goal": "describe", "targets": [f"docs/{n}.md"]}
        for n in range(ADAPTED)
    ]
    (repository / "tasks.jsonl").write_text("".join(json.dumps(task) + "\n" for task in tasks))
    pantheon(repository, "enqueue", "tasks.jsonl")
    return repository


def _listed(vllm: Vllm) -> set[str]:
    with vllm.http() as http:
        return {one["id"] for one in http.get("/v1/models").json()["data"]}


def _calls(night: Path) -> list[dict[str, Any]]:
    files = sorted(night.rglob("llm_calls.jsonl"))
    calls = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert calls
    return calls


def _print_figures(
    capsys: pytest.CaptureFixture[str], outcomes: dict[str, int], calls: list[dict[str, Any]], night_s: float
) -> None:
    answered = [call["reply"]["usage"] for call in calls if call["reply"]]
    figures = {
        "outcomes": outcomes,
        "seconds": round(night_s, 1),
        "calls": len(calls),
        "prompt_tokens": sum(usage["prompt_tokens"] for usage in answered),
        "cached_tokens": sum(usage["cached_tokens"] for usage in answered),
        "completion_tokens": sum(usage["completion_tokens"] for usage in answered),
    }
    with capsys.disabled():
        sys.stdout.write(f"\n{json.dumps(figures)}\n")
