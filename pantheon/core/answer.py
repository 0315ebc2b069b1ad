"""What a model may answer in a step: one JSON object, either one tool call or ``finalize``.

The same schema constrains a server that can (``response_format``), stands in the prompt for one that cannot,
and is checked here in both cases, because a constrained server can still stop in mid-answer.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pantheon.core.contract import schema_problems
from pantheon.core.loop import Answered, CalledTool, Finalized
from pantheon.core.strict_json import parse_json

MAX_ANSWER_CHARS = 200_000


def answer_schema(
    output: Mapping[str, Any], tools: Mapping[str, Mapping[str, Any]], *, finalize_only: bool
) -> dict[str, Any]:
    """Return the JSON Schema of a step's answer.

    Args:
        output: the agent's output contract.
        tools: tool name -> JSON Schema of its arguments.
        finalize_only: leave the tools out.
    """
    choices = [_choice("finalize", output)]
    if not finalize_only:
        choices += [
            {
                "type": "object",
                "properties": {"tool": {"const": name}, "args": dict(schema)},
                "required": ["tool", "args"],
                "additionalProperties": False,
            }
            for name, schema in sorted(tools.items())
        ]
    return choices[0] if len(choices) == 1 else {"anyOf": choices}


def read_answer(
    text: str,
    *,
    output: Mapping[str, Any],
    tools: Sequence[str],
    tokens: int,
    cut: bool,
) -> CalledTool | Finalized | Answered:
    """Judge one answer of the model. Tool arguments are the tool's own business to validate.

    Args:
        text: what the model wrote.
        output: the agent's output contract.
        tools: names of the tools that may be called now.
        tokens: output tokens the answer cost.
        cut: whether the server stopped at the token limit.
    """

    def wrong(problem: str) -> Answered:
        return Answered(problem=problem, tokens=tokens)

    if cut:
        return wrong("the answer was cut at the token limit; answer shorter")
    if len(text) > MAX_ANSWER_CHARS:
        return wrong("the answer is too long")
    try:
        value = parse_json(text)
    except (ValueError, RecursionError) as error:
        return wrong(f"not one JSON object: {str(error)[:120]}")
    if not isinstance(value, dict):
        return wrong("not one JSON object")
    if set(value) == {"finalize"}:
        if not isinstance(value["finalize"], dict):
            return wrong("finalize: not an object")
        problems = schema_problems(output, value["finalize"])
        if problems:
            return wrong("finalize: " + "; ".join(problems[:3]))
        return Finalized(output=value["finalize"], tokens=tokens)
    if set(value) == {"tool", "args"}:
        name, args = value["tool"], value["args"]
        if name not in tools:
            return wrong(f"tool: {str(name)[:60]!r} is not one of {', '.join(sorted(tools)) or 'no tools'}")
        if not isinstance(args, dict):
            return wrong("args: not an object")
        return CalledTool(tool=name, args=args, tokens=tokens)
    return wrong('the object has either the one key "finalize", or the two keys "tool" and "args"')


def _choice(key: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {key: dict(schema)},
        "required": [key],
        "additionalProperties": False,
    }
