"""Every endpoint of a pool is held to what one endpoint is: local, no cloud's front, and the model it began with."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from pantheon.adapters.lora_adapters import load_adapter
from pantheon.core.chat import ChatRequest, Message
from pantheon.core.errors import LocalityError, ModelError, PreflightError
from pantheon.engine.pooled_model import PooledModel
from pantheon.shell.config import FILE, Project, load_project
from pantheon.shell.containment_wiring import check_environment, check_pool
from pantheon.shell.environment import POOL_RELAYS
from pantheon.shell.pool_address_wiring import pool_addresses
from pantheon.shell.pool_wiring import open_pool
from pantheon.shell.wiring import lay_out_repository, load_content, load_policies
from pantheon.testing.scripted_model import Answer, Say, ScriptedServer, serve_script
from pantheon.testing.user_repository import make_repository

TWO_ENDPOINTS = '[[pool]]\nname = "b"\nuds = "@/b"\n'


async def _no_drains() -> Mapping[str, str]:
    return {}


class PoolSite:
    """A project and its model servers."""

    def __init__(self, tmp_path: Path) -> None:
        self.top, self.root = tmp_path, make_repository(tmp_path / "user", {"README.md": b"hello\n"})
        lay_out_repository(self.root, {}, dry_run=False)
        self.said: list[str] = []

    def project(self, pool: str) -> Project:
        head = f'[endpoint]\nkind = "openai"\nuds = "{self.top}/own"\n'
        (self.root / FILE).write_text(head + pool.replace("@", str(self.top)))
        return load_project(self.root, {}, {})

    @asynccontextmanager
    async def serving(self, *names: str) -> AsyncIterator[Mapping[str, ScriptedServer]]:
        async with AsyncExitStack() as stack:
            scripts = {name: serve_script(lambda _: Say("hello"), self.top / name) for name in names}
            yield {name: await stack.enter_async_context(one) for name, one in scripts.items()}

    @asynccontextmanager
    async def pool(self, project: Project) -> AsyncIterator[PooledModel]:
        content = load_content(project)
        async with open_pool(project, content, say=self.said.append, read_drains=_no_drains) as pool:
            yield pool


async def ask(pool: PooledModel, opening: str) -> str:
    request = ChatRequest(messages=(Message(role="system", content=opening),))
    return (await pool.chat(request, deadline_s=5)).endpoint


@pytest.fixture
def site(tmp_path: Path) -> PoolSite:
    return PoolSite(tmp_path)


FOREIGN = ("http://192.0.2.1:8000", "http://example.com", "https://127.0.0.1:1", "http://127.0.0.2:80")


@pytest.mark.parametrize("url", FOREIGN)
async def test_a_foreign_host_in_the_pool_is_refused(site: PoolSite, url: str) -> None:
    """Positive control: a loopback entry is taken. The denial: any other refuses, before anybody is asked."""
    good = site.project('[[pool]]\nname = "x"\nurl = "http://127.0.0.1:9"\n')
    assert [one.base_url for one in pool_addresses(good)] == ["http://127.0.0.1:9"]
    project = site.project(f'{TWO_ENDPOINTS}[[pool]]\nname = "x"\nurl = "{url}"\n')
    policy = load_policies(project).night
    async with site.serving("own", "b") as servers:
        with pytest.raises(LocalityError, match="x: endpoint"):
            async with site.pool(project):
                pass
        with pytest.raises(LocalityError):
            check_pool(project, policy)
        assert not any(server.head_lines for server in servers.values())


async def test_an_endpoint_that_fronts_a_cloud_refuses_the_night(site: PoolSite) -> None:
    """Positive control: the same pool without the cloud. One that fronts a cloud is not left out: nobody begins."""
    async with site.serving("own", "b") as servers:
        async with site.pool(site.project(TWO_ENDPOINTS)) as pool:
            assert await ask(pool, "agent")
        asked = len(servers["b"].requests)
        listing = {"models": [{"name": "scripted", "remote_model": "big"}]}
        servers["b"].pages["/api/tags"] = Answer(200, json.dumps(listing).encode())
        with pytest.raises(LocalityError, match="cloud"):
            async with site.pool(site.project(TWO_ENDPOINTS)):
                pass
        assert len(servers["b"].requests) == asked


async def test_an_endpoint_that_turns_to_a_cloud_in_mid_night_is_asked_no_more(site: PoolSite) -> None:
    """Positive control: it was asked before. Lost for another reason, it is let back only if it fronts none."""
    async with site.serving("own", "b") as servers, site.pool(site.project(TWO_ENDPOINTS)) as pool:
        assert {await ask(pool, f"agent {n}") for n in range(30)} == {"endpoint", "b"}
        listing = {"models": [{"name": "scripted", "remote_model": "big"}]}
        servers["b"].pages["/api/tags"] = Answer(200, json.dumps(listing).encode())
        servers["b"].script = lambda _: Answer(500)
        assert {await ask(pool, f"agent {n}") for n in range(30)} == {"endpoint"}
        found = await pool._seats["b"].guard.probe()
        assert isinstance(found, LocalityError)


async def test_another_model_in_mid_night_takes_only_that_endpoint(site: PoolSite) -> None:
    """Positive control: it was asked before. With another model it is asked no more, and the others go on."""
    project = site.project(TWO_ENDPOINTS)
    async with site.serving("own", "b") as servers, site.pool(project) as pool:
        assert {await ask(pool, f"agent {n}") for n in range(30)} == {"endpoint", "b"}
        servers["b"].model = "another"
        assert {await ask(pool, f"agent {n}") for n in range(30)} == {"endpoint"}
        assert any("endpoint b is lost" in said and "another model" in said for said in site.said)


def test_no_way_leads_to_another_machine_from_an_empty_namespace(site: PoolSite) -> None:
    """Positive control: a socket and a loopback address pass; another machine is refused, allowed or not."""
    loopback = '[[pool]]\nname = "x"\nurl = "http://127.0.0.1:9"\n'
    policy = load_policies(site.project(TWO_ENDPOINTS)).night
    assert check_pool(site.project(TWO_ENDPOINTS), policy) == {}
    assert set(check_pool(site.project(loopback), policy)) == {"x"}
    wide = policy.model_copy(update={"local_networks": ("192.168.7.0/24",)})
    with pytest.raises(PreflightError, match="pool: x: no way leads to"):
        check_pool(site.project(loopback.replace("127.0.0.1", "192.168.7.2")), wide)


@pytest.mark.parametrize("forged", ['{"x": "/tmp/nobody.sock"}', "{}", "no JSON", "[]", '{"x": 3}'])
def test_a_relay_that_the_environment_names_is_not_believed(
    site: PoolSite, monkeypatch: pytest.MonkeyPatch, forged: str
) -> None:
    """Positive control: without the variable the address itself is asked. Set by somebody else, it refuses the pool,
    and a night that has not moved refuses it by name."""
    project = site.project('[[pool]]\nname = "x"\nurl = "http://127.0.0.1:9"\n')
    assert [one.uds for one in pool_addresses(project)] == [None]
    monkeypatch.setenv(POOL_RELAYS, forged)
    with pytest.raises(LocalityError, match=POOL_RELAYS):
        pool_addresses(project)
    with pytest.raises(PreflightError, match=f"{POOL_RELAYS} is set"):
        check_environment(load_policies(project).night)


UNLISTED = {
    "no list": {
        "/v1/models": Answer(200, b"{}"),
        "/api/tags": Answer(200, b'{"models": [{"name": "x:cloud"}]}'),
    },
    "a redirect": {"/v1/models": Answer(307, headers={"Location": "http://192.0.2.1/v1/models"})},
    "no such page": {"/v1/models": Answer(404, b"")},
    "a cloud's model": {"/v1/models": Answer(200, b'{"data": [{"id": "scripted"}, {"id": "x:cloud"}]}')},
    "a cloud's owner": {"/v1/models": Answer(200, b'{"data": [{"id": "scripted", "owned_by": "openai"}]}')},
}


@pytest.mark.parametrize("what", ["a sound list", *UNLISTED])
async def test_nobody_is_told_of_a_folder_before_his_list_is_sound(tmp_path: Path, what: str) -> None:
    """Positive control: who lists a model of his own is asked to load the adapter. Nobody else hears of it."""
    secret = "/home/somebody/adapters/secret-7c"
    async with serve_script(lambda _: Say("hello"), tmp_path / "s") as server:
        server.pages = dict(UNLISTED.get(what, {}))
        with pytest.raises((ModelError, LocalityError)):
            await load_adapter("http://localhost", str(tmp_path / "s"), "e", "mine", secret, deadline_s=5)
        told = [line for line in server.head_lines if line.startswith("POST")]
        assert bool(told) == (what == "a sound list"), server.head_lines
    with pytest.raises(LocalityError, match="cloud"):
        async with serve_script(lambda _: Say("hello"), tmp_path / "t"):
            await load_adapter(
                "http://localhost", str(tmp_path / "t"), "e", "mine:cloud", secret, deadline_s=5
            )
