"""What a cancelled attempt has used counts against the budgets like that of any other."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from pantheon.core.budget import Usage
from pantheon.core.flow import FlowNode
from pantheon.core.records import AttemptOutcome, Lease, NodeState
from pantheon.engine.attempt import AttemptRunner, Try
from pantheon.engine.draft import Draft
from pantheon.engine.evidence import Evidence
from pantheon.engine.lease_keeper import LeaseKeeper
from pantheon.engine.results import NodeResult
from pantheon.testing.clock import FakeClock
from pantheon.testing.steps import Steps
from pantheon.testing.store import FakeStore


@pytest.mark.parametrize("late", [False, True])
async def test_what_a_cancelled_attempt_used_is_told_once(late: bool) -> None:
    """Cancelled at any step it is told then; where the work came to its end the result says it."""
    for at in range(1, 20):
        told: list[Usage] = []
        evidence = Evidence(Draft())

        async def execute(_context: Any, evidence: Evidence) -> NodeResult:
            evidence.tally.completion_tokens += 7
            await asyncio.sleep(0)
            return NodeResult(AttemptOutcome.SUCCEEDED, NodeState.SUCCEEDED, "")

        async def prepared(context: Any) -> Any:
            return context

        record: Any = SimpleNamespace(evidence=evidence, begin=prepared, lease=SimpleNamespace(attempt=1))
        planned: Any = SimpleNamespace(node=FlowNode(id="n", tool="t"))
        night: Any = None
        services: Any = SimpleNamespace(clock=FakeClock())
        leases: Any = None
        attempt = Try(
            night=night, planned=planned, prepare=prepared, tried=0, lost=0, done=lambda _: None,
            cut=told.append, cancelled=lambda: "",
        )  # fmt: skip
        work = AttemptRunner(services, execute, leases)._work(attempt, record)
        steps = Steps(at, late=late)
        task = steps.start(work, name="work")
        await asyncio.wait([task])
        if steps.count <= at:
            assert not told
            return
        assert task.cancelled()
        assert [one.output_tokens for one in told] == [7]
    pytest.fail("the attempt never came to its end")


class AtItsEnd(AttemptRunner):
    """An attempt whose work is done."""

    async def _claim(self, attempt: Try) -> Any:
        at = datetime(2026, 1, 2, tzinfo=UTC)
        lease = Lease(night="n", node="k", attempt=1, token=1, owner="o", expires_at=at)
        return SimpleNamespace(lease=lease, settle=self.execute)

    async def _work(self, attempt: Try, record: Any) -> NodeResult:
        return DONE


DONE = NodeResult(AttemptOutcome.SUCCEEDED, NodeState.SUCCEEDED, "")


async def test_a_lease_that_is_gone_because_it_was_settled_cuts_nothing() -> None:
    """The heartbeat that comes between the record and the news of it finds no lease; what is recorded stands."""
    keeper = LeaseKeeper(FakeStore(FakeClock()), FakeClock(), 3)
    settled: list[NodeResult] = []

    async def settle(result: NodeResult, *_: Any) -> None:
        settled.append(result)
        if len(settled) == 1:
            await keeper._renew(next(iter(keeper._held)))
            await asyncio.sleep(0)

    anything: Any = None
    execute: Any = settle
    attempt: Any = SimpleNamespace(done=lambda _: None, cancelled=lambda: "")
    assert await AtItsEnd(anything, execute, keeper).run(attempt) is DONE
    assert settled == [DONE, DONE], "begun again, and done to the end"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
