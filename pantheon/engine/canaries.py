"""Plants canaries among the reviews of a night, and tells whose verdicts count.

A canary has no commit, no branch and no node of its own: it exists as a question to a reviewer, inside the attempt that
reviews the real change it was made from, and as a signed record of what the reviewer said. So there is nothing of it
that could land. The reviewer is asked through the same code, with the same prefix, and cannot tell.

Invariants:
- what the canaries say of a reviewer is read from the night's ledger and from nowhere else, so that a resumed night
  neither repeats nor loses any;
- a canary that a server, a deadline or the want of material kept from being judged is recorded as not measured;
- canaries never take the time that the real review needs.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from pantheon.core.agent import Agent
from pantheon.core.canaries import (
    CanaryPolicy,
    CanaryResult,
    Standing,
    against_standing,
    judge_standing,
    place_canaries,
    plan_canaries,
    seed_of,
)
from pantheon.core.canary_making import make_canary
from pantheon.core.canary_record import canary_claim, read_canary
from pantheon.core.dag import Plan, node_key
from pantheon.core.errors import SignatureError
from pantheon.core.records import NodeState
from pantheon.core.review import Review
from pantheon.core.statement import CANARY_PREDICATE
from pantheon.engine.canary_asking import Asker, Judge, Planted
from pantheon.engine.evidence import Evidence
from pantheon.engine.node_end import NodeEnded
from pantheon.engine.reviewer import UnderReview
from pantheon.engine.services import NodeContext, Services

BEFORE_SHARE, AFTER_SHARE = 0.25, 0.5
"""Of a node's time-out, what its canaries may take before the real review and after it."""


