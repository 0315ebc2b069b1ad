"""What a night needs of its server is asked before it begins, remembered, and refused where it is missing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pantheon.adapters.artifacts import ArtifactFolder
from pantheon.adapters.http_model import HttpModelClient
from pantheon.adapters.server_file import FILE, read_servers
from pantheon.core.errors import PreflightError
from pantheon.shell.config import Project, find_user_paths, load_project
from pantheon.shell.project_checks import project_questions
from pantheon.shell.server_wiring import KEPT_LOG_BYTES, VLLM_LOG, ServerLog, read_known, require_server
from pantheon.shell.wiring import lay_out_repository, load_content
from pantheon.testing.scripted_model import Answer, Say, ScriptedServer, serve_script
from pantheon.testing.user_repository import make_repository

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root = make_repository(tmp_path / "user", {"README.md": b"hello\n"})
    lay_out_repository(root, {}, dry_run=False)
    return load_project(root, {"endpoint.kind": "openai", "endpoint.uds": str(tmp_path / "s.sock")})


@asynccontextmanager
async def served(tmp_path: Path, *lacks: str) -> AsyncIterator[tuple[HttpModelClient, ScriptedServer]]:
    async with serve_script(lambda _: Say("hello"), tmp_path / "s.sock") as server:
        server.lacks = set(lacks)
        async with HttpModelClient("e", base_url="http://localhost", uds=str(tmp_path / "s.sock")) as client:
            yield client, server


async def test_a_good_server_is_taken_and_remembered(project: Project, tmp_path: Path) -> None:
    """The positive control; what was found stands in the state, with who the server is."""
    async with served(tmp_path) as (client, _):
        found = await require_server(project, client, load_content(project))
    assert client.constrained
    assert await read_known(project) == {"e": found}


async def test_without_logprobs_a_night_with_reviewers_does_not_begin(
    project: Project, tmp_path: Path
) -> None:
    """The refusal names the endpoint, what is missing, and who needs it."""
    async with served(tmp_path, "logprobs") as (client, _):
        with pytest.raises(PreflightError, match=r"endpoint e reports no log-probabilities.*review\."):
            await require_server(project, client, load_content(project))


async def test_without_a_schema_the_client_does_without(project: Project, tmp_path: Path) -> None:
    """The fallback is set where the calls are made."""
    async with served(tmp_path, "json_schema") as (client, _):
        await require_server(project, client, load_content(project))
    assert not client.constrained


async def test_a_server_that_breaks_is_refused_and_not_remembered(project: Project, tmp_path: Path) -> None:
    """Nothing is known of what did not answer."""
    async with served(tmp_path) as (client, server):
        server.pages["/v1/chat/completions"] = Answer(503)
        with pytest.raises(PreflightError, match="does not answer"):
            await require_server(project, client, load_content(project))
    assert await read_known(project) == {}


@pytest.mark.parametrize(
    ("lacks", "grade", "said"),
    [
        ((), "ok", "serves scripted"),
        (("tools",), "ok", "no tools: nothing is lost"),
        (("json_schema",), "warn", "the schema goes into the prompt"),
        (("stream_usage",), "warn", "counted by the pieces"),
        (("logprobs",), "fail", "no log-probabilities"),
    ],
)
async def test_doctor_says_what_the_server_cannot_do(
    project: Project, tmp_path: Path, lacks: tuple[str, ...], grade: str, said: str
) -> None:
    """Harmless, worse and fatal are told apart."""
    async with served(tmp_path, *lacks):
        finding = await project_questions(project, find_user_paths({}))["server"]()
    assert (finding.grade.value, said in finding.message) == (grade, True), finding


async def test_what_the_server_said_in_the_night_is_kept_with_it(project: Project, tmp_path: Path) -> None:
    """Only what was said since the night began, and of too much the end; a server of others leaves nothing."""
    artifacts = ArtifactFolder(tmp_path / "artifacts")
    await ServerLog(project).keep(artifacts, "n0", NOW)
    assert not (tmp_path / "artifacts" / "n0").exists()
    path = project.state / "logs" / VLLM_LOG
    path.parent.mkdir(parents=True)
    path.write_bytes(b"yesterday\n")
    log = ServerLog(project)
    with path.open("ab") as file:
        file.write(b"tonight\n")
    await log.keep(artifacts, "n1", NOW)
    assert (tmp_path / "artifacts/n1/server-20260101-000000.log").read_bytes() == b"tonight\n"
    with path.open("ab") as file:
        file.write(b"x" * KEPT_LOG_BYTES + b"end")
    await log.keep(artifacts, "n1", NOW)
    kept = (tmp_path / "artifacts/n1/server-20260101-000000.log").read_bytes()
    assert (len(kept), kept[-3:]) == (KEPT_LOG_BYTES, b"end")


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b'{"e": {}}', b"[" * 100_000, b" " * 2_000_000])
def test_a_file_that_is_not_ours_is_no_knowledge(data: bytes, tmp_path: Path) -> None:
    """Whatever stands there, it is read as nothing and replaced."""
    (tmp_path / FILE).write_bytes(data)
    assert read_servers(tmp_path) == {}
