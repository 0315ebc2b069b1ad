"""``pantheon server`` over a program that stands in for vLLM: what is rendered, started, kept, shown and stopped."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pantheon.core.errors import ConfigError
from pantheon.core.vllm import VllmServer, shell_line, unit_drop_in, vllm_command, vllm_environment
from pantheon.shell.wiring import lay_out_repository
from pantheon.testing.user_repository import make_repository

STAND_IN = """#!{python}
import asyncio, os, pathlib, sys
sys.path.insert(0, {root!r})
from pantheon.testing.scripted_model import Say, serve_script
words = sys.argv[1:]
pathlib.Path({folder!r}, "new").write_text(str(os.getpid()))
os.replace({folder!r} + "/new", {folder!r} + "/pid")
pathlib.Path({folder!r}, "environment").write_text(repr(dict(os.environ)))
if pathlib.Path({folder!r}, "broken").exists():
    sys.exit("no memory")
async def main():
    socket = pathlib.Path(words[words.index("--uds") + 1])
    name = words[words.index("--served-model-name") + 1]
    async with serve_script(lambda body: Say("ok"), socket, model=name):
        print("serving", flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""
SERVER = VllmServer(
    python="/opt/vllm/bin/python",
    model="/srv/m",
    name="m",
    uds="/run/s.sock",
    context_tokens=4096,
    max_num_seqs=8,
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a path short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="pt-") as name:
        yield Path(name)


@pytest.fixture
def root(folder: Path) -> Iterator[Path]:
    root = make_repository(folder / "user", {"README.md": b"hello\n"})
    lay_out_repository(root, {}, dry_run=False)
    (folder / "model").mkdir()
    program = folder / "python"
    here = str(Path(__file__).parents[2])
    program.write_text(STAND_IN.format(python=sys.executable, root=here, folder=str(folder)))
    program.chmod(0o755)
    text = (root / "pantheon.toml").read_text()
    text = text.replace('kind = "embedded"', 'kind = "openai"').replace(
        'uds = ""', f'uds = "{folder}/s.sock"'
    )
    text = text.replace('python = "python3"', f'python = "{program}"')
    (root / "pantheon.toml").write_text(text.replace('model = ""    ', f'model = "{folder}/model" #', 2))
    yield root
    pantheon(root, "stop")


def pantheon(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "https_proxy": "http://127.0.0.1:9", "AWS_SECRET_ACCESS_KEY": "s"}
    return subprocess.run(
        [sys.executable, "-m", "pantheon", "-C", str(root), "--set", "endpoint.model=small", "server", *words],
        capture_output=True, text=True, timeout=60, check=False, env=environment,
    )  # fmt: skip


def test_the_command_says_what_the_night_counts_on() -> None:
    """Prefix caching, counts of cached tokens, the socket; nothing is fetched; adapters switch LoRA on."""
    words = vllm_command(SERVER)
    assert words[:3] == ("/opt/vllm/bin/python", "-m", "vllm.entrypoints.openai.api_server")
    assert {"--enable-prefix-caching", "--enable-prompt-tokens-details"} <= set(words)
    assert words[words.index("--uds") + 1] == "/run/s.sock"
    assert words[words.index("--max-num-seqs") + 1] == "8"
    assert words[words.index("--stream-interval") + 1] == "8"
    assert not {"--enable-lora", "--host", "--enforce-eager", "--gpu-memory-utilization"} & set(words)
    assert vllm_environment(SERVER)["HF_HUB_OFFLINE"] == "1"
    assert vllm_environment(SERVER)["VLLM_HOST_IP"] == "127.0.0.1"
    more = SERVER.model_copy(update={"adapters": {"b": "/b", "a": "/a"}, "uds": "", "eager": True})
    words = vllm_command(more)
    assert words[-6:] == ("--enable-lora", "--max-loras", "2", "--lora-modules", "a=/a", "b=/b")
    assert words[words.index("--host") + 1] == "127.0.0.1"


def test_without_a_gpu_it_is_told_what_the_machine_has() -> None:
    """Memory for its cache, in blocks that short openings fill; as many cores as are wanted, and none that waits by
    turning; with a GPU nothing of it is said."""
    cached = SERVER.model_copy(update={"cpu_cache_gib": 2})
    words = vllm_command(cached)
    assert words[words.index("--block-size") + 1] == "32"
    assert vllm_environment(cached)["VLLM_CPU_KVCACHE_SPACE"] == "2"
    assert "OMP_NUM_THREADS" not in vllm_environment(cached)
    threaded = SERVER.model_copy(update={"cpu_threads": 3})
    words, variables = vllm_command(threaded), vllm_environment(threaded)
    assert words[words.index("--distributed-executor-backend") + 1] == "uni"
    assert words[words.index("--block-size") + 1] == "32"
    assert variables["OMP_NUM_THREADS"] == "3"
    assert variables["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
    assert variables["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
    with_gpu = {*vllm_command(SERVER), *vllm_environment(SERVER)}
    assert not {name for name in with_gpu if "CPU" in name or "block" in name or "MULTIPROC" in name}


def test_a_unit_reads_the_words_as_they_are() -> None:
    """Specifiers and variables of systemd are words like others; what it would read differently is refused."""
    odd = SERVER.model_copy(update={"model": "/srv/50% of $HOME"})
    unit = unit_drop_in(vllm_command(odd), vllm_environment(odd))
    assert '"/srv/50%% of $$HOME"' in unit
    assert unit.splitlines().index("ExecStart=") < len(unit.splitlines()) - 1
    assert shell_line(["a b"], {"X": "y z"}) == "env X='y z' 'a b'"
    for bad in ('/srv/"x', "/srv/a\nExecStartPre=/bin/evil", "/srv/back\\slash"):
        wrong = SERVER.model_copy(update={"model": bad})
        with pytest.raises(ConfigError, match="cannot stand in a unit"):
            unit_drop_in(vllm_command(wrong), {})


def test_start_status_stop(root: Path, folder: Path) -> None:
    """A server is started and kept in the background, shown with what it can do, started again, and stopped."""
    rendered = json.loads(pantheon(root, "render", "--json").stdout)
    assert rendered["command"][rendered["command"].index("--model") + 1] == str(folder / "model")
    before = pantheon(root, "status", "--json")
    assert (before.returncode, json.loads(before.stdout)["answers"]) == (4, False)
    started = pantheon(root, "start", "--detach")
    assert started.returncode == 0, started.stderr
    told = json.loads(pantheon(root, "status", "--json").stdout)
    assert (told["answers"], told["model"], told["without"]) == (True, "small", [])
    assert "logprobs" in told["can"]
    environment = (folder / "environment").read_text()
    assert "proxy" not in environment
    assert "AWS" not in environment
    again = pantheon(root, "start")
    assert (again.returncode, "looks after the server already" in again.stderr) == (3, True)
    first = int((folder / "pid").read_text())
    os.kill(first, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while int((folder / "pid").read_text()) == first or pantheon(root, "status").returncode:
        assert time.monotonic() < deadline
    stopped = pantheon(root, "stop")
    assert (stopped.returncode, "stopped" in stopped.stderr) == (0, True)
    with pytest.raises(ProcessLookupError):
        os.kill(int((folder / "pid").read_text()), 0)
    assert "serving" in (root / ".pantheon/logs/vllm.log").read_text()
    assert "nobody" in pantheon(root, "stop").stderr


def test_what_is_not_configured_is_said(tmp_path: Path) -> None:
    """Without a vLLM in the configuration every verb names the keys to set."""
    root = make_repository(tmp_path / "user", {"README.md": b"hello\n"})
    lay_out_repository(root, {}, dry_run=False)
    for verb in ("render", "start"):
        answer = pantheon(root, verb)
        assert (answer.returncode, "endpoint.kind" in answer.stderr) == (2, True)
    status = pantheon(root, "status")
    assert (status.returncode, "embedded" in status.stdout) == (0, True)


def test_a_file_in_the_place_of_the_socket_is_left_alone(root: Path, folder: Path) -> None:
    """What is configured as a socket and is something else is somebody's file."""
    (folder / "s.sock").write_text("mine")
    answer = pantheon(root, "start")
    assert (answer.returncode, "is no socket" in answer.stderr) == (2, True)
    assert (folder / "s.sock").read_text() == "mine"
