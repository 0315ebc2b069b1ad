"""What an attempt recorded of its model calls, tool calls and review, read tolerantly."""

from collections.abc import Mapping
from typing import Any

from pantheon.report.model import ModelCall, ReviewedQuestion, ReviewShown, ToolCall
from pantheon.report.reading import amount, count, items, mapping, number, text
from pantheon.report.view import View


def read_review(view: View) -> ReviewShown | None:
    """Return the attempt's review; None when it left none.

    Only the orchestrator writes ``review.json``: an output that merely looks like a verdict is no review.
    """
    value = view.json("review.json")
    if value.get("verdict") not in ("pass", "fail"):
        if "review.json" in view.pieces:
            view.problems.append("review.json holds no verdict")
        return None
    limit, chars = view.limits.questions, view.limits.text_chars
    questions = [mapping(one) for one in items(value.get("questions"))]
    return ReviewShown(
        reviewer=text(value.get("reviewer"), 100) or "?",
        version=text(value.get("version"), 60),
        verdict=str(value["verdict"]),
        margin=number(value.get("margin")),
        strength=number(value.get("strength")),
        confident=number(value.get("confident")),
        reasons=tuple(text(reason, chars) for reason in items(value.get("reasons"))[:limit]),
        base=text(value.get("base"), 64),
        head=text(value.get("head"), 64),
        questions=tuple(_question(one, chars) for one in questions[:limit]),
        questions_left_out=max(len(questions) - limit, 0),
        shown=text(value.get("shown"), 100),
    )


def _question(value: Mapping[str, Any], chars: int) -> ReviewedQuestion:
    margins = [number(one) for one in items(value.get("margins"))[:2]]
    first, second = [*margins, None, None][:2]
    fits = value.get("fits")
    return ReviewedQuestion(
        id=text(value.get("question") or value.get("id"), 200),
        proposal=text(value.get("proposal"), chars),
        decoy=text(value.get("decoy"), chars),
        margins=(first, second),
        margin=number(value.get("margin")),
        label_mass=number(value.get("label_mass")),
        fits=fits if isinstance(fits, bool) else None,
        floor=number(value.get("floor")),
    )


def read_tool_calls(view: View) -> tuple[tuple[ToolCall, ...], str]:
    """Return the first tool calls, and in words how many more there are."""
    lines, left = view.lines("tool_calls.jsonl", view.limits.tool_calls)
    chars = view.limits.text_chars
    calls = []
    for line in lines:
        error = mapping(line.get("error"))
        answer = f"{text(error.get('code'), 60)}: {text(error.get('message'), chars)}" if error else ""
        calls.append(
            ToolCall(
                step=count(line.get("step")),
                tool=text(line.get("tool"), 100),
                args=text(line.get("args"), chars),
                ok=line.get("ok") is True,
                answer=answer or text(line.get("result"), chars),
                elapsed_ms=count(line.get("elapsed_ms")),
            )
        )
    return tuple(calls), left


def read_model_calls(view: View) -> tuple[tuple[ModelCall, ...], str]:
    """Return the first model calls, and in words how many more there are."""
    lines, left = view.lines("llm_calls.jsonl", view.limits.model_calls)
    calls = []
    for line in lines:
        reply = mapping(line.get("reply"))
        usage, timings = mapping(reply.get("usage")), mapping(reply.get("timings"))
        calls.append(
            ModelCall(
                call=count(line.get("call")),
                purpose=text(line.get("purpose"), 200),
                prompt_tokens=count(usage.get("prompt_tokens")),
                cached_tokens=count(usage.get("cached_tokens")),
                completion_tokens=count(usage.get("completion_tokens")),
                total_s=amount(timings.get("total_s")),
                reply=text(reply.get("text") if reply else line.get("error"), view.limits.text_chars),
                failed=not reply,
            )
        )
    return tuple(calls), left
