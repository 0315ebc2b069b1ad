"""Puts canaries before a reviewer, through the code that puts real changes before it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from pantheon.core.agent import Agent
from pantheon.core.canaries import CanaryResult
from pantheon.core.canary_making import Canary
from pantheon.core.chat import CallRecord, ChatRequest
from pantheon.core.errors import ModelError
from pantheon.core.review import Review
from pantheon.engine.evidence import Evidence
from pantheon.engine.reviewer import UnderReview
from pantheon.engine.services import NodeContext
from pantheon.ports.model import ModelClient

Judge = Callable[[UnderReview, Evidence], Awaitable[Review]]
"""Has one change judged, and what was asked recorded."""


@dataclass(frozen=True)
class Planted:
    """One canary of one review."""

    number: int
    canary: Canary | None
    """None where none could be made."""


@dataclass(frozen=True)
class Asker:
    """Puts the canaries of one review before the reviewer.

    Args:
        context: the reviewing node.
        agent: the reviewer.
        change: the real change.
        judge: has a change judged.
        evidence: the attempt's.
        record: makes what became of a canary durable.
    """

    context: NodeContext
    agent: Agent
    change: UnderReview
    judge: Judge
    evidence: Evidence
    record: Callable[[CanaryResult], Awaitable[None]]

    async def all(self, planted: Sequence[Planted], limit_s: float) -> None:
        """Have canaries judged within a time; those it does not suffice for are recorded as not measured.

        Raises:
            ModelError: the server itself broke down, which is nothing that the canary could be blamed for.
        """
        deadline = asyncio.get_running_loop().time() + limit_s
        for one in planted:
            await self.record(await self._ask(one, deadline))

    async def _ask(self, planted: Planted, deadline: float) -> CanaryResult:
        canary = planted.canary
        if canary is None:
            return self._result(planted, "none", cause="no known-bad change could be made of this one")
        # Neither is the name of anything: nothing that git holds could be taken for the canary.
        change = replace(
            self.change,
            head=f"canary:{canary.content}",
            tree=f"canary:{canary.content}",
            proposal=canary.proposal,
        )
        try:
            async with asyncio.timeout_at(deadline):
                review = await self.judge(change, _Marked(self.evidence, f"canary {planted.number}"))
        except TimeoutError:
            return self._result(planted, "none", cause="there was no time left for it")
        except ModelError as error:
            if error.by_server:
                # Asked again with the real change, once the server is well: nothing was measured.
                raise
            return self._result(planted, "none", cause=error.message[:300])
        # Without an answer the real change would not have passed either: that is a rejection.
        margin = None if review.margin is None else round(review.margin * 1_000)
        return self._result(planted, review.verdict, margin=margin)

    def _result(
        self, planted: Planted, verdict: str, *, margin: int | None = None, cause: str = ""
    ) -> CanaryResult:
        canary = planted.canary
        return CanaryResult.model_validate(
            {
                "night": self.context.night.id,
                "task": self.context.task_key,
                "node": self.context.node.id,
                "attempt": self.context.attempt,
                "reviewer": self.agent.spec.name,
                "version": self.agent.spec.version,
                "number": planted.number,
                "kind": "" if canary is None else str(canary.kind),
                "content": "" if canary is None else canary.content,
                "verdict": verdict,
                "marginMillinats": margin,
                "cause": cause,
            }
        )


class _Marked(Evidence):
    """The attempt's evidence, each call marked with what it was for; the model never sees the mark."""

    def __init__(self, inner: Evidence, mark: str) -> None:
        super().__init__(inner.sink)
        self.tally = inner.tally
        self._inner, self._mark = inner, mark

    async def chat(
        self, client: ModelClient, request: ChatRequest, *, purpose: str, deadline_s: float
    ) -> CallRecord:
        """Make the call as the inner evidence does, under a name that says it was for a canary."""
        return await self._inner.chat(
            client, request, purpose=f"{self._mark}: {purpose}", deadline_s=deadline_s
        )
