"""One night over the pending batches: plan, open, run, conclude, close.

Running the same command again is the resume: a night that was not closed is taken up where it stands. Its running
attempts are interrupted, what succeeded stays, and the rest is planned again.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from pantheon.core.budget import Usage
from pantheon.core.dag import Expect, Plan, PlannedNode, PlannedTask
from pantheon.core.estimates import learn_durations
from pantheon.core.merge_queue import widen_slots
from pantheon.core.records import NightRecord, NodeRecord
from pantheon.core.spending import spent_by
from pantheon.core.window import LandingHours
from pantheon.engine.attempt import AttemptRunner, Execute
from pantheon.engine.attempt_record import Attest, attest_attempt
from pantheon.engine.canaries import Canaries
from pantheon.engine.control import Halt, NightControl
from pantheon.engine.gatekeeper import Gatekeeper
from pantheon.engine.lease_keeper import LeaseKeeper
from pantheon.engine.merge_hours import StartHours, leave_for_landing, watch_hours
from pantheon.engine.night_planning import leave_waiting, plan_night, read_lines, tell_plan
from pantheon.engine.night_run import NightRun, Progress, Watch
from pantheon.engine.night_state import NightState
from pantheon.engine.night_summary import NightSummary, end_night
from pantheon.engine.node import NodeExecutor
from pantheon.engine.node_end import NodeEnded
from pantheon.engine.pace import PacedModel, PaceKeeper, first_limit
from pantheon.engine.purse import Purse
from pantheon.engine.scheduler import AT_ONCE, MODEL, Scheduler
from pantheon.engine.server_keeper import ServerKeeper
from pantheon.engine.services import NightContext, Services
from pantheon.engine.starting_point import StartingPoint
from pantheon.engine.testimony import attest_interrupted
from pantheon.ports.model import ModelClient

__all__ = ["Night", "NightSummary", "Progress", "Watch"]

UNREACHED = {
    None: "the night ended before it",
    Halt.BUDGET: "the night's budget was spent before it",
    Halt.WINDOW: "the night's window ended before it",
}
LEARNED_FROM = 2_000
"""Tasks of the largest night that durations are learned from: reading it must cost the next one nothing to speak of."""


@dataclass(frozen=True)
class Beside:
    """Something that runs beside the nodes, until they have ended."""

    name: str
    run: Callable[[], Coroutine[Any, Any, None]]


@dataclass
class Night:
    """Runs one night. Drained, it stays open; at the end of its budget or window it is closed with work left.

    Args:
        services: ports and content.
        slots: resource -> slots.
        owner: names this process in leases.
        lease_s: length of a lease, in seconds.
        watch: told of each step; must be quick.
        stopping: set to drain the night.
        ends_at: when nothing new starts any more; None for never.
        finish_by: when everything has to be finished; None for ``ends_at``.
        by_level: start a node only when every node of the levels below has ended, for comparison.
        paced: whether the model's slots follow what its server can take; ``slots`` then has their ceiling.
        landing: the merge window; None when merges may start at any time.
        land_only: start nothing but merges.
        at_once: nodes between their start and their record.
        execute: what a node does; by default what its flow says.
        attest: signs what an attempt left.
    """

    services: Services
    slots: Mapping[str, int]
    owner: str
    lease_s: float
    watch: Watch
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    ends_at: datetime | None = None
    finish_by: datetime | None = None
    by_level: bool = False
    paced: bool = False
    landing: LandingHours | None = None
    land_only: bool = False
    at_once: int = AT_ONCE
    execute: Execute | None = None
    attest: Attest = attest_attempt
    _canaries: Canaries | None = field(init=False, default=None)
    _hours: StartHours = field(init=False)

    def __post_init__(self) -> None:
        self._hours = StartHours(self.services.clock, self.landing, self.land_only)

    async def run(self, record: NightRecord, keys: Sequence[str]) -> NightSummary:
        """Work the tasks and close the night.

        Args:
            record: the night; known to the store already when it is resumed.
            keys: tasks to take, when the night is new.

        Raises:
            FlowError: the tasks cannot be planned; nothing was opened.
            StoreError, ArtifactError: the night cannot go on; running the command again resumes it.

        Cancellation:
            Running attempts are settled as cancelled; the night stays open and can be resumed.
        """
        began = self.services.clock.monotonic()
        store = self.services.store
        found = await read_lines(store, record.id, keys)
        nights = await store.nights()
        resumed = any(one.id == record.id for one in nights)
        expect = await self._expect(nights)
        tasks, tried = await asyncio.to_thread(plan_night, found, self.services, self.slots, expect)
        taken = await store.open_night(record, keys)
        if not resumed and taken != len(found.lines):
            # Held or cancelled between the look and the opening: the night has what the store says.
            found = await read_lines(store, record.id, ())
            tasks, tried = await asyncio.to_thread(plan_night, found, self.services, self.slots, expect)
        await leave_waiting(store, record.id, found)
        lines, plan = dict(found.lines), tried.plan
        await self._add_nodes(record.id, plan)
        interrupted = await store.sweep(record.id, expired_only=False) if resumed else ()
        run, control, beside = await self._prepare(record, lines, tasks, plan, resumed=resumed)
        if resumed and self.services.open_ledger is not None:
            await attest_interrupted(self.services, record, await store.attempts(record.id))
        await store.add_event(record.id, record.id, "night.planned", tell_plan(tried, tasks, interrupted))
        await run.conclude_all(tasks)
        await self._work(run, control, beside)
        to_land, drained = 0, control.halt is not None and control.halt.leaves_open
        if not drained and (await store.counts(record.id)).open:
            why = UNREACHED.get(control.halt, "the night ended")
            to_land = await leave_for_landing(
                run, store, self._hours, ended_by=why, everything_ended=control.halt is None
            )
        summary = await end_night(self.services, record, self._canaries, began)
        gone = summary.left_open and control.halt is Halt.SERVER
        return replace(summary, server_gone=gone, to_land=to_land)

    async def _expect(self, nights: Sequence[NightRecord]) -> Expect:
        """Return what nodes are expected to take, from the last closed night when that was not too large to read."""
        closed = [one for one in nights if one.closed_at is not None]
        if not closed or sum(closed[-1].summary.get("outcomes", {}).values()) > LEARNED_FROM:
            return learn_durations(())
        return learn_durations(await self.services.store.attempts(closed[-1].id))

    async def _add_nodes(self, night: str, plan: Plan) -> None:
        await self.services.store.add_nodes(
            [
                NodeRecord(night=night, key=n.key, task=n.task, node=n.node.id, needs=n.needs)
                for n in plan.nodes
            ]
        )

    async def _prepare(
        self,
        record: NightRecord,
        lines: dict[str, str],
        tasks: dict[str, PlannedTask],
        plan: Plan,
        *,
        resumed: bool,
    ) -> tuple[NightRun, NightControl, list[Beside]]:
        paced = None
        if self.paced and MODEL in self.slots:
            paced = PacedModel(self.services.model, self.services.clock)
        keeper = self._keep_server(record.id, paced or self.services.model)
        services = replace(self.services, model=keeper.model)
        ended: dict[str, NodeEnded] = {}
        self._canaries = Canaries(services, plan, ended) if services.open_ledger is not None else None
        run = self._make_run(services, record, lines, tasks, plan)
        attempts = await services.store.attempts(record.id) if resumed else ()
        purse = Purse(
            services.content.night_policy.budget, tasks, services.clock, self.finish_by or self.ends_at
        )
        purse.restore(attempts, {node.key: node for node in plan.nodes}.get)
        scheduler = self._make_scheduler(run, ended, purse)
        control = NightControl(
            store=services.store,
            clock=services.clock,
            night=record.id,
            budget=services.content.night_policy.budget,
            spent=spent_by(attempts),
            ends_at=self.ends_at,
            stopping=self.stopping,
            scheduler=scheduler,
            reopen=run.reopen,
        )

        def spend(planned: PlannedNode, used: Usage) -> None:
            purse.charge(planned, used)
            control.spend(used)

        run.join(scheduler, spend)
        if resumed:
            await run.restore(await services.store.nodes(record.id), attempts)
        keeper.join(
            hold=scheduler.hold_for_server, give_up=lambda: control.stop(Halt.SERVER), tell=run.tell_server
        )
        beside = [
            Beside("control", control.run),
            Beside("heartbeat", run.runner.leases.run),
            Beside("server keeper", keeper.run),
            Beside("merge hours", partial(watch_hours, self._hours, run)),
        ]
        if paced is not None:
            begin = first_limit(plan, self.slots[MODEL], MODEL)
            pace = PaceKeeper(paced, begin, services.store, services.clock, record.id, scheduler.resize_model)
            beside.append(Beside("pace", pace.run))
        return run, control, beside

    def _make_run(
        self,
        services: Services,
        record: NightRecord,
        lines: dict[str, str],
        tasks: dict[str, PlannedTask],
        plan: Plan,
    ) -> NightRun:
        context = NightContext(
            id=record.id,
            branch=record.branch,
            base_commit=record.base_commit,
            owner=self.owner,
            lease_s=self.lease_s,
        )
        canaries = self._canaries
        execute = self.execute or NodeExecutor(services, Gatekeeper(services, canaries), canaries)
        leases = LeaseKeeper(services.store, services.clock, self.lease_s)
        state = NightState(tasks)
        return NightRun(
            store=services.store,
            context=context,
            plan=plan,
            tasks=tasks,
            starts=StartingPoint(services.repository, context, tasks, lines, state),
            state=state,
            runner=AttemptRunner(services, execute, leases, self.attest),
            watch=self.watch,
        )

    def _make_scheduler(self, run: NightRun, ended: dict[str, NodeEnded], purse: Purse) -> Scheduler:
        services = self.services
        return Scheduler(
            plan=run.plan,
            tasks=run.tasks,
            slots=widen_slots(self.slots, services.content.gate_policy.merge),
            run=run.run_node,
            end=run.end_nodes,
            sleep=services.clock.sleep,
            ended=ended,
            by_level=self.by_level,
            at_once=self.at_once,
            admit=purse.admit,
            may_start=self._hours.may_start,
        )

    def _keep_server(self, night: str, client: ModelClient) -> ServerKeeper:
        services = self.services
        return ServerKeeper(
            client=client,
            store=services.store,
            clock=services.clock,
            night=night,
            server=services.server,
        )

    async def _work(self, run: NightRun, control: NightControl, beside: Sequence[Beside]) -> None:
        """Run the nodes, and beside them what watches over the night."""
        await control.take_up()
        async with asyncio.TaskGroup() as group:
            watching = [group.create_task(one.run(), name=one.name) for one in beside]
            await run.scheduler.run_all()
            for one in watching:
                one.cancel()