@dataclass
class Canaries:
    """The canaries of the night under way.

    Args:
        services: ports and content; the night's ledger is open.
        plan: the night's DAG.
        ended: key -> how a node ended; others add to it.
    """

    services: Services
    plan: Plan
    ended: Mapping[str, NodeEnded]
    _nodes: dict[str, tuple[str, ...]] = field(init=False)
    """Reviewer -> keys of the nodes it works in."""
    _begun: set[str] = field(init=False, default_factory=set)
    """Keys of the reviews that this process has begun."""
    _under_way: dict[str, int] = field(init=False, default_factory=dict)
    """Key of a review -> its canaries that are not recorded yet."""
    _results: list[CanaryResult] = field(init=False, default_factory=list)
    _read: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        nodes: dict[str, list[str]] = {}
        for planned in self.plan.nodes:
            if planned.node.agent in self.services.content.reviewers:
                nodes.setdefault(planned.node.agent, []).append(planned.key)
        self._nodes = {name: tuple(keys) for name, keys in nodes.items()}

    @property
    def policy(self) -> CanaryPolicy:
        """What the night's policy asks for."""
        return self.services.content.gate_policy.canaries

    async def review(
        self, context: NodeContext, agent: Agent, change: UnderReview, judge: Judge, evidence: Evidence
    ) -> Review:
        """Have a change reviewed, with the canaries that are due around it.

        Raises:
            ModelError: as ``judge`` does for the real change.
            SignatureError, ArtifactError: what became of a canary could not be recorded.

        Cancellation:
            Canaries that were recorded stay; the others are planted again.
        """
        key, timeout_s = node_key(context.task_key, context.node.id), context.node.timeout_s
        names = {"night": context.night.id, "reviewer": agent.spec.name, "task": context.task_key}
        began = self.services.clock.monotonic()
        try:
            planted = await self._plant(key, context, agent.spec.name, change)
            first = place_canaries(len(planted), **names)
            ask = Asker(context, agent, change, judge, evidence, partial(self._record, key))
            await ask.all(planted[:first], timeout_s * BEFORE_SHARE)
            review = await judge(change, evidence)
            left_s = timeout_s - (self.services.clock.monotonic() - began)
            await ask.all(planted[first:], max(min(left_s, timeout_s * AFTER_SHARE), 0.0))
        finally:
            self._under_way.pop(key, None)
            evidence.tally.canaries = [
                one.model_dump(mode="json", by_alias=True)
                for one in self.of(context.task_key, agent.spec.name)
            ]
        return review

    def results(self) -> Sequence[CanaryResult]:
        """Return what became of every canary of the night, earlier processes included.

        A line that the night's key did not sign counts for nothing; that it is there, verification tells.
        """
        index = self.services.ledger.index
        for line in index.canaries[self._read :]:
            self._read += 1
            try:
                self._results.append(read_canary(line, index.delegations))
            except SignatureError:
                continue
        return self._results

    def of(self, task: str, reviewer: str) -> list[CanaryResult]:
        """Return a reviewer's canaries of one task."""
        return [one for one in self.results() if (one.task, one.reviewer) == (task, reviewer)]

    def standing(self, reviewer: str) -> Standing:
        """Return what a reviewer's canaries say of it so far."""
        return judge_standing(self.policy, reviewer, self.results())

    def standings(self) -> tuple[Standing, ...]:
        """Return the standing of every reviewer that has begun a review in this night, by name."""
        known = {one.reviewer for one in self.results()}
        return tuple(
            self.standing(name) for name in sorted(self._nodes) if name in known or self._begins(name)
        )

    def against(self, reviewers: Iterable[str]) -> dict[str, str]:
        """Return reviewer -> why its verdicts do not count, for those whose do not."""
        if not self.policy.plants:
            return {}
        found = {
            name: against_standing(self.standing(name), left=self._left(name)) for name in set(reviewers)
        }
        return {name: why for name, why in sorted(found.items()) if why}

    async def _record(self, key: str, result: CanaryResult) -> None:
        await self.services.ledger.state(CANARY_PREDICATE, *canary_claim(result))
        self._under_way[key] -= 1

    async def _plant(
        self, key: str, context: NodeContext, reviewer: str, change: UnderReview
    ) -> tuple[Planted, ...]:
        if not self.policy.plants:
            return ()
        before = self.of(context.task_key, reviewer)
        count = plan_canaries(
            self.policy,
            night=context.night.id,
            reviewer=reviewer,
            task=context.task_key,
            reviews=self._reviews(reviewer, key),
            planted=self.standing(reviewer).measured + self._others_under_way(reviewer, key),
            left=self._left(reviewer, key),
        )
        # Noted before anything is waited for: another review that begins meanwhile must not plant them too.
        self._begun.add(key)
        self._under_way[key] = count
        first = max((one.number for one in before), default=0) + 1
        numbers = range(first, first + count)
        return await asyncio.to_thread(
            self._make, context, reviewer, change, numbers, {b.content for b in before}
        )

    def _make(
        self,
        context: NodeContext,
        reviewer: str,
        change: UnderReview,
        numbers: Collection[int],
        used: set[str],
    ) -> tuple[Planted, ...]:
        agents = self.services.content.agents.values()
        others = [*change.neighbours, *(decoy for agent in agents for decoy in agent.decoys)]
        planted: list[Planted] = []
        for number in numbers:
            canary = make_canary(
                context.task.targets[0] if context.task.targets else "note.md",
                change.target,
                change.proposal,
                others,
                seed=seed_of(context.night.id, reviewer, context.task_key, number),
                used=used,
            )
            if canary is not None:
                used.add(canary.content)
            planted.append(Planted(number, canary))
        return tuple(planted)

    def _reviews(self, reviewer: str, own: str = "") -> int:
        """Return how many other reviews the reviewer has begun in this night."""
        return sum(key != own and self._began(key) for key in self._nodes.get(reviewer, ()))

    def _began(self, key: str) -> bool:
        ended = self.ended.get(key)
        return key in self._begun if ended is None else ended.state is NodeState.SUCCEEDED

    def _begins(self, reviewer: str) -> bool:
        return self._reviews(reviewer) > 0

    def _left(self, reviewer: str, own: str = "") -> int:
        """Return how many of the reviewer's reviews can still come.

        Args:
            reviewer: its name.
            own: the review that is about to begin; without one, those that are under way count as well.
        """
        return sum(
            key not in self.ended and (not own or key == own or key not in self._begun)
            for key in self._nodes.get(reviewer, ())
        )

    def _others_under_way(self, reviewer: str, own: str) -> int:
        return sum(self._under_way.get(key, 0) for key in self._nodes.get(reviewer, ()) if key != own)
