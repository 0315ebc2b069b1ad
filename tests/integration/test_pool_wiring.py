"""A night's pool over real sockets: what each endpoint must serve, who is left out, and what is refused."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pantheon.core.chat import ChatRequest, Message
from pantheon.core.errors import ConfigError, PreflightError
from pantheon.engine.pooled_model import PooledModel
from pantheon.engine.services import Content
from pantheon.shell.config import FILE, Project, load_project
from pantheon.shell.pool_wiring import open_pool, pool_wanted, refuse_other_models
from pantheon.shell.wiring import lay_out_repository, load_content
from pantheon.testing.scripted_model import Say, ScriptedServer, serve_script
from pantheon.testing.user_repository import make_repository

TWO_ENDPOINTS = '[[pool]]\nname = "b"\nuds = "@/b"\n'
"""A pool beside ``[endpoint]``; ``@`` stands for the folder of the sockets."""


class PoolSite:
    """A project and its model servers."""

    def __init__(self, tmp_path: Path) -> None:
        self.top = tmp_path
        self.root = make_repository(tmp_path / "user", {"README.md": b"hello\n"})
        lay_out_repository(self.root, {}, dry_run=False)
        self.said: list[str] = []
        self.drains: dict[str, str] = {}
        self.servers: dict[str, ScriptedServer] = {}

    def project(self, pool: str = "", **more: str) -> Project:
        """Return the project with a pool, and with settings from flags."""
        head = f'[endpoint]\nkind = "openai"\nuds = "{self.top}/own"\n'
        (self.root / FILE).write_text(head + pool.replace("@", str(self.top)))
        return load_project(self.root, more, {})

    def content(self, project: Project, **runtime: str) -> Content:
        """Return the shipped content, its first agent in use with another runtime."""
        found = load_content(project)
        name = next(n.agent for flow in found.flows.values() for n in flow.node if n.agent)
        agent = found.agents[name]
        own = agent.spec.runtime.model_copy(update=runtime)
        changed = agent.model_copy(update={"spec": agent.spec.model_copy(update={"runtime": own})})
        return replace(found, agents={**found.agents, name: changed})

    @asynccontextmanager
    async def serving(self, *names: str) -> AsyncIterator[Mapping[str, ScriptedServer]]:
        """Serve a script at each of these sockets."""
        async with AsyncExitStack() as stack:
            for name in names:
                script = serve_script(lambda _: Say("hello"), self.top / name)
                self.servers[name] = await stack.enter_async_context(script)
            yield self.servers

    @asynccontextmanager
    async def pool(self, project: Project, content: Content | None = None) -> AsyncIterator[PooledModel]:
        """Open the project's pool as a night does."""
        content = load_content(project) if content is None else content
        async with open_pool(project, content, say=self.said.append, read_drains=self._read) as pool:
            yield pool

    async def _read(self) -> Mapping[str, str]:
        return dict(self.drains)


async def ask(pool: PooledModel, opening: str, model: str = "") -> str:
    """Ask once, with an opening of its own; returns who answered."""
    request = ChatRequest(messages=(Message(role="system", content=opening),), model=model)
    return (await pool.chat(request, deadline_s=5)).endpoint


@pytest.fixture
def site(tmp_path: Path) -> PoolSite:
    return PoolSite(tmp_path)


THREE = (
    TWO_ENDPOINTS
    + '[[pool]]\nname = "c"\nuds = "@/c"\nmodels = ["scripted", "big"]\nadapters = { lora = "adapters/lora" }\n'
)


async def test_all_endpoints_answer_and_are_named(site: PoolSite) -> None:
    """Two endpoints that serve the night's model share its calls; the reply names the one."""
    project = site.project(TWO_ENDPOINTS)
    async with site.serving("own", "b") as servers, site.pool(project) as pool:
        assert pool_wanted(project, load_content(project))
        assert {await ask(pool, f"agent {n}") for n in range(30)} == {"endpoint", "b"}
        assert {await ask(pool, "one agent") for _ in range(5)} in ({"endpoint"}, {"b"})
    assert sum(len(server.requests) for server in servers.values()) == 35
    known = json.loads((project.state / "servers.json").read_text())
    assert set(known) == {"endpoint", "b"}


async def test_one_endpoint_is_no_pool(site: PoolSite) -> None:
    """Without further endpoints and models the single client is used as before."""
    project = site.project()
    assert not pool_wanted(project, load_content(project))


