"""A vLLM that hides how full it is: told to whoever asks how the server is."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pantheon.shell.config import Project, find_user_paths, load_project
from pantheon.shell.project_checks import project_questions
from pantheon.shell.vllm_watch import find_lost_metrics
from pantheon.shell.wiring import lay_out_repository
from pantheon.testing.scripted_model import Answer, Say, serve_script
from pantheon.testing.user_repository import make_repository

GAUGES = b'vllm:num_requests_running{engine="0"} 0.0\n'


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a path short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="pt-") as name:
        yield Path(name)


@pytest.fixture
def project(folder: Path) -> Project:
    root = make_repository(folder / "user", {"README.md": b"hello\n"})
    lay_out_repository(root, {}, dry_run=False)
    return load_project(root, {"endpoint.kind": "openai", "endpoint.uds": str(folder / "s.sock")})


@pytest.mark.parametrize(
    ("owner", "metrics", "lost"),
    [
        ("vllm", None, True),
        ("vllm", Answer(200, b"# nothing\n"), True),
        ("vllm", Answer(200, GAUGES), False),
        ("organization_owner", None, False),
    ],
)
async def test_a_vllm_without_gauges_is_named(
    project: Project, folder: Path, owner: str, metrics: Answer | None, lost: bool
) -> None:
    """Only of vLLM they are expected; doctor warns, and says what to do."""
    async with serve_script(lambda body: Say("ok"), folder / "s.sock") as server:
        listed = {"data": [{"id": "scripted", "owned_by": owner}]}
        server.pages["/v1/models"] = Answer(200, json.dumps(listed).encode())
        if metrics is not None:
            server.pages["/metrics"] = metrics
        assert ("/metrics" in await find_lost_metrics(project)) is lost
        finding = await project_questions(project, find_user_paths({}))["server"]()
    assert ("/metrics" in finding.message, finding.grade.value) == (lost, "warn" if lost else "ok")


async def test_one_that_does_not_answer_has_other_sorrows(project: Project) -> None:
    """Nothing is said of a page of a server that is not there."""
    assert await find_lost_metrics(project) == ""
