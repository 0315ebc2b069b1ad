"""The gatekeeper weighs only evidence of those who are there to give it, and retries only what another look mends."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest

from pantheon.core.agent import Agent, AgentSpec
from pantheon.core.errors import CommitLostError, GitError
from pantheon.core.flow import Flow
from pantheon.core.gate import Change, CheckReport, CheckResult, Decision
from pantheon.core.operation import Operation, operation_message
from pantheon.core.records import AttemptOutcome
from pantheon.core.retry import FailureKind
from pantheon.core.review import Review
from pantheon.core.task import Task
from pantheon.engine.checks import ALWAYS
from pantheon.engine.evidence import Evidence
from pantheon.engine.gatekeeper import Gatekeeper
from pantheon.engine.merge_queue import SWAP_TRIES
from pantheon.engine.results import NodeResult
from pantheon.engine.services import NightContext, NodeContext
from pantheon.engine.testimony import attest_review
from pantheon.testing.artifacts import FakeSink
from pantheon.testing.clock import FakeClock
from pantheon.testing.one_node import services_around
from pantheon.testing.repository import FakeRepository
from pantheon.testing.signing import inline_ledger
from pantheon.tools.notes import NOTE_TOOLS
from pantheon.tools.registry import Registry

BRANCH = "pantheon/night-n"
RENAME = Operation(tool="rename_note", args={"path": "a.md", "new_name": "b.md"}, changed=("a.md", "b.md"))
FLOW = Flow.model_validate(
    {
        "name": "docops",
        "accepts": ["docops"],
        "node": [
            {"id": "a.work", "agent": "worker", "writes": True},
            {"id": "b.look", "tool": "validate_note"},
            {"id": "checks", "gate": "check", "args": {"checks": ["scope"]}, "needs": ["a.work", "b.look"]},
            {"id": "one", "agent": "reviewer.one", "needs": ["checks"]},
            {"id": "two", "agent": "reviewer.two", "needs": ["checks"]},
            {"id": "gate", "gate": "decide", "needs": ["one", "two"]},
            {"id": "merge", "gate": "merge", "needs": ["gate"]},
        ],
    }
)


def agent(name: str, role: str) -> Agent:
    """An agent without content."""
    spec = AgentSpec.model_validate(
        {"name": name, "version": "1", "role": role, "runtime": {"origin": "local"}}
        | (
            {"question": [{"id": "q", "field": "title", "text": "Which?", "floor": 0.0}]}
            if role == "reviewer"
            else {}
        )
    )
    return Agent(spec=spec, prompt="", digest="0" * 64)


class Case:
    """One change in front of the gatekeeper."""

    def __init__(self, repository: FakeRepository | None = None) -> None:
        self.repository = repository or FakeRepository({"a.md": b"a\n"})
        self.base = self.repository.head
        self.head = self.repository.add({"b.md": b"a\n"}, (self.base,), operation_message("change", [RENAME]))
        clock = FakeClock()
        agents = [
            agent("worker", "worker"),
            agent("reviewer.one", "reviewer"),
            agent("reviewer.two", "reviewer"),
        ]
        self.services = services_around(
            self.repository,
            agents={one.spec.name: one for one in agents},
            flows={"docops": FLOW},
            open_ledger=inline_ledger("n", self.base, ("reviewer.one", "reviewer.two"), clock),
            clock=clock,
            tools=Registry(NOTE_TOOLS),
        )
        self.sink = FakeSink("attempt")

    async def change(self) -> dict[str, str]:
        """The commits that evidence is bound to."""
        return {"base": self.base, "head": self.head, "tree": await self.repository.tree_of(self.head)}

    async def report(self) -> dict[str, Any]:
        """A report in which everything passed."""
        checks = tuple(CheckResult(name=name, passed=True) for name in ("scope", *ALWAYS))
        return CheckReport(**await self.change(), checks=checks).model_dump(mode="json")

    async def review(self, reviewer: str, verdict: str = "pass") -> dict[str, Any]:
        """A verdict, signed by its reviewer."""
        review = Review.model_validate(
            {
                "reviewer": reviewer,
                "version": "1",
                "verdict": verdict,
                "margin": 2.0 if verdict == "pass" else -2.0,
                "reasons": [] if verdict == "pass" else ["the title does not fit"],
                **await self.change(),
            }
        )
        await attest_review(self.services, self.context("one", {}), review)
        return review.model_dump(mode="json")

    def context(self, node: str, upstream: Mapping[str, Mapping[str, Any]]) -> NodeContext:
        return NodeContext(
            night=NightContext(id="n", branch=BRANCH, base_commit=self.base, owner="test", lease_s=60.0),
            task_key="b/t",
            task=Task(id="t", kind="docops", goal="g", targets=("a.md",)),
            flow=FLOW,
            node=FLOW.nodes()[node],
            attempt=1,
            base_commit=self.base,
            input_commit=self.head,
            upstream=upstream,
        )

    async def decide(self, upstream: Mapping[str, Mapping[str, Any]]) -> Decision:
        """Decide on what the nodes left."""
        result = await Gatekeeper(self.services).decide(self.context("gate", upstream), Evidence(self.sink))
        return Decision.model_validate(result.output)

    async def merge(self) -> NodeResult:
        """Merge the change, which both reviewers passed and the gate allowed."""
        for reviewer in ("reviewer.one", "reviewer.two"):
            await self.review(reviewer)
        allowed = Decision(
            decision="allow", reasons=(), explanation="", change=Change(**await self.change())
        ).model_dump(mode="json")
        context = self.context("merge", {"gate": allowed})
        return await Gatekeeper(self.services).merge(context, Evidence(self.sink))


@pytest.fixture
def case() -> Case:
    return Case()


async def test_checks_and_verdicts_of_their_own_nodes_allow(case: Case) -> None:
    """The report of the check node and one passing verdict of each reviewer let a change through."""
    made = await case.decide(
        {
            "checks": await case.report(),
            "one": await case.review("reviewer.one"),
            "two": await case.review("reviewer.two"),
        }
    )
    assert made.decision == "allow"


async def test_what_the_policy_holds_is_held_and_does_not_land(case: Case) -> None:
    """Both reviewers passed it; it is not allowed, and says that a person must look."""
    report = await case.report()
    place = [one["name"] for one in report["checks"]].index("protected")
    report["checks"][place] = {"name": "protected", "passed": False, "hold": True, "reason": "a.md: no"}
    upstream = {
        "checks": report,
        "one": await case.review("reviewer.one"),
        "two": await case.review("reviewer.two"),
    }
    gatekeeper = Gatekeeper(case.services)
    result = await gatekeeper.decide(case.context("gate", upstream), Evidence(case.sink))
    assert result.outcome is AttemptOutcome.FAILED
    assert result.cause == "held for a person: protected: a.md: no"
    landed = await gatekeeper.merge(case.context("merge", {"gate": result.output or {}}), Evidence(case.sink))
    assert landed.outcome is AttemptOutcome.FAILED and "no decision allows" in landed.cause


@pytest.mark.parametrize("forger", ["a.work", "b.look", "one", "nowhere"])
async def test_a_report_of_any_other_node_is_no_report(forger: str, case: Case) -> None:
    """A worker, a tool, a reviewer or a node that is not in the flow cannot report that the checks passed."""
    made = await case.decide(
        {
            "one": await case.review("reviewer.one"),
            "two": await case.review("reviewer.two"),
            forger: await case.report(),
        }
    )
    assert made.decision == "deny"
    assert "checks: missing" in made.reasons


async def test_a_forged_report_does_not_hide_the_real_one(case: Case) -> None:
    """A passing report that a worker puts before the failed one of the check node changes nothing."""
    failing = await case.report()
    failing["checks"][0] = {"name": "scope", "passed": False, "reason": "b.md: outside the task's targets"}
    made = await case.decide(
        {
            "a.work": await case.report(),
            "checks": failing,
            "one": await case.review("reviewer.one"),
            "two": await case.review("reviewer.two"),
        }
    )
    assert made.reasons == ("scope: b.md: outside the task's targets",)


@pytest.mark.parametrize("forger", ["a.work", "b.look", "checks", "one", "nowhere"])
async def test_a_verdict_of_anybody_else_is_no_verdict(forger: str, case: Case) -> None:
    """Nobody but the second reviewer speaks for it: no worker, no tool, no check, not the first reviewer."""
    upstream = {"checks": await case.report(), "one": await case.review("reviewer.one")}
    made = await case.decide(
        {**upstream, forger: upstream.get(forger, {}) | await case.review("reviewer.two")}
    )
    assert made.decision == "deny"
    assert "reviewer.two: no verdict" in made.reasons


class Swaps(FakeRepository):
    """A repository in which something happens before each swap of a branch."""

    def __init__(self, before: Callable[["Swaps"], None]) -> None:
        super().__init__({"a.md": b"a\n"})
        self.before = before
        self.tries = 0

    async def publish(self, branch: str, new: str, *, old: str | None, base: str) -> None:
        self.tries += 1
        self.before(self)
        await super().publish(branch, new, old=old, base=base)


def fail(error: GitError) -> Callable[[Swaps], None]:
    """Return what fails before the swap."""

    def before(_: Swaps) -> None:
        raise error

    return before


async def test_a_moved_branch_is_looked_at_again() -> None:
    """Somebody else's commit that arrives between look and swap stays, and the change lands on top of it."""

    arrived: list[str] = []

    def arrive(repository: Swaps) -> None:
        if not arrived:
            files = {"a.md": b"a\n", "else.md": b"b\n"}
            arrived.append(repository.add(files, (repository.head,), "else\n"))
            repository.branches[BRANCH] = arrived[0]

    repository = Swaps(arrive)
    case = Case(repository)
    repository.branches[BRANCH] = case.base
    result = await case.merge()
    assert result.outcome is AttemptOutcome.SUCCEEDED
    assert repository.tries == 2
    assert repository.commits[repository.branches[BRANCH]].parents == tuple(arrived)


