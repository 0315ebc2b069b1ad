"""What ``pantheon night`` does once it is contained: opens everything, works the queue, and says how it ended.

A module of its own, so that the process outside, which only contains and waits, imports none of it.
"""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, time, timedelta

from pantheon.core.contained import Contained
from pantheon.core.containment import ContainmentStatement
from pantheon.core.window import LandingHours
from pantheon.engine.custody import refuse_other_model
from pantheon.engine.ledger_opening import record_containment
from pantheon.engine.night import Night, NightSummary
from pantheon.engine.open_nights import changes_wait, count_to_land
from pantheon.engine.pool_log import pool_logged
from pantheon.engine.preflight import NightPlan, prepare_night
from pantheon.shell.cli.night_text import WORK_LEFT, exit_code, tell_night, tell_opening, watch_night
from pantheon.shell.cli.output import emit_json, progress, say
from pantheon.shell.config import Project, UserPaths
from pantheon.shell.hours_wiring import landing_hours
from pantheon.shell.night_wiring import NightServices, open_night_services
from pantheon.shell.queue_wiring import model_in_force, pins_in_force, refuse_lost_store
from pantheon.shell.reporting import write_report
from pantheon.shell.server_wiring import ServerLog
from pantheon.shell.signer_wiring import open_night_ledger
from pantheon.shell.window_wiring import Bounds

SETTLE_S = 60
"""Of the time to stop: seconds to settle what was cancelled."""
DRAIN_S = 180.0
"""For what runs at the end of the window, where nobody said how long a stop may take."""
CLOCK_S = 30.0
"""Between two looks at the clock: a machine that slept past the window's end is to notice soon."""


async def run_night(
    project: Project,
    user: UserPaths,
    *,
    accept_drift: str,
    bounds: Bounds,
    stop_s: int | None,
    left_before: datetime | None,
    as_json: bool,
    contained: ContainmentStatement,
) -> int:
    """Run one night and say how it ended; returns the exit code.

    Args:
        project: the configured repository.
        user: the user's own folders.
        accept_drift: the operator's reason to work batches whose pinned content has changed; empty refuses.
        bounds: the times that it keeps; a naive one is a local time of day.
        stop_s: seconds from the first signal to the end; None to wait for a second signal.
        left_before: of what closed nights have not reached, take what those have left that began before it; None for
            all of it.
        as_json: whether the summary is JSON.
        contained: how the night was proven to be kept on this machine, to be attested.
    """
    log = ServerLog(project)
    async with open_night_services(project, user, say=say) as opened:
        await refuse_lost_store(project, opened.services.store, opened.queue)
        pins = pins_in_force(project, opened.services.content)
        landing = landing_hours(opened.services.content.night_policy)
        now = opened.services.clock.now()
        plan = await prepare_night(
            opened.services,
            opened.queue,
            pins,
            branch_prefix=project.config.night.branch_prefix,
            accepted_because=accept_drift,
            merges_open=landing is None or landing.are_open(now),
            land_only=bounds.land_only,
            left_before=left_before,
        )
        if plan is None:
            waits = await count_to_land(opened.services.store)
            pending = (await opened.services.store.counts()).pending
            if pending and not (waits or bounds.land_only):
                what = "1 task waits" if pending == 1 else f"{pending} tasks wait"
                say(f"{what} for the next window, or behind one that is held: pantheon status")
            elif waits and landing is not None:
                say(f"{changes_wait(waits)} for the merge window, {tell_opening(landing, now)}.")
            else:
                say("Nothing waits for a night. Queue something with: pantheon enqueue FILE")
            if as_json:
                emit_json({"night": None, "outcomes": {}, "tasks": [], "to_land": waits})
            return WORK_LEFT if waits else 0
        model = await model_in_force(project, pins, opened.services.model)
        store = opened.services.store
        changed = await refuse_other_model(store, plan.record.id, model, accepted_because=accept_drift)
        plan = replace(plan, drift=(*plan.drift, *changed))
        async with open_night_ledger(
            project,
            user,
            plan.record,
            opened.services.content.reviewers,
            signer=opened.signer,
            clock=opened.services.clock,
        ) as ledger:
            said = Contained(containment=contained, sandbox=opened.sandbox, model=model)
            await record_containment(ledger, store, plan.record, said)
            services = replace(opened.services, open_ledger=ledger)
            opened = replace(opened, services=services)
            async with pool_logged(services.model, store, services.clock, plan.record.id):
                summary = await _watched(project, opened, plan, bounds, landing=landing, stop_s=stop_s)
        await log.keep(opened.services.artifacts, summary.night, opened.services.clock.now())
        report = await write_report(project, opened.services.store, summary.night)
    opens = "" if landing is None else tell_opening(landing, opened.services.clock.now())
    tell_night(summary, report, ledger.note, opens, as_json=as_json)
    return exit_code(summary)


