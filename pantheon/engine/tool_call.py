"""One tool call: in a thread, inside its time limit, on files that are lent for its length, and recorded."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pantheon.core.errors import PantheonError, ToolError
from pantheon.core.operation import Operation
from pantheon.engine.evidence import Evidence
from pantheon.engine.lent_files import LentFiles
from pantheon.ports.clock import Clock
from pantheon.tools.registry import Registry, ToolContext, ToolResult


async def call_tool(
    tools: Registry,
    name: str,
    args: Mapping[str, Any],
    context: ToolContext,
    evidence: Evidence,
    clock: Clock,
    *,
    step: int,
    operations: list[Operation],
) -> ToolResult:
    """Call one tool in a thread, inside its time limit, and record it.

    Args:
        tools: the registry.
        name: the tool.
        args: its arguments, not yet validated.
        context: what it gets to see.
        evidence: where the call is recorded.
        clock: for its duration.
        step: step of the loop, 0 for calls the model did not ask for.
        operations: a writing call that changed something is added here.

    Raises:
        ToolError: the tool refused its arguments or could not do its work.

    Cancellation:
        The thread goes on, but the files it was lent refuse it.
    """
    tool = tools.get(name)
    started = clock.monotonic()
    lent = LentFiles(context.files)

    async def record(result: str | None, error: PantheonError | None) -> None:
        await evidence.tool_call(
            step=step, tool=name, args=args, result=result, error=error,
            elapsed_s=clock.monotonic() - started,
        )  # fmt: skip

    try:
        async with asyncio.timeout(tool.timeout_s):
            result = await asyncio.to_thread(tools.call, name, dict(args), replace(context, files=lent))
    except TimeoutError as error:
        late = ToolError(f"{name} did not finish within {tool.timeout_s} s")
        await record(None, late)
        raise late from error
    except ToolError as error:
        await record(None, error)
        raise
    finally:
        lent.take_back()
    await record(result.text, None)
    if tool.writes and result.changed:
        operations.append(
            Operation(tool=name, args=dict(args) | dict(result.data.get("args", {})), changed=result.changed)
        )
    return result
