"""Tool calls: each in a thread, inside its time limit, on files that are lent for its length, and recorded."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pantheon.core.agent import DeclaredCall
from pantheon.core.errors import ConfigError, PantheonError, ToolError
from pantheon.core.operation import Operation
from pantheon.core.references import resolve_args
from pantheon.engine.evidence import Evidence
from pantheon.engine.lent_files import LentFiles
from pantheon.engine.to_end import to_end
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
        The call is recorded as cut; its thread goes on, but the files it was lent refuse it.
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
    except asyncio.CancelledError:
        lent.take_back()
        await to_end(record(None, ToolError(f"{name} was cut: its attempt was cancelled")))
        raise
    finally:
        lent.take_back()
    await record(result.text, None)
    if tool.writes and result.changed:
        operations.append(
            Operation(tool=name, args=dict(args) | dict(result.data.get("args", {})), changed=result.changed)
        )
    return result


async def prefetch(
    tools: Registry,
    declared: Sequence[DeclaredCall],
    context: ToolContext,
    evidence: Evidence,
    clock: Clock,
    *,
    operations: list[Operation],
) -> str:
    """Make the calls whose results open a conversation, in order, and return those results as one text.

    Args:
        tools: the registry.
        declared: the calls of the agent's specification, as step 0.
        context: what they get to see; its task resolves their arguments.
        evidence: where they are recorded.
        clock: for their durations.
        operations: writing calls that changed something are added here.

    Raises:
        ToolError: a call was refused, or its arguments name nothing; the message says which tool's.
    """
    texts = []
    for call in declared:
        try:
            args = resolve_args(call.args, context.task)
            result = await call_tool(
                tools, call.tool, args, context, evidence, clock, step=0, operations=operations
            )
        except (ToolError, ConfigError) as error:
            raise ToolError(f"{call.tool}: {error.message}") from error
        texts.append(result.text)
    return "\n\n".join(texts)
