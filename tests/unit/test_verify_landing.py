"""Verifying a night holds its decisions to what they demanded, and its merges to its decisions."""

from typing import Any

import pytest

from pantheon.core.attestations import (
    Claim,
    Demanded,
    Whose,
    check_claim,
    decision_claim,
    merge_claim,
    review_claim,
)
from pantheon.core.canonical import digest_bytes
from pantheon.core.contained import contained_predicate
from pantheon.core.delegation import reviewer_role
from pantheon.core.gate import Change, CheckReport, CheckResult, Decision
from pantheon.core.merge_queue import Merge
from pantheon.core.review import Review
from pantheon.core.statement import (
    CONTAINMENT_PREDICATE,
    DECISION_PREDICATE,
    MERGE_PREDICATE,
    NIGHT_PREDICATE,
    REVIEW_PREDICATE,
    TEST_RESULT_PREDICATE,
    make_statement,
    parse_statement,
)
from pantheon.core.verify import Flaw
from pantheon.core.verify_ledger import LedgerAudit
from pantheon.core.verify_outside import LandedCommit, check_landed
from pantheon.testing.contained_night import contained
from pantheon.testing.signing import InlineLedger, inline_ledger

A, B, NIGHT, DIFF = "peerA", "peerB", "n", "e" * 64
CHANGE = Change(base="b" * 40, head="c" * 40, tree="d" * 40)
DEMANDED = Demanded(checks=("scope", "tests"), reviewers=(A, B))
WHOSE = Whose(night=NIGHT, task="b/t", node="x", attempt=1)
MERGE = Merge(
    base=CHANGE.base, head=CHANGE.head, tree=CHANGE.tree, parent=CHANGE.base, commit="1" * 40, merged=CHANGE.tree,
    checks=False, tests=False, shared=(),
)  # fmt: skip
MOVED = MERGE.model_copy(update={"parent": "2" * 40, "merged": "3" * 40, "checks": True, "tests": True})


class Story:
    """A night's records, one after the other, and what is said against them."""

    def __init__(self) -> None:
        self.ledger: InlineLedger = inline_ledger(NIGHT, CHANGE.base, (A, B))
        self.used: list[str] = []

    async def say(self, kind: str, claim: Claim, **more: Any) -> None:
        entry = await self.ledger.enter(kind, *claim, **more)
        self.used.append(digest_bytes(entry.line))

    async def contain(self) -> None:
        base = {"base": {"gitCommit": CHANGE.base}}
        await self.ledger.enter(CONTAINMENT_PREDICATE, base, contained_predicate(contained(), NIGHT))

    async def check(self, *names: str, diff: str = DIFF, passed: bool = True) -> None:
        results = tuple(CheckResult(name=one, passed=passed, reason="" if passed else "no") for one in names)
        report = CheckReport(base=CHANGE.base, head=CHANGE.head, tree=CHANGE.tree, checks=results)
        await self.say(TEST_RESULT_PREDICATE, check_claim(report, diff, WHOSE))

    async def review(self, *names: str) -> None:
        for name in names:
            one = Review(
                reviewer=name, version="1", verdict="pass", margin=2.0, reasons=(), base=CHANGE.base,
                head=CHANGE.head, tree=CHANGE.tree,
            )  # fmt: skip
            await self.say(REVIEW_PREDICATE, review_claim(one, DIFF, WHOSE), role=reviewer_role(name))

    async def allow(self, demanded: Demanded = DEMANDED, **replaced: object) -> None:
        made = Decision(decision="allow", reasons=(), explanation="", change=CHANGE)
        at = self.ledger.clock.now()
        subjects, said = decision_claim(made, DIFF, self.used, "", at, WHOSE, demanded)
        said |= {"demanded": replaced["replaced"]} if replaced else {}
        await self.ledger.enter(DECISION_PREDICATE, subjects, said)

    async def merge(self, merge: Merge = MERGE) -> None:
        await self.ledger.enter(MERGE_PREDICATE, *merge_claim(merge, DIFF, WHOSE))

    async def whole(self) -> None:
        await self.contain()
        await self.check("scope")
        await self.check("tests")
        await self.review(A, B)
        await self.allow()

    def audit(self) -> LedgerAudit:
        audit = LedgerAudit(self.ledger.signer.public_key)
        for line in self.ledger.lines:
            audit.take(line)
        return audit

    def against(self) -> list[str]:
        found = self.audit().faults.found
        assert all(one.flaw is Flaw.UNSUPPORTED_DECISION for one in found), found
        return [one.what for one in found]


