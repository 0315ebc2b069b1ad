"""What nodes attest besides the attempt itself, and what the gate makes of it: signed, in the night's ledger.

The gate counts only what is in the ledger: a verdict that the store holds and nobody has signed is none.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pantheon.core.attestations import (
    Demanded,
    SignedVerdict,
    Whose,
    against_signatures,
    check_claim,
    decision_claim,
    merge_claim,
    night_claim,
    read_verdict,
    review_claim,
)
from pantheon.core.canonical import digest_bytes
from pantheon.core.checkpoint import Checkpoint
from pantheon.core.delegation import reviewer_role
from pantheon.core.errors import SignatureError
from pantheon.core.gate import Change, CheckReport, Decision, Rules
from pantheon.core.merge_queue import Merge
from pantheon.core.policy import GATE_FILE
from pantheon.core.records import AttemptOutcome, AttemptRecord, NightRecord
from pantheon.core.review import Review
from pantheon.core.statement import (
    DECISION_PREDICATE,
    MERGE_PREDICATE,
    NIGHT_PREDICATE,
    RECOVERY_PREDICATE,
    REVIEW_PREDICATE,
    TEST_RESULT_PREDICATE,
)
from pantheon.engine.services import NodeContext, Services


@dataclass(frozen=True)
class Weighed:
    """What the ledger says about a change."""

    reasons: tuple[str, ...]
    """What signed verdicts, or the want of them, leave to be said against it."""
    used: tuple[str, ...]
    """SHA-256 of each line that was weighed."""
    diff: str
    """SHA-256 of the change's diff."""


def whose(context: NodeContext) -> Whose:
    """Return the attempt that attests something."""
    return Whose(night=context.night.id, task=context.task_key, node=context.node.id, attempt=context.attempt)


async def attest_checks(services: Services, context: NodeContext, report: CheckReport, diff: bytes) -> None:
    """Enter the result of the deterministic checks. Raises as ``NightLedger.state``."""
    await services.ledger.state(
        TEST_RESULT_PREDICATE, *check_claim(report, await _digest(diff), whose(context))
    )


async def attest_review(services: Services, context: NodeContext, review: Review) -> None:
    """Enter a verdict, signed with the reviewer's own key. Raises as ``NightLedger.state``."""
    diff = await _digest(await services.repository.diff(review.base, review.head))
    claim = review_claim(review, diff, whose(context))
    await services.ledger.state(REVIEW_PREDICATE, *claim, role=reviewer_role(review.reviewer))


async def weigh_evidence(
    services: Services, context: NodeContext, change: Change, reviewers: Sequence[str]
) -> Weighed:
    """Verify every signed verdict on a change, and say what is against it.

    Args:
        services: ports and content.
        context: the deciding node.
        change: what is to be decided on.
        reviewers: those who must have passed it.
    """
    ledger = services.ledger
    diff = await _digest(await services.repository.diff(change.base, change.head))
    found = ledger.index.evidence_of(change.head)
    verdicts: list[SignedVerdict] = []
    reasons: list[str] = []
    for kind, line in found:
        if kind != REVIEW_PREDICATE:
            continue
        try:
            verdicts.append(read_verdict(line, ledger.index.delegations))
        except SignatureError as error:
            reasons.append(f"a verdict in the ledger does not count: {error.message}")
    reasons += against_signatures(
        change, night=context.night.id, diff=diff, reviewers=reviewers, verdicts=verdicts
    )
    return Weighed(tuple(reasons), tuple(digest_bytes(line) for _, line in found), diff)


async def attest_decision(
    services: Services, context: NodeContext, decision: Decision, weighed: Weighed, rules: Rules
) -> None:
    """Enter the gate's decision with the digests of what it weighed and the names of what it demanded.

    Raises as ``NightLedger.state``.
    """
    tests = ("tests",) if any(node.gate == "test" for node in context.flow.node) else ()
    demanded = Demanded(checks=tuple(dict.fromkeys((*rules.checks, *tests))), reviewers=rules.reviewers)
    policy = services.content.digests.get("policies", {}).get(GATE_FILE, "")
    at = services.clock.now()
    claim = decision_claim(decision, weighed.diff, weighed.used, policy, at, whose(context), demanded)
    await services.ledger.state(DECISION_PREDICATE, *claim)


async def attest_merge(services: Services, context: NodeContext, merge: Merge, diff: bytes) -> None:
    """Enter a merge that is about to be made, before the branch moves. Raises as ``NightLedger.state``.

    A night that dies between the two has attested a commit that is on no branch.
    """
    claim = merge_claim(merge, await _digest(diff), whose(context))
    await services.ledger.state(MERGE_PREDICATE, *claim)


async def attest_interrupted(
    services: Services, record: NightRecord, attempts: Iterable[AttemptRecord]
) -> None:
    """Enter which attempts were under way when processes of the night died: nothing attests what they left.

    Raises as ``NightLedger.state``.
    """
    found = [one for one in attempts if one.result and one.result.outcome is AttemptOutcome.INTERRUPTED]
    if not found:
        return
    named = [{"node": one.node, "attempt": one.attempt} for one in found]
    await services.ledger.state(
        RECOVERY_PREDICATE,
        {record.branch: {"gitCommit": record.base_commit}},
        {"night": record.id, "interrupted": named},
    )


async def attest_night(
    services: Services, record: NightRecord, outcomes: Mapping[str, int], left_by: Mapping[str, int]
) -> None:
    """Enter how the night ended, over everything before it, and sign a last checkpoint.

    A night whose process died between this and the closing of the store enters it again.

    Args:
        services: those of the night.
        record: the night.
        outcomes: outcome -> number of tasks.
        left_by: closed night -> number of this night's tasks that it had not reached.

    Raises as ``NightLedger.state``.
    """
    ledger = services.ledger
    last = await ledger.checkpoint()
    head = await services.repository.branch(record.branch)
    await ledger.state(NIGHT_PREDICATE, *night_claim(record, outcomes, head, last, left_by))
    await ledger.checkpoint()


def checkpoint_trailer(point: Checkpoint) -> str:
    """Return a checkpoint as the trailer of a commit: size and root."""
    return f"{point.size} {point.root}"


async def _digest(data: bytes) -> str:
    return await asyncio.to_thread(digest_bytes, data)