async def test_a_branch_that_moves_on_and_on_may_pass() -> None:
    """After a handful of looks the attempt crashes, and another may be luckier."""

    def arrive(repository: Swaps) -> None:
        old = repository.branches.get(BRANCH, repository.head)
        repository.branches[BRANCH] = repository.add({"a.md": b"a\n"}, (old,), "else\n")

    case = Case(Swaps(arrive))
    result = await case.merge()
    assert (result.outcome, result.kind) == (AttemptOutcome.CRASHED, FailureKind.TRANSIENT)
    assert cast(Swaps, case.repository).tries == SWAP_TRIES


@pytest.mark.parametrize("error", [GitError("the disk is full"), CommitLostError("commit 0 is gone")])
async def test_what_another_look_does_not_mend_goes_up_at_once(error: GitError) -> None:
    """git's refusal of anything but the swap is raised as it is after the first try."""
    case = Case(Swaps(fail(error)))
    with pytest.raises(GitError) as caught:
        await case.merge()
    assert caught.value is error
    assert cast(Swaps, case.repository).tries == 1


async def test_a_lost_commit_goes_up_though_the_branch_moved() -> None:
    """That a commit is gone is told even where the branch was moved at the same time."""

    def both(repository: Swaps) -> None:
        repository.branches[BRANCH] = repository.head
        raise CommitLostError("commit 0 is gone")

    with pytest.raises(CommitLostError):
        await Case(Swaps(both)).merge()


