"""Local means local: proxies, redirects, names, flipped peers, squatted sockets, and clouds behind loopback."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from pantheon.adapters import http_model
from pantheon.adapters.content import load_folders, shipped_content
from pantheon.adapters.http_model import HttpModelClient
from pantheon.adapters.local_http import local_client
from pantheon.adapters.server_identity import MAX_LISTING_BYTES
from pantheon.core.agent import load_agent
from pantheon.core.chat import ChatRequest, Message, Sampling
from pantheon.core.errors import LocalityError, ModelOutputError, PantheonError
from pantheon.core.locality import check_endpoint_url
from pantheon.testing.scripted_model import Answer, Say, ScriptedServer, serve_script

pytestmark = pytest.mark.primitive("loopback")

REQUEST = ChatRequest(messages=(Message(role="user", content="x"),), sampling=Sampling(max_tokens=8))
PROXIES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
REDIRECTS = (301, 302, 303, 307, 308)


@asynccontextmanager
async def recorder(host: str = "127.0.0.9", port: int = 0) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Somebody who writes down every byte that reaches him; each connection counts, an empty one too."""
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(b"")
        heard[-1] += await reader.read(65_536)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(listen, host, port)
    async with server:
        yield server.sockets[0].getsockname()[1], heard


@asynccontextmanager
async def model_server(**pages: Answer) -> AsyncIterator[tuple[ScriptedServer, str]]:
    """A scripted model server over TCP and its base URL."""
    scripted = ScriptedServer(lambda _: Say("ok"))
    server = await asyncio.start_server(scripted.handle, "127.0.0.1")
    async with server:
        yield scripted, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def read(url: str) -> bytes:
    """Ask as a program asks that follows the environment."""
    with urllib.request.urlopen(url, timeout=5) as response:
        return bytes(response.read())


@pytest.mark.parametrize("name", PROXIES)
async def test_a_proxy_hears_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual client sends a loopback request to the proxy; the night's sends it to the server."""
    async with recorder() as (port, heard), model_server() as (scripted, url):
        for other in (*PROXIES, "no_proxy", "NO_PROXY"):
            monkeypatch.delenv(other, raising=False)
        monkeypatch.setenv(name, f"http://127.0.0.9:{port}")
        if name.lower() != "https_proxy":
            async with httpx.AsyncClient() as usual:
                await usual.post(f"{url}/v1/chat/completions", json={"secret": 1})
            assert b"secret" in b"".join(heard), "the control did not reach the proxy"
            assert scripted.requests == []
        heard.clear()
        async with HttpModelClient("x", base_url=url) as client:
            assert (await client.chat(REQUEST, deadline_s=5)).text == "ok"
        assert heard == []
        assert len(scripted.requests) == 1