async def test_a_model_and_an_adapter_are_asked_of_whoever_serves_them(site: PoolSite) -> None:
    """An agent's model and adapter go over the wire by name; the adapter is loaded before and unloaded after."""
    project = site.project(THREE)
    content = site.content(project, model="big", adapter="lora")
    async with site.serving("own", "b", "c") as servers:
        servers["c"].further, servers["c"].loads_adapters = ["big"], True
        async with site.pool(project, content) as pool:
            assert servers["c"].further == ["big", "lora"]
            assert {await ask(pool, f"agent {n}", "lora") for n in range(9)} == {"c"}
            assert {body["model"] for body in servers["c"].requests} == {"lora"}
        assert servers["c"].further == ["big"]


async def test_an_adapter_that_is_there_already_is_left_there(site: PoolSite) -> None:
    """What the operator has loaded is used, and stays."""
    project = site.project(THREE)
    async with site.serving("own", "b", "c") as servers:
        servers["c"].further = ["big", "lora"]
        async with site.pool(project) as pool:
            assert await ask(pool, "agent", "lora") == "c"
        assert servers["c"].further == ["big", "lora"]


async def test_an_adapter_that_cannot_be_loaded_refuses_the_night(site: PoolSite) -> None:
    """A server that loads none while it runs is told how to."""
    async with site.serving("own", "b", "c") as servers:
        servers["c"].further = ["big"]
        with pytest.raises(PreflightError, match="loads none while it runs") as refused:
            async with site.pool(site.project(THREE)):
                pass
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING" in refused.value.hint


async def test_a_model_that_nobody_serves_refuses_the_night(site: PoolSite) -> None:
    """The refusal names the model and who would ask for it; one agent that asks is enough to look."""
    project = site.project()
    content = site.content(project, model="huge")
    assert pool_wanted(project, content)
    async with site.serving("own"):
        with pytest.raises(PreflightError, match=r"no endpoint serves 'huge', which \S+ would ask for"):
            async with site.pool(project, content):
                pass
    with pytest.raises(PreflightError, match="the embedded server has 'qwen"):
        refuse_other_models(project, content)


async def test_an_endpoint_that_is_down_is_left_out_and_said(site: PoolSite) -> None:
    """The others begin the night without it; one whose model nobody else serves is missed."""
    project = site.project(THREE.replace("adapters = ", "# "))
    async with site.serving("own", "b") as servers:
        async with site.pool(project) as pool:
            assert {await ask(pool, f"agent {n}") for n in range(30)} == {"endpoint", "b"}
        assert any("endpoint c is lost, and left out of this night" in said for said in site.said)
        with pytest.raises(PreflightError, match=r"no endpoint serves 'big'.*do not answer: c"):
            async with site.pool(project, site.content(project, model="big")):
                pass
    assert servers


async def test_the_first_endpoint_may_be_down_where_its_model_is_named(site: PoolSite) -> None:
    """Without a name for the night's own model nobody else can be held to it."""
    async with site.serving("b"):
        with pytest.raises(PreflightError, match="has no name"):
            async with site.pool(site.project(TWO_ENDPOINTS)):
                pass
        async with site.pool(site.project(TWO_ENDPOINTS, **{"endpoint.model": "scripted"})) as pool:
            assert await ask(pool, "agent") == "b"


async def test_an_endpoint_that_serves_something_else_refuses_the_night(site: PoolSite) -> None:
    """An endpoint that answers, but not with what is configured, is a mistake to be mended, not one to leave out."""
    async with site.serving("own", "b") as servers:
        servers["b"].model = "another"
        with pytest.raises(PreflightError, match="endpoint b does not serve what is configured"):
            async with site.pool(site.project(TWO_ENDPOINTS)):
                pass


async def test_each_endpoint_must_be_able_to_do_what_it_would_be_asked(site: PoolSite) -> None:
    """Reviewers may reach any endpoint of their model: one without log-probabilities refuses the night."""
    async with site.serving("own", "b") as servers:
        servers["b"].lacks = {"logprobs"}
        with pytest.raises(PreflightError, match="endpoint b reports no log-probabilities"):
            async with site.pool(site.project(TWO_ENDPOINTS)):
                pass


def test_an_agents_model_is_no_setting_of_a_server(site: PoolSite) -> None:
    """A pool for the embedded server is refused where it is read."""
    with pytest.raises(ConfigError, match=r'only with endpoint\.kind = "openai"'):
        site.project(TWO_ENDPOINTS, **{"endpoint.kind": "embedded"})
