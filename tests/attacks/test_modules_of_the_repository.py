"""Attacks by packages of a repository that are called like what is started: ``python -m`` looks where it stands."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pantheon.adapters.served_process import hold_supervisor, start_process
from pantheon.core.vllm import ENVIRONMENT, VllmServer, shell_line, vllm_command
from pantheon.shell.vllm_wiring import LOCK
from pantheon.shell.wiring import lay_out_repository
from pantheon.testing.user_repository import make_repository

PLANTED = "import pathlib\npathlib.Path({mark!r}).write_text(__name__)\nraise SystemExit(7)\n"
HERE = str(Path(__file__).parents[2])


@pytest.fixture
def root() -> Iterator[Path]:
    """A repository with packages of its own called ``pantheon`` and ``vllm``, which leave a mark when they are run."""
    with tempfile.TemporaryDirectory(prefix="pt-") as name:
        mark = str(Path(name, "mark"))
        planted = PLANTED.format(mark=mark).encode()
        yield make_repository(
            Path(name, "user"), {f"{one}/__init__.py": planted for one in ("pantheon", "vllm")}
        )


@pytest.fixture
def mark(root: Path) -> Path:
    return root.parent / "mark"


@pytest.fixture
def vllm(root: Path) -> tuple[str, ...]:
    return vllm_command(
        VllmServer(
            python=sys.executable, model=str(root), name="m", uds=str(root.parent / "s"),
            context_tokens=512, max_num_seqs=1,
        )
    )  # fmt: skip


@pytest.mark.parametrize("module", ["pantheon", "vllm"])
def test_control_what_is_started_in_the_repository_is_the_repositorys(
    root: Path, mark: Path, module: str
) -> None:
    """The same words without the control run the package that the repository brings."""
    done = subprocess.run([sys.executable, "-m", module], cwd=root, capture_output=True, check=False)
    assert (done.returncode, mark.read_text()) == (7, module)


async def test_the_model_server_is_not_looked_for_in_the_repository(
    root: Path, mark: Path, vllm: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is started by somebody who stands in the repository is the interpreter's own."""
    monkeypatch.chdir(root)
    process = await start_process(vllm, {}, os.environ, root.parent / "log")
    assert await process.wait() != 7
    assert "mark" not in os.listdir(root.parent)


def test_the_supervisor_is_not_looked_for_in_the_repository(root: Path, mark: Path) -> None:
    """``server start --detach`` starts Pantheon again, from wherever it is called."""
    lay_out_repository(root, {}, dry_run=False)
    settings = {
        "endpoint.kind": "openai", "endpoint.uds": str(root.parent / "s"), "vllm.model": ".",
        "vllm.python": "/bin/false",
    }  # fmt: skip
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    with hold_supervisor(root / ".pantheon" / LOCK):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "pantheon", *words, "server", "start", "--detach"],
            cwd=root, env={**os.environ, "PYTHONPATH": HERE}, capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
    told = (root / ".pantheon" / "logs" / "supervisor.log").read_text()
    assert "looks after the server already" in told, done
    assert not mark.exists()


def test_the_rendered_line_takes_nothing_from_the_repository(
    root: Path, mark: Path, vllm: tuple[str, ...]
) -> None:
    """The line that ``server render`` prints is meant for whoever stands in the repository."""
    line = shell_line(vllm, {"HF_HUB_OFFLINE": "1"})
    subprocess.run(["sh", "-c", line], cwd=root, capture_output=True, check=False)
    assert mark.exists(), "the control: without the server's own environment the planted package runs"
    mark.unlink()
    subprocess.run(["sh", "-c", shell_line(vllm, ENVIRONMENT)], cwd=root, capture_output=True, check=False)
    assert not mark.exists()
