"""Agent folders: only what is exactly local works at night, and every mistake names its file and key."""

import json
from typing import Any

import pytest

from pantheon.core.agent import load_agent
from pantheon.core.errors import ConfigError, LocalityError

SPEC = """
name = "doc.test"
version = "1"
role = "worker"
[runtime]
{runtime}
[output.schema]
type = "object"
required = ["title"]
properties.title = {{ type = "string" }}
"""
PROMPT = b"{% block system %}s{% endblock %}{% block question %}q{% endblock %}"


def files(runtime: str = 'origin = "local"', spec: str = SPEC, **more: bytes) -> dict[str, bytes]:
    """An agent's folder."""
    text = spec.format(runtime=runtime).encode()
    return {"agent.toml": text, "prompt.md": PROMPT, **{f"{k}.jsonl": v for k, v in more.items()}}


def test_a_whole_folder_loads() -> None:
    """Specification, prompt and examples come back, under one label and one digest."""
    example = json.dumps({"user": "a note", "answer": {"title": "T"}}).encode()
    agent = load_agent("doc.test", files(examples=example + b"\n\n" + example))
    assert agent.label == "doc.test@1"
    assert len(agent.examples) == 2
    assert agent.digest == load_agent("doc.test", files(examples=example + b"\n\n" + example)).digest


@pytest.mark.parametrize("folder", ["doc.other", "Doc.test", "doc.test ", "doc.test.bak", ""])
def test_a_folder_is_called_like_its_agent(folder: str) -> None:
    """A copy of an agent, or one in another's place, is refused: flows and reports name agents, people see folders."""
    with pytest.raises(ConfigError, match=r"agent\.toml: name: 'doc\.test' is not the folder's name"):
        load_agent(folder, files())


@pytest.mark.parametrize(
    "runtime",
    [
        "",
        'origin = "Local"',
        'origin = "LOCAL"',
        'origin = "local "',
        'origin = " local"',
        'origin = "local\\n"',
        'origin = "local\\u200b"',
        'origin = "loc\\u00adal"',
        'origin = "lоcal"',
        'origin = "ｌｏｃａｌ"',
        'origin = ["local"]',
        'origin = {{ value = "local" }}'.replace("{{", "{").replace("}}", "}"),
        "origin = true",
        "origin = 1",
        'origin = ""',
        'origin = "cloud"',
        'origin = "local,cloud"',
        'origin = "localhost"',
        'Origin = "local"',
        'model = "m"',
    ],
)
def test_only_exactly_local_may_work(runtime: str) -> None:
    """Whatever merely looks like local, in case, space, script or type, is refused by the agent's name."""
    with pytest.raises(LocalityError, match=r"doc\.test") as caught:
        load_agent("doc.test", files(runtime))
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    "table", ['runtime = "local"', 'runtime = ["local"]', "", "[[runtime]]\norigin = 'local'"]
)
def test_a_runtime_that_is_no_table_is_not_local(table: str) -> None:
    """The origin is looked for in one place, and anything else is not local."""
    spec = f'name = "doc.test"\nversion = "1"\nrole = "worker"\n{table}\n'
    with pytest.raises(LocalityError, match=r"doc\.test"):
        load_agent("doc.test", files(spec=spec.replace("{", "{{").replace("}", "}}")))


def test_locality_is_refused_before_anything_else_is_looked_at() -> None:
    """A folder that is wrong in other ways too is refused for its origin."""
    spec = 'name = "doc.test"\nunknown = 1\n[runtime]\norigin = "cloud"\nextra = 2\n'
    with pytest.raises(LocalityError):
        load_agent("doc.test", files(spec=spec, examples=b"no JSON"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("role =", "colour = 1\nrole ="), "colour: unknown field"),
        (('"worker"', '"boss"'), "role:"),
        (('"doc.test"', '"../up"'), "name:"),
        (('version = "1"', 'version = ""'), "version:"),
        (('type = "object"', 'type = "text"'), "not a JSON Schema"),
        (('type = "object"', 'type = "object"\n"$ref" = "file:///etc/hostname"'), "refers to nothing"),
        (("[output.schema]", "[limits]\nmax_steps = 0\n[output.schema]"), "limits.max_steps:"),
        (("[output.schema]", "[limits]\nmax_stps = 1\n[output.schema]"), "limits.max_stps: unknown field"),
        (("[output.schema]", "[sampling]\ntemperature = nan\n[output.schema]"), "sampling.temperature:"),
        (('"worker"', '"reviewer"'), "a reviewer asks at least one question"),
    ],
)
def test_mistakes_name_file_and_key(change: tuple[str, str], said: str) -> None:
    """The author reads which file, which key and what is wrong."""
    with pytest.raises(ConfigError) as caught:
        load_agent("doc.test", files(spec=SPEC.replace(*change)))
    assert "agents/doc.test/agent.toml: " in caught.value.message
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (b'{"user": "u", "answer": {}}', "examples.jsonl:1: answer: "),
        (b'\n{"user": "u", "answer": {"title": 3}}', "examples.jsonl:2: answer: title"),
        (b"nonsense", "examples.jsonl:1: not JSON"),
        (b'{"user": "u"}', "examples.jsonl:1: answer"),
        (b'{"user": "u", "answer": {"title": "t"}, "x": 1}', "examples.jsonl:1: x: unknown field"),
        (b"[]", "examples.jsonl:1: "),
        (b"\xff", "examples.jsonl"),
        (b'{"user": "u", "answer": {"title": NaN}}', "examples.jsonl:1: "),
        (b"[" * 100_000, "examples.jsonl:1: "),
    ],
)
def test_examples_fulfil_the_contract_they_teach(lines: bytes, said: str) -> None:
    """An example that the agent would be refused for is an error of its line."""
    with pytest.raises(ConfigError) as caught:
        load_agent("doc.test", files(examples=lines))
    assert f"agents/doc.test/{said}" in caught.value.message


@pytest.mark.parametrize("gone", ["agent.toml", "prompt.md"])
def test_a_missing_file_is_named(gone: str) -> None:
    """Specification and prompt are needed."""
    whole = files()
    del whole[gone]
    with pytest.raises(ConfigError, match=f"{gone} is missing"):
        load_agent("doc.test", whole)


@pytest.mark.parametrize("data", [b"\xff\xfe", b"name = ", b"= 3"])
def test_what_is_no_toml_is_named(data: bytes) -> None:
    """A file that cannot be read is an error with its name."""
    with pytest.raises(ConfigError, match=r"agents/doc\.test/agent\.toml"):
        load_agent("doc.test", {**files(), "agent.toml": data})


def test_the_digest_covers_every_file() -> None:
    """One byte more in any file, or a file more, is another version in evidence."""
    whole = files(examples=b"")
    digests = {load_agent("doc.test", whole).digest}
    for name in whole:
        digests.add(load_agent("doc.test", {**whole, name: whole[name] + b"\n"}).digest)
    digests.add(load_agent("doc.test", {**whole, "README.md": b""}).digest)
    assert len(digests) == len(whole) + 2


SHAPES: list[dict[str, Any]] = [{"agent.toml": b""}, {}]


@pytest.mark.parametrize("shape", SHAPES)
def test_an_empty_folder_is_an_error(shape: dict[str, bytes]) -> None:
    """Nothing is guessed for what is not there."""
    with pytest.raises(ConfigError):
        load_agent("doc.test", shape)
