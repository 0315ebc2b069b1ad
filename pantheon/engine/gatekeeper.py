"""The gatekeeper: weighs the evidence, and alone writes to the night's branch.

How an allowed change lands is ``engine.merge_queue``'s business.
"""

from dataclasses import dataclass, field

from pydantic import ValidationError

from pantheon.core.flow import FlowNode
from pantheon.core.gate import Change, CheckReport, Decision, Rules, decide
from pantheon.core.review import Review
from pantheon.engine.canaries import Canaries
from pantheon.engine.checks import demanded_checks
from pantheon.engine.evidence import Evidence
from pantheon.engine.merge_queue import MergeQueue
from pantheon.engine.results import NodeResult, failed, succeeded
from pantheon.engine.services import NodeContext, Services
from pantheon.engine.test_run import against_tests
from pantheon.engine.testimony import attest_decision, weigh_evidence
from pantheon.engine.under_review import unqualified


@dataclass
class Gatekeeper:
    """Decides, and lets what was allowed into the merge queue.

    Args:
        services: ports and content.
        canaries: says whose verdicts count; None where none are planted.
    """

    services: Services
    canaries: Canaries | None = None
    _queue: MergeQueue = field(init=False)

    def __post_init__(self) -> None:
        self._queue = MergeQueue(self.services)

    async def decide(self, context: NodeContext, evidence: Evidence) -> NodeResult:
        """Weigh the checks and verdicts of a change; a denial fails the node with its reasons."""
        change, rules = await self._change(context), self._rules(context)
        weighed = await weigh_evidence(self.services, context, change, rules.reviewers)
        objections = (*weighed.reasons, *against_tests(context, change))
        decision = decide(change, _read_report(context), self._read_reviews(context), rules, objections)
        await attest_decision(self.services, context, decision, weighed, rules)
        await evidence.log(decision.explanation)
        output = decision.model_dump(mode="json")
        if decision.decision == "allow":
            return succeeded(context.input_commit, output)
        return failed(decision.cause, output)

    async def merge(self, context: NodeContext, evidence: Evidence) -> NodeResult:
        """Land an allowed change on the night's branch, once.

        Raises:
            CommitLostError: a commit of the change is gone.
            GitError, SandboxError: infrastructure; another attempt may land it.
        """
        change = await self._change(context)
        if _read_decision(context, change) != "allow":
            return failed("no decision allows this change")
        if reasons := await self._against(context, change):
            return failed("; ".join(reasons))
        return await self._queue.land(context, change, evidence, lambda: self._against(context, change))

    async def _against(self, context: NodeContext, change: Change) -> tuple[str, ...]:
        """Return what is against a change that was allowed: the signed verdicts do not bear it out, or not any more."""
        rules = self._rules(context)
        weighed = await weigh_evidence(self.services, context, change, rules.reviewers)
        # A reviewer may have been disqualified since the decision.
        return (*weighed.reasons, *(f"{name}: {why}" for name, why in rules.discounted.items()))

    async def _change(self, context: NodeContext) -> Change:
        return Change(
            base=context.base_commit,
            head=context.input_commit,
            tree=await self.services.repository.tree_of(context.input_commit),
        )

    def _reviewer_of(self, node: FlowNode) -> str | None:
        """Return the name of the reviewer at work in a node; None where no reviewer is."""
        if node.agent is None or self.services.content.agents[node.agent].spec.role != "reviewer":
            return None
        return node.agent

    def _read_reviews(self, context: NodeContext) -> list[Review]:
        """Return the verdicts of reviewers, each in its own name; what anybody else left is no verdict."""
        reviews = []
        for node in context.flow.node:
            reviewer, output = self._reviewer_of(node), context.upstream.get(node.id)
            if reviewer is None or output is None:
                continue
            try:
                review = Review.model_validate(output)
            except ValidationError:
                continue
            if review.reviewer == reviewer:
                reviews.append(review)
        return reviews

    def _rules(self, context: NodeContext) -> Rules:
        """Return what must be there: the flow's own checks and reviewers, and no fewer than the policy's."""
        nodes = context.flow.node
        reviewers = [name for name in map(self._reviewer_of, nodes) if name is not None]
        missing = self.services.content.gate_policy.reviewers - len(set(reviewers))
        known_bad = {} if self.canaries is None else self.canaries.against(reviewers)
        return Rules(
            checks=demanded_checks(context.flow) or ("checks",),
            reviewers=(*reviewers, *(f"reviewer {n + 1} more" for n in range(max(missing, 0)))),
            discounted={**known_bad, **unqualified(self.services, context.flow, reviewers)},
        )


def _read_report(context: NodeContext) -> CheckReport | None:
    """Return the report of the flow's check node; what any other node left is no report."""
    for node in context.flow.node:
        if node.gate == "check" and node.id in context.upstream:
            try:
                return CheckReport.model_validate(context.upstream[node.id])
            except ValidationError:
                return None
    return None


def _read_decision(context: NodeContext, change: Change) -> str:
    found = [
        output
        for name, output in context.upstream.items()
        if context.flow.nodes()[name].gate == "decide" and "decision" in output
    ]
    try:
        made = [Decision.model_validate(output) for output in found]
    except ValidationError:
        return "deny"
    if any(one.change != change for one in made):
        return "deny"
    decisions = {one.decision for one in made}
    return "allow" if decisions == {"allow"} else "deny"