@pytest.mark.parametrize("spared", ["localhost", "localhost,::1", ".local", "10.0.0.0/8"])
@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
async def test_a_list_of_spared_hosts_is_not_what_spares(
    name: str, spared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The usual client sends loopback by its number to the proxy all the same; the night's reads neither list."""
    async with recorder() as (port, heard), model_server() as (scripted, url):
        for other in (*PROXIES, "no_proxy", "NO_PROXY"):
            monkeypatch.delenv(other, raising=False)
        monkeypatch.setenv("http_proxy", f"http://127.0.0.9:{port}")
        monkeypatch.setenv(name, spared)
        async with httpx.AsyncClient() as usual:
            await usual.post(f"{url}/v1/chat/completions", json={"secret": 1})
        assert b"secret" in b"".join(heard), "the control did not reach the proxy"
        heard.clear()
        async with HttpModelClient("x", base_url=url) as client:
            assert (await client.chat(REQUEST, deadline_s=5)).text == "ok"
        assert heard == [] and len(scripted.requests) == 1


@pytest.mark.parametrize("status", REDIRECTS)
async def test_a_redirect_is_followed_nowhere(status: int) -> None:
    """A client that follows leads elsewhere; the night's ends with an error, on every path that it asks."""
    async with recorder() as (port, heard), model_server() as (scripted, url):
        away = Answer(status, headers={"Location": f"http://127.0.0.9:{port}/v1/models"})
        scripted.pages = {"/v1/models": away}
        await asyncio.to_thread(read, f"{url}/v1/models")
        assert len(heard) == 1, "the control was not led away"
        for path in ("/v1/models", "/api/tags", "/api/status", "/v1/chat/completions"):
            scripted.pages = {path: away}
            async with HttpModelClient("x", base_url=url) as client:
                with pytest.raises(ModelOutputError, match="redirect"):
                    await client.model_name(deadline_s=5)
                    await client.chat(REQUEST, deadline_s=5)
        assert len(heard) == 1
        assert not [line for line in scripted.head_lines if line.lower().startswith("authorization")]


URLS = (
    "http://localhost.evil.example/", "http://127.0.0.1@evil.example/", "http://127.1/", "http://2130706433/",
    "http://0x7f.0.0.1/", "http://0177.0.0.1/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:10.0.0.1]/",
    "http://127.0.0.1\0.evil.example/", "http://127.0.0.1%00.evil.example/", "http://127.0.0.53/", "http://127.0.0.2/",
    "http://0.0.0.0/", "http://[::]/", "http://evil.example/", "https://127.0.0.1/", "http://127.0.0.1.nip.io/",
    "http://127.0.0.1#@evil.example/", "http://127.0.0.1?@evil.example/", "http://127.0.0.1\\@evil.example/",
    "http://127.0.0.1:80@evil.example/", "http://127.0.0.1\r\nHost: evil.example/", "http://[::1%25eth0]/",
    "http://192.168.1.5/", "http://169.254.169.254/", "ftp://127.0.0.1/", "file:///etc/passwd", "//127.0.0.1/",
    "http://[64:ff9b::7f00:1]/", "http://١٢٧.0.0.1/", "http://127。0。0。1/", "http://ⓛocalhost/",
)  # fmt: skip


@pytest.mark.parametrize("url", URLS, ids=range(len(URLS)))
def test_an_address_that_only_looks_local_is_refused(url: str) -> None:
    """Each spelling is refused as it stands, and the plain one beside it passes; no name is ever resolved."""
    assert check_endpoint_url("http://127.0.0.1:8000").is_loopback
    with pytest.raises(LocalityError, match="refused"):
        check_endpoint_url(url)


async def test_no_name_is_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that answers with another address is never asked, not for ``localhost`` either."""
    asked: list[Any] = []

    def flipped(*words: Any, **_: Any) -> Any:
        asked.append(words)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.9", words[1] or 0))]

    async with recorder() as (port, heard), model_server() as (_, url):
        # The control: a name is looked up, and the answer leads elsewhere.
        monkeypatch.setattr(socket, "getaddrinfo", flipped)
        with suppress_http():
            async with httpx.AsyncClient(trust_env=False) as usual:
                await usual.get(f"http://localhost:{port}/")
        assert asked
        assert heard, "the control was not led away"
        heard.clear()
        asked.clear()
        local = check_endpoint_url(url.replace("127.0.0.1", "localhost"))
        async with HttpModelClient("x", base_url=local.base_url) as client:
            assert await client.model_name(deadline_s=5) == "scripted"
        assert not [words for words in asked if words[0] not in ("127.0.0.1", b"127.0.0.1")]
        assert heard == []


class suppress_http:
    """Leaves out what the control's client thinks of the recorder's answer."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is not None and issubclass(kind, httpx.HTTPError)


async def test_a_connection_to_somebody_else_carries_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever answers in the place of the address, no byte of the request is sent to him."""
    connect = socket.socket.connect
    loop = asyncio.get_running_loop()
    async with recorder() as (port, heard):

        async def flipped(sock: socket.socket, address: tuple[str, int]) -> None:
            sock.setblocking(True)
            connect(sock, ("127.0.0.9", port))
            sock.setblocking(False)

        monkeypatch.setattr(loop, "sock_connect", flipped)
        async with httpx.AsyncClient(trust_env=False) as usual:
            await usual.post(f"http://127.0.0.1:{port}/v1/chat/completions", json={"secret": 1})
        assert b"secret" in b"".join(heard), "the control was not flipped"
        heard.clear()
        async with HttpModelClient("x", base_url=f"http://127.0.0.1:{port}") as client:
            with pytest.raises(LocalityError, match=r"leads to 127\.0\.0\.9"):
                await client.chat(REQUEST, deadline_s=5)
        await asyncio.sleep(0.1)
        assert b"".join(heard) == b""


async def test_a_client_asks_nobody_but_its_server() -> None:
    """An absolute URL in the place of a path is not asked."""
    async with recorder() as (port, heard), model_server() as (_, url), local_client(url) as client:
        assert (await client.get("/v1/models")).status_code == 200
        for other in (f"http://127.0.0.9:{port}/x", f"https://{url.removeprefix('http://')}/"):
            with pytest.raises(LocalityError):
                await client.get(other)
        assert heard == []


@pytest.mark.parametrize("mode", [0o1777, 0o777])
async def test_a_squatted_socket_gets_no_byte(mode: int, tmp_path: Path) -> None:
    """In a folder that everybody can write, another user's socket is not the model server's."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(mode)
    path = folder / "s.sock"
    async with serve_script(lambda _: Say("ok"), path) as server:
        async with HttpModelClient("x", base_url="http://localhost", uds=str(path)) as client:
            assert (await client.chat(REQUEST, deadline_s=5)).text == "ok"
        os.chown(path, 12_345, 12_345)
        server.requests.clear()
        server.head_lines.clear()
        async with HttpModelClient("x", base_url="http://localhost", uds=str(path)) as client:
            with pytest.raises(LocalityError, match="another user"):
                await client.chat(REQUEST, deadline_s=5)
        assert server.head_lines == []
        folder.chmod(0o755)
        async with HttpModelClient("x", base_url="http://localhost", uds=str(path)) as client:
            assert (await client.chat(REQUEST, deadline_s=5)).text == "ok"


def listing(**fields: Any) -> Mapping[str, Any]:
    """Return pages of a server whose only model has these fields."""
    return {"data": [{"id": "scripted", **fields}]}


@pytest.mark.parametrize(
    "pages",
    [
        {
            "/api/tags": {
                "models": [{"name": "scripted"}, {"name": "big", "remote_host": "https://ollama.com:443"}]
            }
        },
        {"/api/tags": {"models": [{"name": "scripted", "remote_model": "big"}]}},
        {"/api/tags": {"models": [{"name": "gpt-oss:120b-cloud"}]}},
        {"/api/tags": {"models": [{"name": "minimax-m2:cloud"}]}},
        {"/v1/models": {"data": [{"id": "scripted"}, {"id": "x:cloud"}]}},
        {"/v1/models": {"data": [{"id": "scripted"}, {"id": "X-CLOUD"}]}},
        {"/v1/models": listing(owned_by="openai")},
        {"/v1/models": listing(owned_by="Anthropic ")},
        {"/v1/models": listing(remote_url="https://x.invalid")},
        {"/v1/models": listing(root="gpt-oss:120b-cloud")},
        {"/api/status": {"cloud": {"disabled": False}}},
        {"/api/status": {"cloud": {"disabled": "true"}}},
        {"/api/status": {"cloud": {}}},
        {"/api/status": {"cloud": True}},
    ],
)
async def test_a_cloud_behind_a_loopback_address_is_refused(pages: Mapping[str, Any]) -> None:
    """A server whose own listings name a cloud is asked nothing more; a plain listing beside it is fine."""
    async with model_server() as (scripted, url):
        scripted.pages = {
            "/v1/models": page(listing(owned_by="vllm")),
            "/api/tags": page({"models": [{"name": "scripted", "digest": "1"}]}),
            "/api/status": page({"cloud": {"disabled": True}}),
        }
        async with HttpModelClient("x", base_url=url) as client:
            assert await client.model_name(deadline_s=5) == "scripted"
        scripted.pages |= {path: page(value) for path, value in pages.items()}
        async with HttpModelClient("x", base_url=url) as client:
            with pytest.raises(LocalityError, match="cloud") as refused:
                await client.model_name(deadline_s=5)
        assert refused.value.exit_code == 3
        assert scripted.requests == []


@pytest.mark.parametrize("name", ["x:cloud", "gpt-oss:120b-cloud", "X:CLOUD"])
async def test_a_model_that_is_called_after_the_cloud_is_refused(name: str) -> None:
    """The configured name alone says enough, whatever the server lists."""
    async with model_server() as (scripted, url):
        scripted.model = name
        async with HttpModelClient("x", base_url=url, model=name) as client:
            with pytest.raises(LocalityError, match="cloud"):
                await client.model_name(deadline_s=5)


def page(value: Any) -> Answer:
    """Return a page of JSON."""
    return Answer(200, json.dumps(value).encode())


async def test_another_model_in_mid_night_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that names another model, and a listing that has changed, are errors, not results."""
    async with model_server() as (scripted, url), HttpModelClient("x", base_url=url) as client:
        assert await client.model_name(deadline_s=5) == "scripted"
        assert (await client.chat(REQUEST, deadline_s=5)).text == "ok"
        assert scripted.requests[-1]["model"] == "scripted"
        scripted.model = "other"
        with pytest.raises(ModelOutputError, match="another model"):
            await client.chat(REQUEST, deadline_s=5)
        scripted.model = "scripted"
        assert (await client.chat(REQUEST, deadline_s=5)).text == "ok"
        scripted.pages = {"/v1/models": page(listing(root="/another/file"))}
        monkeypatch.setattr(http_model, "ASK_AGAIN_S", -1.0)
        with pytest.raises(ModelOutputError, match="another model"):
            await client.chat(REQUEST, deadline_s=5)


async def test_the_configured_model_must_be_listed() -> None:
    """A server that does not list what was configured is not asked to make something up."""
    async with model_server() as (_, url):
        async with HttpModelClient("x", base_url=url, model="scripted") as client:
            assert await client.model_name(deadline_s=5) == "scripted"
        async with HttpModelClient("x", base_url=url, model="mine") as client:
            with pytest.raises(ModelOutputError, match="does not list 'mine'"):
                await client.model_name(deadline_s=5)


@pytest.mark.parametrize("path", ["/v1/models", "/api/tags", "/api/status"])
async def test_listings_are_read_up_to_a_ceiling(path: str) -> None:
    """An endless listing ends with an error, not with the memory."""
    async with model_server() as (scripted, url):
        scripted.pages = {path: Answer(200, b'{"data": [{"id": "' + b"x" * MAX_LISTING_BYTES + b'"}]}')}
        async with HttpModelClient("x", base_url=url) as client:
            with pytest.raises(ModelOutputError, match="longer than"):
                await client.model_name(deadline_s=20)


@pytest.mark.parametrize(
    "origin",
    ['"Local"', '"local "', '"local\\u200b"', '["local"]', '"cloud"', '""', '"lоcal"', '"ｌocal"', "true",
     '"local"\norigin = "cloud"', '"cloud"\norigin = "local"', "{ local = true }"],
)  # fmt: skip
def test_an_agent_that_is_not_exactly_local_is_refused(origin: str, tmp_path: Path) -> None:
    """A shipped agent loads; with its origin spelled in any other way, or twice, it does not."""
    shutil.copytree(shipped_content() / "agents", tmp_path / "agents")
    for name, files in load_folders(tmp_path / "agents").items():
        load_agent(name, files)
        text = files["agent.toml"].decode()
        assert 'origin = "local"' in text
        with pytest.raises(PantheonError):
            load_agent(name, {**files, "agent.toml": text.replace('origin = "local"', "").encode()})
        changed = {**files, "agent.toml": text.replace('origin = "local"', f"origin = {origin}").encode()}
        with pytest.raises(PantheonError) as refused:
            load_agent(name, changed)
        assert refused.value.exit_code in (2, 3)


def test_children_see_no_credential_and_no_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is stripped from the night's environment reaches no child: the canary shows without, and not with it."""
    from pantheon.core.policy import NightPolicy
    from pantheon.shell.containment_wiring import check_environment

    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    assert "canary" in subprocess.run(["env"], capture_output=True, text=True, check=True).stdout
    with pytest.raises(PantheonError, match="AWS_SECRET_ACCESS_KEY, OPENAI_API_KEY") as refused:
        check_environment(NightPolicy())
    assert refused.value.exit_code == 3
    assert "canary" not in str(refused.value)
    check_environment(NightPolicy.model_validate({"environment": {"credentials": "strip"}}))
    assert "canary" not in subprocess.run(["env"], capture_output=True, text=True, check=True).stdout