async def _watched(
    project: Project,
    opened: NightServices,
    plan: NightPlan,
    bounds: Bounds,
    *,
    landing: LandingHours | None,
    stop_s: int | None,
) -> NightSummary:
    """Run the night with a progress display; the first interrupt drains it, the second cancels it."""
    for problem in plan.left_aside:
        say(f"left aside: queue/{problem.batch}: {problem.why}", "warn")
    for change in plan.drift:
        say(f"accepted drift: {change}", "warn")
    say(f"{'resuming' if plan.resumed else 'starting'} night {plan.record.id}")
    stopping = asyncio.Event()
    now = opened.services.clock.now()
    with progress("night") as show:
        night = Night(
            services=opened.services,
            slots=project.config.slots,
            paced=project.config.paced,
            owner=opened.owner,
            lease_s=float(project.config.night.lease_s),
            watch=watch_night(show),
            stopping=stopping,
            ends_at=None if bounds.until is None else end_of_window(now, bounds.until),
            finish_by=None if bounds.finish_by is None else end_of_window(now, bounds.finish_by),
            landing=landing,
            land_only=bounds.land_only,
            by_level=project.config.night.dispatch == "levels",
        )
        drain_s = None if stop_s is None else float(stop_s - SETTLE_S)
        ends_at = night.finish_by if bounds.ends else None
        with _drained_by_signals(stopping, drain_s, ends_at, opened.services.clock.now):
            return await night.run(plan.record, plan.tasks)


def end_of_window(now: datetime, until: datetime) -> datetime:
    """Return the instant that ``--until`` means: an aware one is itself, a naive one is a time of day."""
    return until if until.tzinfo is not None else next_time(now, until.time())


def next_time(now: datetime, of_day: time) -> datetime:
    """Return the next moment, from ``now`` on, at which the local clock shows a time of day."""
    here = now.astimezone()
    # Made from the local date, so that a night over a change of summer time ends when the clock on the wall says so.
    found = datetime.combine(here.date(), of_day).astimezone()
    return found if found > now else datetime.combine(here.date() + timedelta(days=1), of_day).astimezone()


@contextmanager
def _drained_by_signals(
    stopping: asyncio.Event,
    drain_s: float | None,
    ends_at: datetime | None = None,
    now: Callable[[], datetime] | None = None,
) -> Iterator[None]:
    """Let the first SIGINT or SIGTERM drain the night and the second cancel it, or the time that draining may take.

    Args:
        stopping: set to drain it.
        drain_s: seconds that draining may take after a signal; None for as long as it takes.
        ends_at: when it is drained without a signal, and then cancelled in any case; None for never.
        now: the clock that says so.
    """
    loop = asyncio.get_running_loop()
    main = asyncio.current_task()
    late: list[asyncio.TimerHandle] = []
    ending: list[asyncio.TimerHandle] = []

    def cancel() -> None:
        # Once: a second time would cut off what settles the first.
        for timer in (*late, *ending):
            timer.cancel()
        if main is not None:
            main.cancel()

    def end() -> None:
        left_s = 0.0 if ends_at is None or now is None else (ends_at - now()).total_seconds()
        if left_s > 0:
            ending[:] = [loop.call_later(min(left_s, CLOCK_S), end)]
            return
        stopping.set()
        if not late:
            late.append(loop.call_later(DRAIN_S if drain_s is None else drain_s, cancel))
        say("the window has ended; finishing what runs, pantheon night resumes the rest", "warn")

    def interrupt() -> None:
        if stopping.is_set():
            cancel()
            return
        stopping.set()
        if drain_s is not None:
            late.append(loop.call_later(drain_s, cancel))
        say("finishing what runs; interrupt again to stop at once, pantheon night resumes either way", "warn")

    signals = (signal.SIGINT, signal.SIGTERM)
    for one in signals:
        loop.add_signal_handler(one, interrupt)
    if ends_at is not None:
        end()
    try:
        yield
    finally:
        for timer in (*late, *ending):
            timer.cancel()
        for one in signals:
            loop.remove_signal_handler(one)
