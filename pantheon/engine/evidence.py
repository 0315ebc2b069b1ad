"""Collects what one attempt leaves behind: artifacts while it runs, metrics and the attestation at its end."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from pantheon.core.budget import Usage
from pantheon.core.chat import CallRecord, ChatRequest, Message
from pantheon.core.errors import PantheonError
from pantheon.core.prompt import prompt_text
from pantheon.core.visible import visible
from pantheon.engine.to_end import to_end
from pantheon.ports.artifacts import ArtifactSink
from pantheon.ports.model import ModelClient

CANCELLED = "cancelled"
"""What stands in place of an error where nothing went wrong and the work was called off."""


@dataclass
class Tally:
    """Counts of one attempt, for ``metrics.json``."""

    steps: int = 0
    failures: int = 0
    calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    model_s: float = 0.0
    first_token_s: float = 0.0
    tool_calls: int = 0
    tool_errors: list[dict[str, str]] = field(default_factory=list)
    endpoints: dict[str, int] = field(default_factory=dict)
    """Endpoint -> calls that it answered, where there are several."""
    canaries: list[dict[str, Any]] = field(default_factory=list)
    """What became of the canaries of a review, those of earlier attempts included."""

    def usage(self, wall_s: float) -> Usage:
        """Return what budgets count of an attempt that took so many seconds."""
        return Usage(
            steps=self.steps, output_tokens=self.completion_tokens, wall_s=wall_s, server_s=self.model_s
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as JSON-ready data."""
        return {
            "steps": self.steps,
            "failures": self.failures,
            "calls": self.calls,
            "prompt_tokens": self.prompt_tokens,
            "cached_tokens": self.cached_tokens,
            "computed_tokens": self.prompt_tokens - self.cached_tokens,
            "completion_tokens": self.completion_tokens,
            "model_s": round(self.model_s, 3),
            "first_token_s": round(self.first_token_s, 3),
            "tool_calls": self.tool_calls,
            "tool_errors": self.tool_errors,
            **({"endpoints": self.endpoints} if self.endpoints else {}),
            **({"canaries": self.canaries} if self.canaries else {}),
        }


class Evidence:
    """Writes one attempt's artifacts.

    Args:
        sink: the attempt's folder.
    """

    def __init__(self, sink: ArtifactSink) -> None:
        self.sink = sink
        self.tally = Tally()
        self._shown: tuple[Message, ...] = ()

    async def chat(
        self, client: ModelClient, request: ChatRequest, *, purpose: str, deadline_s: float
    ) -> CallRecord:
        """Make a model call and record it, whether it is answered or not.

        Raises:
            ModelError: as the client does, after the failed call was recorded.

        Cancellation:
            Re-raised after the call was recorded: with its reply where it was there, else as cancelled.
        """
        number = self.tally.calls + 1
        self.tally.calls = number
        call = CallRecord(call=number, purpose=purpose, endpoint=client.endpoint, request=request)
        try:
            await self._append_prompt(number, purpose, request)
            reply = await client.chat(request, deadline_s=deadline_s)
        except asyncio.CancelledError:
            await self._append_call(call.model_copy(update={"error": CANCELLED}))
            raise
        except PantheonError as error:
            await self._append_call(call.model_copy(update={"error": f"{error.code}: {error.message}"}))
            raise
        record = call.model_copy(update={"reply": reply, "endpoint": reply.endpoint or call.endpoint})
        if reply.endpoint:
            self.tally.endpoints[reply.endpoint] = self.tally.endpoints.get(reply.endpoint, 0) + 1
        self.tally.prompt_tokens += reply.usage.prompt_tokens
        self.tally.cached_tokens += reply.usage.cached_tokens
        self.tally.completion_tokens += reply.usage.completion_tokens
        self.tally.model_s += reply.timings.total_s
        self.tally.first_token_s += reply.timings.first_token_s or 0.0
        await self._append_call(record)
        return record

    async def tool_call(
        self,
        *,
        step: int,
        tool: str,
        args: Mapping[str, Any],
        result: str | None,
        error: PantheonError | None,
        elapsed_s: float,
    ) -> None:
        """Record one tool call, answered or refused."""
        self.tally.tool_calls += 1
        if error is not None:
            self.tally.tool_errors.append({"tool": tool, "code": error.code})
        await self._append_json(
            "tool_calls.jsonl",
            {
                "step": step,
                "tool": tool,
                "args": dict(args),
                "ok": error is None,
                "result": result,
                "error": None if error is None else {"code": error.code, "message": error.message},
                "elapsed_ms": round(elapsed_s * 1000),
            },
        )

    async def put_json(self, name: str, make: Callable[[], Mapping[str, Any]]) -> None:
        """Write one JSON artifact, indented for people; it is made only when it is kept."""
        if self.sink.keeps:
            await self.sink.put(name, _pretty(make()))

    async def log(self, line: str) -> None:
        """Add one line to the attempt's ``stdout.log``."""
        await self.sink.append("stdout.log", _log_line(line))

    async def log_error(self, line: str) -> None:
        """Add one line to the attempt's ``stderr.log``."""
        await self.sink.append("stderr.log", _log_line(line))

    async def _append_prompt(self, number: int, purpose: str, request: ChatRequest) -> None:
        """Add a call's prompt to ``llm_prompt.txt``: only the turns that the call before did not have."""
        shared = 0
        for old, new in zip(self._shown, request.messages, strict=False):
            if old != new:
                break
            shared += 1
        self._shown = request.messages
        head = f"##### call {number}: {purpose}" + (f" (first {shared} turns as before)" if shared else "")
        text = f"{head}\n{prompt_text(request.messages[shared:])}\n"
        await self.sink.append("llm_prompt.txt", text.encode("utf-8", "replace"))

    async def _append_call(self, record: CallRecord) -> None:
        """Add a call to ``llm_calls.jsonl``, whatever cancellations arrive: each call stands there once."""
        _, cancelled = await to_end(self._append_json("llm_calls.jsonl", record.model_dump(mode="json")))
        if cancelled:
            raise asyncio.CancelledError

    async def _append_json(self, name: str, value: Mapping[str, Any]) -> None:
        line = json.dumps(value, ensure_ascii=False, sort_keys=True) + "\n"
        await self.sink.append(name, line.encode("utf-8", "replace"))


def _log_line(text: str) -> bytes:
    return (visible(text.replace("\n", " ")) + "\n").encode("utf-8", "replace")


def _pretty(value: Mapping[str, Any]) -> bytes:
    try:
        return to_json(value, indent=2) + b"\n"
    except PydanticSerializationError:
        # Names of files may hold bytes that are no UTF-8; only the slower writer can replace them.
        return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode("utf-8", "replace")
