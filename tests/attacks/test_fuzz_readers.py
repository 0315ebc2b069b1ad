"""Readers of what servers, test runners, files and history say, under random damage: an answer, or an error of ours.

As in ``test_fuzz_formats.py``, ``make fuzz`` tries many examples.
"""

import asyncio
import json
import math
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantheon.adapters.capability_probe import ask_capabilities
from pantheon.adapters.chat_stream import MAX_TOKENS, read_usage
from pantheon.adapters.content import load_folders, load_texts, shipped_content
from pantheon.adapters.git.past_edits import read_commit
from pantheon.adapters.metrics_text import parse_load, parse_metrics
from pantheon.adapters.server_identity import ServedModel, ask_identity
from pantheon.core.agent import load_agent
from pantheon.core.concurrency import Concurrency, Measurement
from pantheon.core.errors import ConfigError, FlowError, LocalityError, ModelError
from pantheon.core.flow import load_flow
from pantheon.core.policy import (
    GATE_FILE,
    NIGHT_FILE,
    SLO_FILE,
    GatePolicy,
    NightPolicy,
    SloPolicy,
    load_policy,
)
from pantheon.core.pool import add_loads
from pantheon.core.publishing import calm, picked_message
from pantheon.core.qualification import load_qualifications
from pantheon.core.test_reports import parse_report
from pantheon.core.visible import visible_line
from pantheon.report.diffs import colour_diff, read_diff
from pantheon.shell.config import load_project

NUMBERS = (
    "0",
    "1",
    "-1",
    "0.97",
    "1e308",
    "-1e308",
    "1e999",
    "NaN",
    "+Inf",
    "9" * 40,
    "1_0",
    "0x1",
    "١",
    "1e-999",
    "",
)
GAUGES = (
    "vllm:num_requests_running", "llamacpp:requests_processing", "vllm:num_requests_waiting",
    "llamacpp:requests_deferred",
    "vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "llamacpp:prompt_tokens_total", "x" * 120, "# HELP x",
)  # fmt: skip
LABELS = ("", "{}", '{engine="0"}', '{a="}"}', '{a="\\n"} ', "{", "}" * 500, "{" + "}" * 900)
GAUGE_LINES = st.tuples(st.sampled_from(GAUGES), st.sampled_from(LABELS), st.sampled_from((" ", "\t", "  ", "")),
                        st.sampled_from(NUMBERS), st.sampled_from(("", " 1700000000000",
                        " x"))).map("".join)  # fmt: skip


@given(st.lists(GAUGE_LINES | st.text(max_size=20), max_size=8).map("\n".join))
def test_no_metrics_page_leaves_the_numbers(page: str) -> None:
    """Whatever one server or several say of themselves is a number, and the limit stays within its bounds."""
    for value in parse_metrics(page).values():
        assert math.isfinite(value)
    load = parse_load(page)
    both = add_loads([load, load, load])
    for one in (load.running, load.waiting, load.cache_use, both.running, both.waiting):
        assert one is None or (math.isfinite(one) and one >= 0)
    for limit in (1, 7, 16):
        now = Concurrency(ceiling=16, limit=limit, best=1, best_per_s=1.0)
        for seen in (load, both):
            then = now.after(Measurement(per_s=10.0, in_flight=float(limit), load=seen))
            assert 1 <= then.limit <= 16 and len(then.why) < 400


def test_a_server_that_boasts_would_leave_them() -> None:
    """The control: read as the numbers they are, two of them are more than any, which no count of slots survives."""
    running = sum(float(text) for text in ("1e308", "1e308"))
    with pytest.raises(OverflowError):
        int(running)
    assert parse_load("vllm:num_requests_running 3\nvllm:num_requests_running 4").running == 7


