"""Which model server is only away, and which is wrong: what keeps the daemon asking, and what it leaves to a person."""

from dataclasses import replace
from pathlib import Path

import pytest

from pantheon.adapters.http_model import HttpModelClient
from pantheon.core.errors import PreflightError, ServerAwayError
from pantheon.shell.config import Project, load_project
from pantheon.shell.pool_wiring import open_pool
from pantheon.shell.server_wiring import require_server
from pantheon.shell.wiring import lay_out_repository, load_content
from pantheon.testing.scripted_model import Answer, Say, serve_script
from pantheon.testing.user_repository import make_repository


def make_project(tmp_path: Path, config: str = "") -> Project:
    root = make_repository(tmp_path / "user", {"README.md": b"hello\n"})
    lay_out_repository(root, {}, dry_run=False)
    endpoint = f"[endpoint]\nkind = 'openai'\nuds = '{tmp_path / 's.sock'}'\n"
    (root / "pantheon.toml").write_text(endpoint + config)
    return load_project(root)


@pytest.mark.parametrize(
    ("answer", "away"),
    [
        (None, True),
        (Answer(503, b'{"error": {"message": "Loading model"}}'), True),
        (Answer(404), False),
        (Answer(200, b"<html>"), False),
    ],
)
async def test_a_server_that_is_not_there_or_loads_is_away_and_one_that_answers_nonsense_is_not(
    tmp_path: Path, answer: Answer | None, away: bool
) -> None:
    """No socket, and 503 while it loads, mend themselves; another server at the address does not."""
    project = make_project(tmp_path)
    place = tmp_path / ("s.sock" if answer else "none.sock")
    async with serve_script(lambda _: Say("hello"), tmp_path / "s.sock") as server:
        if answer is not None:
            server.pages["/v1/models"] = server.pages["/v1/chat/completions"] = answer
        async with HttpModelClient("e", base_url="http://localhost", uds=str(place)) as client:
            with pytest.raises(PreflightError) as refused:
                await require_server(project, client, load_content(project))
    assert isinstance(refused.value, ServerAwayError) == away
    assert refused.value.exit_code == 3


@pytest.mark.parametrize("own_answers", [True, False])
async def test_a_pool_misses_what_may_come_only_where_an_endpoint_does_not_answer(
    tmp_path: Path, own_answers: bool
) -> None:
    """With its own endpoint away the night may begin later; with all there, a model that nobody has stays missing."""
    config = "[[pool]]\nname = 'b'\nuds = '@/b.sock'\nmodels = ['big']\n".replace("@", str(tmp_path))
    project = make_project(tmp_path, config)
    content = load_content(project)
    if own_answers:
        name = next(node.agent for flow in content.flows.values() for node in flow.node if node.agent)
        agent = content.agents[name]
        runtime = agent.spec.runtime.model_copy(update={"model": "huge"})
        spec = agent.spec.model_copy(update={"runtime": runtime})
        changed = agent.model_copy(update={"spec": spec})
        content = replace(content, agents={**content.agents, name: changed})
    async with serve_script(lambda _: Say("hello"), tmp_path / "b.sock") as other:
        other.further = ["big"]
        async with serve_script(lambda _: Say("hello"), tmp_path / ("s.sock" if own_answers else "t.sock")):
            with pytest.raises(PreflightError) as refused:
                async with open_pool(project, content, say=lambda _: None, read_drains=_no_drains):
                    pass
    assert isinstance(refused.value, ServerAwayError) is not own_answers


async def _no_drains() -> dict[str, str]:
    return {}
