"""Reading answers: arbitrary text never raises, and nothing passes that does not fulfil the contract."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pantheon.core.answer import MAX_ANSWER_CHARS, answer_schema, read_answer
from pantheon.core.loop import Answered, CalledTool, Finalized

OUTPUT: dict[str, Any] = {
    "type": "object",
    "required": ["title", "tags"],
    "additionalProperties": False,
    "properties": {
        "title": {"type": "string", "minLength": 2, "maxLength": 12},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
    },
}
TOOLS: dict[str, Any] = {"look": {"type": "object"}, "list": {"type": "object"}}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=14),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["title", "tags", "tool", "args", "finalize", "x"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)
outputs = st.fixed_dictionaries(
    {
        "title": st.text(max_size=14) | json_values,
        "tags": st.lists(st.text(max_size=4), max_size=4) | json_values,
    }
)
answers = (
    json_values
    | st.builds(lambda value: {"finalize": value}, outputs | json_values)
    | st.builds(
        lambda tool, args: {"tool": tool, "args": args},
        st.sampled_from(["look", "list", "rm", ""]) | json_values,
        st.dictionaries(st.text(max_size=3), json_values, max_size=2) | json_values,
    )
)


def read(text: str, *, cut: bool = False, tools: tuple[str, ...] = ("list", "look")) -> Any:
    """Read an answer that cost seven tokens."""
    return read_answer(text, output=OUTPUT, tools=tools, tokens=7, cut=cut)


@given(
    st.text(max_size=200) | st.text(alphabet='{}[]":,\\ntfu0-9eEN.finalizetoolargs ', max_size=60),
    st.booleans(),
)
@example("[" * 5_000, False)
@example('{"finalize": ' * 2_000 + "1" + "}" * 2_000, False)
@example('{"finalize": {"title": "\\ud800x", "tags": []}}', False)
@example("\x00", False)
@example("9" * 6_000, False)
def test_arbitrary_text_never_raises(text: str, cut: bool) -> None:
    """Whatever the model writes is judged, its tokens are counted, and a refusal says why in a short text."""
    event = read(text, cut=cut)
    assert event.tokens == 7
    if isinstance(event, Answered):
        assert 0 < len(event.problem) <= 1_000


@given(answers)
def test_reading_and_schema_agree(value: Any) -> None:
    """What is read as an output fulfils the contract, and everything that is taken fits the schema of the step."""
    text = json.dumps(value)
    event = read(text)
    if isinstance(event, Finalized):
        assert jsonschema.Draft202012Validator(OUTPUT).is_valid(event.output)
        assert value == {"finalize": event.output}
    if isinstance(event, CalledTool):
        assert event.tool in TOOLS
        assert value == {"tool": event.tool, "args": event.args}
    for finalize_only in (False, True):
        schema = answer_schema(OUTPUT, TOOLS, finalize_only=finalize_only)
        known = () if finalize_only else tuple(TOOLS)
        fits = jsonschema.Draft202012Validator(schema).is_valid(value)
        taken = not isinstance(read(text, tools=known), Answered)
        if taken:
            assert fits
        elif fits:
            # Stricter than the schema in one thing only: what other readers of JSON would read differently.
            assert "not one JSON object" in read(text, tools=known).problem


@given(answers)
def test_a_cut_answer_never_passes(value: Any) -> None:
    """An answer that the server cut is refused, however whole it looks."""
    assert isinstance(read(json.dumps(value), cut=True), Answered)
    assert isinstance(read('{"finalize": {"title": "good", "tags": []}}', cut=True), Answered)


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_nothing_may_stand_around_the_object(before: str, after: str) -> None:
    """Text before or after the object, white space aside, is no answer."""
    good = '{"finalize": {"title": "good", "tags": []}}'
    for text in (before + good, good + after, f"```json\n{good}\n```"):
        if text.strip(" \t\r\n") != good:
            assert isinstance(read(text), Answered)


@pytest.mark.parametrize(
    "text",
    [
        '{"finalize": {"title": "good", "title": "other", "tags": []}}',
        '{"finalize": {"title": "good", "tags": []}, "finalize": {"title": "good", "tags": []}}',
        '{"finalize": {"title": "good", "tags": [NaN]}}',
        '{"tool": "look", "args": {"n": Infinity}}',
        '{"tool": "look", "args": {"n": 1e999}}',
        '{"tool": "look", "args": ' + "[" * 70 + "]" * 70 + "}",
        '{"tool": "look", "args": {"a": ' + '{"a": ' * 70 + "1" + "}" * 71 + "}",
        '{"tool": "look", "args": {}, "finalize": {"title": "good", "tags": []}}',
        '{"tool": ["look"], "args": {}}',
        '{"tool": "look", "args": []}',
        '{"tool": "look"}',
        '{"tool": "write_anything", "args": {}}',
        '{"finalize": {"title": "good", "tags": [], "extra": 1}}',
        '{"finalize": {"title": "g", "tags": []}}',
        '{"finalize": null}',
        "[]",
        "null",
        '"finalize"',
        "",
        '{"tool": "look", "args": {"a": "' + "x" * MAX_ANSWER_CHARS + '"}}',
    ],
)
def test_what_is_ambiguous_or_outside_is_refused(text: str) -> None:
    """Doubled keys, numbers that are none, deep nesting, unknown tools and half an answer are refused."""
    assert isinstance(read(text), Answered)


@pytest.mark.parametrize("output", [{}, {"type": ["object", "integer"]}])
def test_an_output_is_an_object_even_where_the_contract_is_loose(output: dict[str, Any]) -> None:
    """A contract that would let a number pass does not make a number an output."""
    event = read_answer('{"finalize": 3}', output=output, tools=(), tokens=1, cut=False)
    assert isinstance(event, Answered)


def test_no_tool_is_offered_or_taken_in_the_last_step() -> None:
    """A step that can only finalize refuses the call of a tool that is known otherwise."""
    schema = answer_schema(OUTPUT, TOOLS, finalize_only=True)
    assert "anyOf" not in schema
    assert isinstance(read('{"tool": "look", "args": {}}', tools=()), Answered)