@given(st.dictionaries(
    st.sampled_from(("prompt_tokens", "completion_tokens", "prompt_tokens_details")),
    st.none() | st.integers() | st.floats() | st.sampled_from((10**400, "7", "x", True, [], {}))
    | st.dictionaries(st.just("cached_tokens"), st.none() | st.integers() | st.floats() | st.just(10**400),
    max_size=1),
))  # fmt: skip
def test_a_count_of_tokens_is_one_or_an_error(usage: Mapping[str, Any]) -> None:
    """What is taken can be added up for years."""
    try:
        found = read_usage(usage)
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError):
        return  # what the reader of a stream turns into a model's error
    assert 0 <= found.cached_tokens <= found.prompt_tokens <= MAX_TOKENS
    assert 0 <= found.completion_tokens <= MAX_TOKENS


DEEP = json.loads("[" * 600 + "]" * 600)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from(
    ("scripted", "x:cloud", "\ud800", "openai", 10**400, DEEP)
)  # fmt: skip
FIELDS = st.sampled_from((
    "data", "models", "id", "name", "model", "root", "owned_by", "digest", "remote_host", "cloud", "disabled",
    "choices",
    "delta", "content", "logprobs", "top_logprobs", "tool_calls", "usage", "completion_tokens",
    "prompt_tokens_details",
    "cached_tokens",
))  # fmt: skip
PAGES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=12,
)
LISTINGS = PAGES | st.fixed_dictionaries(
    {
        "data": st.lists(
            st.dictionaries(FIELDS, SCALARS, max_size=4).map(lambda one: {"id": "scripted", **one}),
            max_size=3,
        )
    }
)


def bodies(page: Any) -> bytes:
    """Return a page as a server that is careless or evil would send it."""
    return json.dumps(page, allow_nan=True).encode()


@given(LISTINGS, PAGES, PAGES)
def test_a_listing_is_a_model_or_an_error_of_ours(models: Any, tags: Any, status: Any) -> None:
    """Nothing that a server lists of itself gets past the errors that a night knows."""
    pages = {"/v1/models": models, "/api/tags": tags, "/api/status": status}

    async def ask() -> ServedModel:
        def answer(request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, content=bodies(pages[request.url.path]))

        async with httpx.AsyncClient(
            transport=httpx.MockTransport(answer), base_url="http://localhost"
        ) as http:
            return await ask_identity(http, "e")

    try:
        found = asyncio.run(ask())
    except (ModelError, LocalityError):
        return
    found.name.encode()
    assert found.name and len(found.digest) == 64


@given(st.lists(st.sampled_from((200, 200, 200, 400, 429, 500, 503)), min_size=4, max_size=4),
       st.lists(st.lists(PAGES, max_size=3), min_size=4, max_size=4))  # fmt: skip
def test_a_probe_finds_something_or_nothing(statuses: list[int], answers: list[list[Any]]) -> None:
    """Answers of any shape to the questions of the probe are capabilities, none, or a model's error."""
    asked = iter(zip(statuses, answers, strict=True))

    async def ask() -> tuple[Any, ...]:
        def answer(_: httpx.Request) -> httpx.Response:
            status, pieces = next(asked)
            said = b"".join(b"data: " + bodies(piece) + b"\n\n" for piece in pieces)
            return httpx.Response(status, content=said + b"data: [DONE]\n\n")

        async with httpx.AsyncClient(
            transport=httpx.MockTransport(answer), base_url="http://localhost"
        ) as http:
            return await ask_capabilities(http, "e", "m")

    try:
        asyncio.run(ask())
    except ModelError:
        return


