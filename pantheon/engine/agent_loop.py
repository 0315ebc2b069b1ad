"""The shell around the loop automaton: asks the model, calls tools, applies the output.

All decisions are ``core.loop.advance``'s. This module turns what happened into events and commands into I/O,
and records every call and every tool result on the way.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pantheon.core.agent import Agent
from pantheon.core.answer import answer_schema, read_answer
from pantheon.core.chat import ChatRequest, Sampling
from pantheon.core.errors import (
    ConfigError,
    ModelError,
    ModelRefusedError,
    ModelTimeoutError,
    ToolError,
)
from pantheon.core.loop import (
    AskModel,
    Began,
    CalledTool,
    Command,
    End,
    Event,
    Finalized,
    LoopLimits,
    LoopOutcome,
    LoopState,
    OutputRefused,
    OutputTaken,
    RunTool,
    Stopped,
    TakeOutput,
    ToolFailed,
    ToolReturned,
    advance,
)
from pantheon.core.operation import Operation
from pantheon.core.prompt import Exchange, step_messages
from pantheon.core.references import resolve_args
from pantheon.core.task import Task
from pantheon.engine.evidence import Evidence
from pantheon.engine.to_end import to_end
from pantheon.engine.tool_call import call_tool, prefetch
from pantheon.ports.clock import Clock
from pantheon.ports.model import ModelClient
from pantheon.tools.registry import Registry, ToolContext, ToolResult


@dataclass(frozen=True)
class LoopResult:
    """How a loop ended and what it leaves."""

    outcome: LoopOutcome
    cause: str
    """Why, for people; empty when finalized."""
    output: Mapping[str, Any] | None
    operations: tuple[Operation, ...]
    server_fault: bool = False
    """Whether the server, not the work, ended it."""


@dataclass
class AgentLoop:
    """One agent at work on one task.

    Args:
        agent: who works.
        task: on what.
        attempt: number of the attempt; after each failed step or attempt the agent draws with more temperature,
            because the same draw would fail the same way.
        client: the model.
        tools: the registry.
        context: what tools get to see.
        evidence: where everything is recorded.
        clock: for durations.
    """

    agent: Agent
    task: Task
    attempt: int
    client: ModelClient
    tools: Registry
    context: ToolContext
    evidence: Evidence
    clock: Clock
    _state: LoopState = field(init=False)
    _output: Mapping[str, Any] | None = None
    _target: str = ""
    _history: list[Exchange] = field(default_factory=list)
    _refusal: str = ""
    _operations: list[Operation] = field(default_factory=list)
    _answer: str = ""
    _cause: str = ""
    _server_fault: bool = False
    _deadline: float = 0.0

    async def run(self) -> LoopResult:
        """Work until the automaton ends.

        Cancellation:
            Re-raised as soon as the evidence says so; what was recorded stays recorded, the work tree is the
            caller's to look after.
        """
        self._state = LoopState(limits=self._limits())
        self._deadline = self.clock.monotonic() + self._timeout_s()
        try:
            end = await self._work()
        except asyncio.CancelledError:
            self._state, _ = advance(self._state, Stopped(outcome=LoopOutcome.CANCELLED))
            await to_end(
                self.evidence.log_error(f"the loop ended in step {self._state.steps}: {self._state.outcome}")
            )
            raise
        finalized = end.outcome is LoopOutcome.FINALIZED
        return LoopResult(
            outcome=end.outcome,
            cause="" if finalized else self._cause or f"ended by {end.outcome}",
            output=self._output if finalized else None,
            operations=tuple(self._operations),
            server_fault=self._server_fault,
        )

    async def _work(self) -> End:
        event = await self._prefetch()
        while True:
            self._state, command = advance(self._state, event)
            tally = self.evidence.tally
            tally.steps, tally.failures = self._state.steps, self._state.failures
            if isinstance(command, End):
                return command
            if isinstance(command, TakeOutput):
                self._output = command.output
            event = await self._carry_out(command)

    def _limits(self) -> LoopLimits:
        own, budget = self.agent.spec.limits, self.task.budget
        return LoopLimits(
            max_steps=min(own.max_steps, budget.max_steps),
            max_failures=min(own.max_failures, budget.max_failures),
            max_tokens=min(own.max_tokens, budget.max_tokens),
            step_tokens=own.step_tokens,
        )

    async def _carry_out(self, command: Command) -> Event:
        match command:
            case AskModel():
                return await self._ask(command)
            case RunTool():
                return await self._run_tool(command)
            case TakeOutput():
                return await self._take_output(command)
            case End():
                raise AssertionError("an ended loop has nothing to carry out")

    async def _prefetch(self) -> Event:
        """Make the declared calls whose results open the conversation."""
        if wrong := self.agent.spec.input.problems(self.task.model_dump(mode="json")):
            self._cause = f"the task does not fulfil {self.agent.label}'s input contract: {wrong[0]}"
            return Stopped(outcome=LoopOutcome.REFUSED)
        try:
            self._target = await prefetch(
                self.tools, self.agent.spec.prefetch, self.context, self.evidence, self.clock,
                operations=self._operations,
            )  # fmt: skip
        except ToolError as error:
            self._cause = error.message
            return Stopped(outcome=LoopOutcome.REFUSED)
        return Began()

    def _timeout_s(self) -> float:
        return float(min(self.agent.spec.limits.timeout_s, self.task.budget.timeout_s))

    async def _ask(self, command: AskModel) -> Event:
        spec = self.agent.spec
        left_s = self._deadline - self.clock.monotonic()
        if left_s <= 0:
            self._cause = f"did not finish within {self._timeout_s():.0f} s"
            return Stopped(outcome=LoopOutcome.TIMEOUT)
        tools = {} if command.finalize_only else {t: self.tools.get(t).args_schema for t in spec.tools}
        messages = step_messages(
            self.agent,
            self.task,
            [self.tools.get(name).card for name in spec.tools],
            self._target,
            self._history,
            self._refusal,
        )
        request = ChatRequest(
            messages=messages,
            sampling=self._sampling(command.max_tokens),
            response_schema=answer_schema(spec.output.schema_, tools, finalize_only=command.finalize_only),
            model=spec.runtime.asks,
        )
        try:
            record = await self.evidence.chat(
                self.client,
                request,
                purpose=f"step {self.evidence.tally.steps}",
                deadline_s=min(float(spec.limits.call_timeout_s), left_s),
            )
        except ModelRefusedError as error:
            self._cause = error.message
            return Stopped(outcome=LoopOutcome.REFUSED)
        except ModelTimeoutError as error:
            self._cause = error.message
            return Stopped(outcome=LoopOutcome.TIMEOUT)
        except ModelError as error:
            self._cause, self._server_fault = error.message, True
            return Stopped(outcome=LoopOutcome.SERVER_LOST)
        assert record.reply is not None
        self._answer = record.reply.text
        event = read_answer(
            record.reply.text,
            output=spec.output.schema_,
            tools=sorted(tools),
            tokens=record.reply.usage.completion_tokens,
            cut=record.reply.finish_reason == "length",
        )
        if not isinstance(event, CalledTool | Finalized):
            self._remember_failure(event.problem)
        return event

    def _sampling(self, max_tokens: int) -> Sampling:
        drawn = self.agent.spec.sampling
        attempts, failures = self.attempt - 1, self.evidence.tally.failures
        return Sampling(
            temperature=min(drawn.temperature + 0.3 * attempts + 0.15 * failures, 1.0),
            top_p=drawn.top_p,
            seed=drawn.seed + attempts + failures,
            max_tokens=max_tokens,
        )

    async def _run_tool(self, command: RunTool) -> Event:
        try:
            result = await self._call(self.evidence.tally.steps, command.tool, command.args)
        except ToolError as error:
            self._remember_failure(error.message)
            return ToolFailed()
        self._history.append(Exchange(answer=self._answer, result=result.text))
        self._cause = self._refusal = ""
        return ToolReturned()

    async def _take_output(self, command: TakeOutput) -> Event:
        for declared in self.agent.spec.apply:
            try:
                args = resolve_args(declared.args, self.task, command.output)
                await self._call(self.evidence.tally.steps, declared.tool, args)
            except (ToolError, ConfigError) as error:
                self._remember_failure(error.message)
                return OutputRefused()
        return OutputTaken()

    async def _call(self, step: int, tool: str, args: Mapping[str, Any]) -> ToolResult:
        return await call_tool(
            self.tools, tool, args, self.context, self.evidence, self.clock,
            step=step, operations=self._operations,
        )  # fmt: skip

    def _remember_failure(self, problem: str) -> None:
        self._cause = self._refusal = problem
