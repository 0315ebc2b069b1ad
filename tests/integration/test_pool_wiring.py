"""A night's pool over real sockets: what each endpoint must serve, who is left out, and what is refused."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pantheon.core import breaker
from pantheon.core.chat import ChatRequest, Message
from pantheon.core.errors import ConfigError, ModelLostError, ModelOutputError, PreflightError
from pantheon.engine import guarded_model, pooled_model
from pantheon.engine.pooled_model import PooledModel
from pantheon.engine.services import Content
from pantheon.shell.checks import Grade
from pantheon.shell.config import FILE, Project, load_project
from pantheon.shell.judges import load_qualified
from pantheon.shell.pool_checks import ask_pool
from pantheon.shell.pool_wiring import open_pool, pool_wanted, refuse_other_models
from pantheon.shell.wiring import lay_out_repository, load_content
from pantheon.testing.scripted_model import Answer, Raw, Say, ScriptedServer, serve_script
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


async def answers_again(site: PoolSite) -> None:
    """Wait until the night says of an endpoint that it is back."""
    async with asyncio.timeout(10):
        while not any("answers again" in said for said in site.said):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


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


async def test_an_adapter_is_loaded_again_into_an_endpoint_that_was_started_again(
    site: PoolSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that died took the adapter with it: it is not back before it has it again, and is left without it."""
    monkeypatch.setattr(breaker, "FIRST_WAIT_S", 0.02)
    monkeypatch.setattr(pooled_model, "LOOK_S", 0.02)
    project = site.project(THREE)
    content = site.content(project, model="big", adapter="lora")
    async with site.serving("own", "b", "c") as servers:
        server = servers["c"]
        server.further, server.loads_adapters = ["big"], True
        async with site.pool(project, content) as pool:
            server.further, server.script = ["big"], lambda _: Answer(500)
            with pytest.raises(ModelLostError):
                await ask(pool, "agent", "lora")
            server.script = lambda _: Say("hello")
            await answers_again(site)
            assert server.further == ["big", "lora"]
            assert await ask(pool, "agent", "lora") == "c"
        assert server.further == ["big"]
        assert not any("stays loaded" in said for said in site.said)


async def test_a_policy_that_is_being_edited_ends_no_night_whose_server_comes_back(
    site: PoolSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where an endpoint is was settled when it was taken: a policy that cannot be read meanwhile keeps none away."""
    monkeypatch.setattr(breaker, "FIRST_WAIT_S", 0.02)
    monkeypatch.setattr(pooled_model, "LOOK_S", 0.02)
    async with site.serving("own") as servers:
        server = servers["own"]
        server.loads_adapters = True
        tcp = await asyncio.start_server(server.handle, "127.0.0.1", 0)
        port = tcp.sockets[0].getsockname()[1]
        (site.root / FILE).write_text(
            f'[endpoint]\nkind = "openai"\nurl = "http://127.0.0.1:{port}"\n'
            '[[pool]]\nname = "endpoint"\nadapters = { lora = "adapters/lora" }\n'
        )
        project = load_project(site.root, {}, {})
        async with tcp, site.pool(project, site.content(project, adapter="lora")) as pool:
            (project.policies / "gate.toml").write_text("[half")
            with pytest.raises(ConfigError):
                load_content(project)
            server.further, server.script = [], lambda _: Answer(500)
            with pytest.raises(ModelLostError):
                await ask(pool, "agent", "lora")
            server.script = lambda _: Say("hello")
            await answers_again(site)
            assert await ask(pool, "agent", "lora") == "endpoint"


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


async def test_an_adapter_belongs_on_top_of_its_model(site: PoolSite) -> None:
    """An adapter of one endpoint is none of a model that only another one serves."""
    project = site.project(
        TWO_ENDPOINTS.replace('"@/b"', '"@/b"\nmodels = ["big"]')
        + '[[pool]]\nname = "endpoint"\nadapters = { lora = "adapters/lora" }\n'
    )
    async with site.serving("own", "b") as servers:
        servers["own"].loads_adapters, servers["b"].further = True, ["big"]
        async with site.pool(project, site.content(project, adapter="lora")) as pool:
            assert await ask(pool, "agent", "lora") == "endpoint"
        with pytest.raises(PreflightError, match="serves both 'big' and its adapter 'lora'"):
            async with site.pool(project, site.content(project, model="big", adapter="lora")):
                pass
        assert servers["own"].further == [], "what was loaded for a night that did not begin is unloaded"


async def test_a_hung_endpoint_costs_one_call(site: PoolSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call that it hung is the server's fault, not the work's; the others go to who answers."""
    monkeypatch.setattr(guarded_model, "PROBE_S", 0.4)
    project = site.project(TWO_ENDPOINTS)
    async with site.serving("own", "b") as servers, site.pool(project) as pool:
        servers["b"].script = lambda _: Raw(b"data: {", hang=True)
        failed = []
        for number in range(20):
            messages = (Message(role="system", content=f"agent {number}"),)
            try:
                reply = await pool.chat(ChatRequest(messages=messages), deadline_s=0.8)
                assert reply.endpoint == "endpoint"
            except ModelOutputError as error:
                failed.append(error)
        assert len(failed) == 1 and failed[0].by_server and "no time was left" in failed[0].message


def test_a_reviewers_own_model_is_the_one_it_is_qualified_with(site: PoolSite) -> None:
    """What the night's own model was measured with says nothing of another one."""
    project = site.project(THREE)
    own, other = site.content(project), site.content(project, model="big")
    name = next(name for name, agent in other.agents.items() if agent.spec.runtime.model)
    judges = load_qualified(project, "served:scripted")
    assert judges.model_of(own.agents[name]) == "served:scripted"
    assert judges.model_of(other.agents[name]) == "served:big"


async def test_doctor_asks_every_endpoint(site: PoolSite) -> None:
    """A silent endpoint is a warning, a model that nobody is configured to serve a failure."""
    assert (await ask_pool(site.project())).grade is Grade.OK
    async with site.serving("own", "b") as servers:
        assert (await ask_pool(site.project(TWO_ENDPOINTS))).message == "2 endpoints answer: endpoint, b"
        servers["b"].lacks = {"logprobs"}
        assert (await ask_pool(site.project(TWO_ENDPOINTS))).grade is Grade.FAIL
        servers["b"].lacks = set()
        found = await ask_pool(site.project(THREE))
        assert found.grade is Grade.WARN and "c: " in found.message
        agent = site.root / "agents" / "review.peerB" / "agent.toml"
        agent.write_text(re.sub(r'origin = "local"', 'origin = "local"\nmodel = "huge"', agent.read_text()))
        found = await ask_pool(site.project(THREE))
        assert found.grade is Grade.FAIL and "review.peerB: huge" in found.message


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