XML = (
    '<?xml version="1.0"?>', "<testsuites>", "</testsuites>", "<testsuite>", '<testsuite failures="1">',
    "</testsuite>",
    '<testcase classname="t" name="a">', '<testcase name="a"/>', "</testcase>", "<failure/>", "<error>",
    "</error>", "<skipped/>",
    '<!DOCTYPE x [<!ENTITY e "x">]>', "&e;", "&#0;", "&#x110000;", "<![CDATA[", "]]>", "<!--", "-->",
    '<?xml encoding="utf-7"?>',
    "\ufeff", 'failures="-1"', "\0", '<testsuite failures="9999999999999999999999">',
    '<testsuite tests="x" errors="²">',
)  # fmt: skip
TAP = (
    "TAP version 13\n", "TAP version 14\n", "1..2\n", "1..0 # SKIP\n", "1..99999999999999999999\n",
    "ok 1 - a\n", "not ok 2 - b\n",
    "ok\n", "ok 1\n", "    ok 1 - in\n", "    1..1\n", "# Subtest: x\n", "Bail out!\n", "  ---\n", "  ...\n",
    "not ok 1 # TODO\n",
    "ok 2 # SKIP\n", "ok ١\n", "ok 00000000000000000000000001 - z\n", "\r\n", "pragma +strict\n", "\x00",
    "    " * 40 + "ok 1\n",
)  # fmt: skip


@given(st.lists(st.sampled_from(XML) | st.text(max_size=4), max_size=14).map("".join),
       st.lists(st.sampled_from(TAP) | st.text(max_size=4), max_size=14).map("".join))  # fmt: skip
def test_a_report_of_tests_is_whole_or_an_error(xml: str, tap: str) -> None:
    """JUnit and TAP in pieces: what is read names tests, each once, with nothing hidden in the names."""
    for kind, text in (("junit", xml), ("tap", tap)):
        try:
            found = parse_report(kind, text.encode("utf-8", "surrogatepass"))  # type: ignore[arg-type]
        except ValueError as error:
            assert len(str(error)) < 2_000
            continue
        names = [case.name for case in found.cases]
        assert names and len(set(names)) == len(names) and all(visible_line(name) == name for name in names)


SHIPPED = shipped_content()
POLICIES: tuple[tuple[type[Any], str], ...] = (
    (NightPolicy, NIGHT_FILE),
    (GatePolicy, GATE_FILE),
    (SloPolicy, SLO_FILE),
)
TOML_PIECES = (
    b"\n[x]\n", b"[[node]]\n", b'id = "a"\n', b"= 1\n",
    b'"', b"'''", b"\x00", b"\xff", b"1e999", b"nan", b"-1", b"true", b"{}", b"[]",
    b"9999999999999999999999", b"\\u0000", b"a.b.c = 1\n", b'needs = ["a"]\n', b"1979-05-27T07:32:00Z", b"[" * 300,
)  # fmt: skip


BOMBS = {
    "brackets": b"a = " + b"[" * 100_000,
    "braces": b"a = " + b"{a=" * 50_000,
    "a key of many parts": b"a" + b".a" * 20_000 + b" = 1\n",
    "a table of many parts": b"[" + b"a." * 20_000 + b"a]\n",
    "digits": b"a = " + b"9" * 100_000,
    "an exponent": b"a = 1e" + b"9" * 10_000,
    "tables": b"".join(b"[a%d]\n" % number for number in range(20_000)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_settings_made_to_keep_their_reader_busy_are_an_error_of_ours(name: str, tmp_path: Path) -> None:
    """In each file that a repository has of them; the parser itself breaks down, or takes long (the control)."""
    bomb = BOMBS[name]
    if name in ("brackets", "braces", "digits"):
        with pytest.raises((RecursionError, ValueError), match=r"recursion|digits"):
            tomllib.loads(bomb.decode())
    agent = load_folders(SHIPPED / "agents")["doc.frontmatter"]
    began = time.process_time()
    for read in (
        lambda: load_policy(NightPolicy, NIGHT_FILE, bomb),
        lambda: load_flow("f.toml", bomb),
        lambda: load_agent("doc.frontmatter", {**agent, "agent.toml": bomb}),
        lambda: load_project(tmp_path),
    ):
        (tmp_path / "pantheon.toml").write_bytes(bomb)
        with pytest.raises((ConfigError, FlowError)):
            read()
    assert time.process_time() - began < 20


@st.composite
def torn(draw: st.DrawFn, whole: bytes) -> bytes:
    """Return a file with pieces taken out, doubled and put in."""
    data = whole
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 30)))
        piece = draw(st.sampled_from((b"", data[start:end] * 2, *TOML_PIECES)))
        data = data[:start] + piece + data[end:]
    return data