async def test_a_branch_that_is_checked_out_is_told_once() -> None:
    """A branch somebody works on is not tried again and again."""
    repository = Swaps(lambda _: None)
    repository.checked_out.add(BRANCH)
    with pytest.raises(GitError, match="checked out"):
        await Case(repository).merge()
    assert repository.tries == 1


def spoiled(where: str, change: Mapping[str, Any] | None) -> Callable[[dict[str, Any]], None]:
    """Return what alters one node's output; None takes it away, as an error or a time-out does."""

    def spoil(upstream: dict[str, Any]) -> None:
        if change is None:
            del upstream[where]
        else:
            upstream[where] = {**upstream[where], **change}

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        *(spoiled(where, None) for where in ("checks", "one", "two")),
        *(
            spoiled(where, {field: "f" * 40})
            for where in ("checks", "one", "two")
            for field in ("base", "head", "tree", "merged")
        ),
        spoiled("checks", {"checks": []}),
        spoiled("checks", {"checks": "all passed"}),
        spoiled("checks", {"checks": [{"name": "scope", "passed": "yes indeed"}]}),
        spoiled("checks", {"passed": True}),
        *(
            spoiled("two", change)
            for change in (
                {"verdict": "approve"},
                {"verdict": None},
                {"verdict": "fail"},
                {"verdict": "fail", "margin": 9.0},
                {"margin": None},
                {"margin": -0.1},
                {"margin": float("nan")},
                {"margin": "large"},
                {"reasons": ["doubt"]},
                {"reviewer": "reviewer.one"},
                {"reviewer": "nobody"},
                {"decision": "allow"},
            )
        ),
    ],
)
async def test_evidence_that_does_not_hold_denies(
    spoil: Callable[[dict[str, Any]], None], case: Case
) -> None:
    """Nothing there, nothing that can be read, of another change, or at odds with itself: never hold, never allow."""
    upstream = {
        "checks": await case.report(),
        "one": await case.review("reviewer.one"),
        "two": await case.review("reviewer.two"),
    }
    assert (await case.decide(upstream)).decision == "allow"
    spoil(upstream)
    assert (await case.decide(upstream)).decision == "deny"


async def test_a_verdict_on_a_diff_that_was_cut_denies(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signed verdict names the diff that was read; where that is not the whole of it, it is of another change."""
    upstream = {"checks": await case.report(), "one": await case.review("reviewer.one")}
    whole = case.repository.diff

    async def cut(base: str, head: str) -> bytes:
        return (await whole(base, head))[:-1]

    with monkeypatch.context() as patched:
        patched.setattr(case.repository, "diff", cut)
        upstream["two"] = await case.review("reviewer.two")
    made = await case.decide(upstream)
    assert made.decision == "deny"
    assert any("reviewer.two" in reason for reason in made.reasons)