@pytest.fixture
async def story() -> Story:
    return Story()


@pytest.mark.parametrize("merge", [MERGE, MOVED], ids=["as it was", "on a moved branch"])
async def test_control_a_change_that_was_allowed_lands(story: Story, merge: Merge) -> None:
    """Nothing is said where everything is there."""
    await story.whole()
    await story.merge(merge)
    assert story.against() == []
    assert story.audit().claims.landing == {merge.commit: merge.merged}


@pytest.mark.parametrize(
    ("tests", "diff"),
    [(None, DIFF), (False, DIFF), (True, "0" * 64)],
    ids=["missing", "failed", "other diff"],
)
async def test_a_flow_with_tests_needs_their_result(story: Story, tests: bool | None, diff: str) -> None:
    """Checks that have passed do not stand for tests that have not."""
    await story.contain()
    await story.check("scope")
    if tests is not None:
        await story.check("tests", diff=diff, passed=tests)
    await story.review(A, B)
    await story.allow()
    assert story.against() == ["the check tests has not passed it"]


async def test_a_demanded_reviewer_is_not_replaced_by_another(story: Story) -> None:
    """A third reviewer that the flow demands has to have passed the change too."""
    await story.contain()
    await story.check("scope", "tests")
    await story.review(A, B)
    await story.allow(DEMANDED.model_copy(update={"reviewers": (A, B, "peerC")}))
    assert story.against() == ["peerC: no signed verdict"]


@pytest.mark.parametrize("demanded", [None, {}, {"checks": [], "reviewers": [A, B]}, {"checks": ["scope"]}])
async def test_a_decision_that_does_not_say_what_it_demanded_allows_nothing(
    story: Story, demanded: object
) -> None:
    """Nor one that demanded nothing."""
    await story.contain()
    await story.check("scope", "tests")
    await story.review(A, B)
    await story.allow(replaced=demanded)
    assert story.against() == ["it does not say what it demanded"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"head": "9" * 40}, "no decision before it"),
        ({"tree": "9" * 40, "merged": "9" * 40}, "no decision before it"),
        ({"parent": CHANGE.base}, "the branch had not moved"),
        ({"checks": False}, "no checks have passed it"),
        ({"tests": False}, "no tests have passed it"),
    ],
)
async def test_what_was_not_allowed_does_not_land(story: Story, changes: dict[str, Any], why: str) -> None:
    """Another change, another tree, or a moved branch without looking again."""
    await story.whole()
    await story.merge(MOVED.model_copy(update=changes))
    (found,) = story.against()
    assert why in found


async def test_a_merge_without_a_decision_is_a_defect(story: Story) -> None:
    """A denial before it allows nothing either."""
    await story.contain()
    await story.merge()
    assert story.against() == ["no decision before it has allowed the change that it lands"]


async def test_the_branch_holds_the_trees_that_were_to_land(story: Story) -> None:
    """A commit with another tree, or one that no merge names, is a wrong commit; the control is the attested one."""
    await story.whole()
    await story.merge(MOVED)
    root = story.ledger.index.tree.root().hex()

    def told(tree: str, commit: str = MOVED.commit) -> list[str]:
        audit = story.audit()
        audit.claims.commits.add(commit)
        said = {"branch": "b", "base": CHANGE.base, "head": commit}
        audit.claims.closing = audit.claims.closing or _closing(said)
        landed = LandedCommit(commit, NIGHT, f"{story.ledger.index.tree.size} {root}", MOVED.parent, tree)
        check_landed(audit, lambda _branch, _base: [landed])
        return [f"{one.flaw}: {one.what}" for one in audit.faults.found]

    assert told(MOVED.merged) == []
    assert told("4" * 40) == [
        f"wrong_commit: its tree is {'4' * 40}, the one that was attested to land is {'3' * 40}"
    ]
    assert told(MOVED.merged, "5" * 40) == ["wrong_commit: no merge in the ledger lands it"]


def _closing(said: dict[str, Any]) -> Any:
    return parse_statement(make_statement({"b": {"gitCommit": "1" * 40}}, NIGHT_PREDICATE, said))