@given(st.data())
def test_a_torn_policy_is_one_or_an_error_of_ours(data: st.DataObject) -> None:
    """The shipped policies, in pieces."""
    model, file = data.draw(st.sampled_from(POLICIES))
    whole = load_texts(SHIPPED / "policies", "*.toml")[file]
    try:
        load_policy(model, file, data.draw(torn(whole)))
    except ConfigError as error:
        assert error.message


@given(st.data())
def test_a_torn_flow_or_agent_is_one_or_an_error_of_ours(data: st.DataObject) -> None:
    """The shipped flow and agents, in pieces: what loads names only what it may."""
    flows = load_texts(SHIPPED / "flows", "*.toml")
    file = data.draw(st.sampled_from(sorted(flows)))
    try:
        flow = load_flow(file, data.draw(torn(flows[file])))
        assert len({node.id for node in flow.node}) == len(flow.node)
    except (ConfigError, FlowError) as error:
        assert error.message
    agents = load_folders(SHIPPED / "agents")
    name = data.draw(st.sampled_from(sorted(agents)))
    files = dict(agents[name])
    part = data.draw(st.sampled_from(sorted(files)))
    files[part] = data.draw(torn(files[part]))
    try:
        agent = load_agent(name, files)
    except (ConfigError, LocalityError) as error:
        assert error.message
    else:
        assert agent.spec.runtime.origin == "local"


@given(st.binary(max_size=60) | torn(b'{"qualifications": [{"agent": "a", "floors": {}}]}\n'))
def test_torn_qualifications_are_none_or_an_error_of_ours(data: bytes) -> None:
    """None of them is one that was measured."""
    try:
        assert load_qualifications("f", data) == ()
    except ConfigError as error:
        assert error.message


@given(st.integers() | st.integers(-(2**70), 2**70), st.text(max_size=40))
def test_a_commit_of_any_time_is_a_commit(seconds: int, message: str) -> None:
    """Git prints what somebody wrote into the commit."""
    said = "\x1f".join(("a" * 40, "b" * 40, "c" * 40, str(seconds), message))
    found = read_commit(said)
    assert found.id == "a" * 40 and 1970 <= found.at.year <= 9999


@given(st.text(max_size=80), st.text(max_size=20))
def test_a_subject_calls_nobody_and_ends_no_message(message: str, commit: str) -> None:
    """Of what goes to a forge, the first line mentions and closes nothing, and is one line."""
    shown = calm(message)
    assert "\n" not in shown and "://" not in shown
    subject = picked_message(message, commit).split("\n")[0]
    assert subject == calm(message.partition("\n")[0])


DIFF_LINES = (
    "diff --git a/x b/x", "--- a/x", "+++ b/x", "--- /dev/null", "@@ -1 +1 @@", "@@ -1,99999999999 +1 @@",
    "+x", "-x", " x",
    "rename from a", "rename to b", 'diff --git "a/\\303" "b/\\n"', "Binary files a/x and b/x differ",
    "\\ No newline at end of file",
    "old mode 100644", "\x1b[2J", "+\u202e", "new file mode 120000", "index 0..1",
)  # fmt: skip


@given(st.lists(st.sampled_from(DIFF_LINES) | st.text(max_size=10), max_size=20).map("\n".join))
def test_a_diff_in_pieces_is_shown_without_acting(text: str) -> None:
    """Counts are counts, names and lines are visible."""
    facts = read_diff(text)
    assert facts.added >= 0 and facts.removed >= 0
    for old, new in facts.paths:
        assert visible_line(old) == old and visible_line(new) == new
    for line in colour_diff(text):
        assert "\x1b" not in line.text and "\u202e" not in line.text


def test_the_examples_are_many_enough() -> None:
    """By default a hundred each; ``make fuzz`` says how many more."""
    assert settings().max_examples >= 100
