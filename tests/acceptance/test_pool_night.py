"""A whole night over two endpoints from the command line: shared, drained, and with one that dies in it."""

import asyncio
import json
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pantheon.testing.night import NoteScript, proposal
from pantheon.testing.project import QueuedProject
from pantheon.testing.sample_notes import NOTE, PROPOSALS, TARGET
from pantheon.testing.scripted_model import Answer, Reply, Script, ScriptedServer
from pantheon.testing.thread import in_thread

OTHER = b"""caches of the search

A cache in front of the search engine serves repeated queries from memory. A cold cache shows in the latency.
"""
SCRIPT = NoteScript({
    **PROPOSALS,
    "caches": proposal(
        "search engine", "A Cache in Front of the Search Engine",
        "Says how a cache in front of the search engine serves repeated queries and where a cold cache shows.",
        "cache", "search", "latency",
    ),
})  # fmt: skip


@pytest.fixture
def site(tmp_path: Path) -> QueuedProject:
    """A repository with two queued notes and a pool of two endpoints."""
    pool = (
        f'[endpoint]\nkind = "openai"\nuds = "{tmp_path}/a.sock"\nmodel = "scripted"\n'
        f'[[pool]]\nname = "second"\nuds = "{tmp_path}/b.sock"\nweight = 2\n'
    )
    return QueuedProject.make(tmp_path, {TARGET: NOTE, "docs/2026.01.02.md": OTHER}, pool)


def calls_of(site: QueuedProject, night: str) -> Counter[str]:
    """Endpoint -> calls that the attempts recorded as answered by it."""
    records = site.root / "artifacts" / night
    lines = [
        json.loads(line) for p in records.rglob("llm_calls.jsonl") for line in p.read_text().splitlines()
    ]
    return Counter(one["endpoint"] for one in lines if one["reply"])


def status_of(site: QueuedProject) -> dict[str, Any]:
    told = json.loads(site.run("status", "--json").stdout)["night"]
    return {one["endpoint"]: one for one in told["endpoints"]}


def serving(
    top: Path, scripts: Mapping[str, Script], *, tcp: bool = False
) -> AbstractContextManager[Mapping[str, ScriptedServer]]:
    """Serve scripts from a thread, at sockets or at ports that files beside them tell."""

    @asynccontextmanager
    async def served() -> AsyncIterator[Mapping[str, ScriptedServer]]:
        servers = {name: ScriptedServer(script) for name, script in scripts.items()}
        async with AsyncExitStack() as stack:
            for name, one in servers.items():
                if tcp:
                    server = await asyncio.start_server(one.handle, "127.0.0.1")
                    port = str(server.sockets[0].getsockname()[1])
                    await asyncio.to_thread((top / f"{name}.port").write_text, port)
                else:
                    server = await asyncio.start_unix_server(one.handle, top / f"{name}.sock")
                await stack.enter_async_context(server)
                stack.push_async_callback(one.aclose)
            yield servers

    return in_thread(served())


def accepted(done: "subprocess.CompletedProcess[str]") -> str:
    assert done.returncode == 0, done
    told = json.loads(done.stdout)
    assert told["outcomes"] == {"accepted": 2}
    return str(told["night"])


def test_a_night_over_a_pool(site: QueuedProject) -> None:
    """Two endpoints serve it; records, status and report say which one answered how often."""
    with serving(site.top, {"a": SCRIPT, "b": SCRIPT}) as servers:
        night = accepted(site.run("night", "--json"))
        listed = json.loads(site.run("server", "pool", "--json").stdout)["endpoints"]
    calls = calls_of(site, night)
    asked = {"endpoint": len(servers["a"].requests), "second": len(servers["b"].requests)}
    assert calls and set(calls) <= {"endpoint", "second"} and all(calls[n] <= asked[n] for n in asked)
    told = status_of(site)
    assert {name: one["answered"] for name, one in told.items()} == {n: c for n, c in asked.items() if c}
    page = next((site.root / "artifacts" / night).rglob("*.html")).read_text()
    assert "<h3>Endpoints</h3>" in page and all(name in page for name in calls)
    assert [(one["name"], one["answers"], one["weight"]) for one in listed] == [
        ("endpoint", True, 1),
        ("second", True, 2),
    ]


def test_a_night_goes_on_without_the_endpoint_that_breaks(site: QueuedProject) -> None:
    """Whichever is preferred fails from its third call on: nothing fails of it, and the other answers the rest."""
    counts: Counter[str] = Counter()

    def failing(name: str) -> Any:
        def answer(body: Mapping[str, Any]) -> Reply:
            counts[name] += 1
            first = next(iter(counts))
            return Answer(500) if name == first and counts[name] > 2 else SCRIPT(body)

        return answer

    with serving(site.top, {"a": failing("a"), "b": failing("b")}):
        night = accepted(site.run("night", "--json"))
    assert len(calls_of(site, night)) == 2
    told = status_of(site)
    broke = [one for one in told.values() if one["broken"]]
    assert len(broke) == 1 and broke[0]["answered"] == 2 and "lost" in broke[0]["state"]


def test_a_drained_endpoint_is_asked_nothing(site: QueuedProject) -> None:
    """The order is recorded, listed, and obeyed from the first call on; taken back, it holds no more."""
    assert site.run("server", "drain", "nobody", "--reason", "x").returncode == 2
    assert site.run("server", "drain", "second", "--reason", "new driver").returncode == 0
    again = site.run("server", "drain", "second", "--reason", "again")
    assert "stands so already" in again.stdout
    with serving(site.top, {"a": SCRIPT, "b": SCRIPT}) as servers:
        listed = json.loads(site.run("server", "pool", "--json").stdout)["endpoints"]
        assert [one["draining"] for one in listed] == ["", "new driver"]
        night = accepted(site.run("night", "--json"))
        assert set(calls_of(site, night)) == {"endpoint"} and servers["b"].requests == []
        assert site.run("server", "undrain", "second").returncode == 0
        listed = json.loads(site.run("server", "pool", "--json").stdout)["endpoints"]
        assert [one["draining"] for one in listed] == ["", ""]


def test_a_contained_night_reaches_a_pool_on_the_loopback_outside(site: QueuedProject) -> None:
    """Inside the empty namespace each address has a relay of its own, and both endpoints are asked through theirs."""
    with serving(site.top, {"a": SCRIPT, "b": SCRIPT}, tcp=True) as servers:
        config = site.root / "pantheon.toml"
        text = config.read_text()
        for name in "ab":
            port = (site.top / f"{name}.port").read_text()
            text = text.replace(f'uds = "{site.top}/{name}.sock"', f'url = "http://127.0.0.1:{port}"')
        config.write_text(text)
        night = accepted(site.run("night", "--json", "--accept-drift", "other addresses"))
    assert sum(calls_of(site, night).values()) > 2
    assert all(server.head_lines for server in servers.values())
