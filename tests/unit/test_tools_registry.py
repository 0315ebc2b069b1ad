"""The registry: arguments validated, results bounded, schemas fit for constrained decoding."""

import json
from typing import Any

import jsonschema
import pytest
from pydantic import Field

from pantheon.core.errors import ConfigError, ToolError
from pantheon.core.model import Frozen
from pantheon.core.task import Task
from pantheon.testing.tree import FakeTree
from pantheon.tools.notes import NOTE_TOOLS
from pantheon.tools.registry import CUT, Registry, Tool, ToolContext, ToolResult


class Inner(Frozen):
    """A nested argument."""

    size: int = Field(ge=1)


class Args(Frozen):
    """Arguments with a nested model, which a schema would refer to."""

    text: str = Field(max_length=5)
    inner: Inner
    more: tuple[Inner, ...] = ()


def _call(args: Args, context: ToolContext) -> ToolResult:
    return ToolResult(text=args.text * args.inner.size)


ECHO = Tool(
    name="echo",
    description="Repeat a text.",
    arguments=Args,
    example={"text": "ab", "inner": {"size": 2}},
    call=_call,
    max_output_chars=10,
)
CONTEXT = ToolContext(files=FakeTree(), task=Task(id="t", kind="docops", goal="g"))


@pytest.mark.parametrize("tool", [*NOTE_TOOLS, ECHO], ids=lambda tool: tool.name)
def test_a_schema_stands_alone_and_accepts_the_example(tool: Tool) -> None:
    """No references, closed objects at every level, and the card's example is valid under it."""
    registry = Registry((tool,))
    schema = registry.get(tool.name).args_schema
    text = json.dumps(schema)
    assert "$ref" not in text and "$defs" not in text
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(dict(tool.example), schema)
    assert _closed(schema)
    card = registry.get(tool.name).card
    assert card.startswith(f"{tool.name}(")
    assert json.loads(card.split("Example: ")[1]) == {"tool": tool.name, "args": dict(tool.example)}


def _closed(schema: Any) -> bool:
    if isinstance(schema, list):
        return all(_closed(item) for item in schema)
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        return False
    return all(_closed(value) for value in schema.values())


def test_an_unknown_tool_is_named_with_the_known_ones() -> None:
    """The message tells what there is."""
    with pytest.raises(ConfigError, match=r"'nope' \(tools: echo\)"):
        Registry((ECHO,)).get("nope")


def test_two_tools_of_one_name_are_refused() -> None:
    """A later tool never shadows an earlier one."""
    with pytest.raises(ConfigError, match="echo"):
        Registry((ECHO, ECHO))


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ({}, "text: Field required"),
        ({"text": "toolong", "inner": {"size": 1}}, "text: String should have at most 5"),
        ({"text": "a", "inner": {"size": 0}}, "inner.size"),
        ({"text": "a", "inner": {"size": 1}, "x": 1}, "x: unknown field"),
        ({"text": "\ud800", "inner": {"size": 1}}, "not plain JSON"),
        ({"text": object(), "inner": {"size": 1}}, "not plain JSON"),
    ],
)
def test_wrong_arguments_are_refused_with_a_short_reason(args: dict[str, Any], reason: str) -> None:
    """What is not the tool's goes back as one exact sentence and the tool does not run."""
    with pytest.raises(ToolError, match=reason) as caught:
        Registry((ECHO,)).call("echo", args, CONTEXT)
    assert len(caught.value.message) < 500


def test_a_long_result_is_cut_with_a_mark() -> None:
    """Output is bounded, and the cut shows."""
    registry = Registry((ECHO,))
    assert registry.call("echo", {"text": "ab", "inner": {"size": 5}}, CONTEXT).text == "ab" * 5
    assert registry.call("echo", {"text": "ab", "inner": {"size": 6}}, CONTEXT).text == "ab" * 5 + CUT
