"""``pantheon status``: what is queued, what runs, how the last night ended."""

import asyncio
from collections.abc import Mapping

import click

from pantheon.core.orders import Standing, fold_orders
from pantheon.core.outages import ENDS, find_outages
from pantheon.core.overview import NightOverview, Overview, add_outages, summarise_night, summarise_pending
from pantheon.core.policy import SloPolicy
from pantheon.core.records import AttemptFigures, Counts, NightRecord
from pantheon.core.taken_back import UNDO_EVENT, taken_back
from pantheon.engine.open_nights import changes_wait, count_to_land, waits_to_land
from pantheon.ports.store import Store
from pantheon.report.endpoints import read_calls
from pantheon.shell.cli.context import Session, json_option, run_async, session_option
from pantheon.shell.cli.output import emit, emit_json, emit_rows, say
from pantheon.shell.config import Project
from pantheon.shell.night_word_wiring import RECORD, read_trouble
from pantheon.shell.queue_wiring import project_queue
from pantheon.shell.wiring import find_night_holder, load_policies, look_into_store

SHOWN_RUNNING = 10
"""Running nodes that are named."""


@click.command("status")
@json_option
@session_option
def command(session: Session, as_json: bool) -> None:
    """Tell what is queued, what runs, and how the last night ended."""
    project = session.project_of_a_night()
    overview = run_async(lambda: read_overview(project))
    if as_json:
        emit_json(overview)
        return
    _tell(overview)


async def read_overview(project: Project) -> Overview:
    """Read the store. Raises ``StoreError``, and ``ConfigError`` for a wrong policy."""
    slo = load_policies(project).slo
    names = await asyncio.to_thread(project_queue(project).names)
    async with look_into_store(project) as store:
        if store is None:
            trouble = await read_trouble(project, None)
            return Overview(pending_tasks=0, pending=(), unread=names, daemon_trouble=trouble)
        nights = await store.nights()
        last = nights[-1] if nights else None
        counts = await store.counts("" if last is None else last.id)
        batches = await store.batches()
        known = {batch.name for batch in batches}
        return Overview(
            pending_tasks=counts.pending,
            pending=summarise_pending(batches, counts),
            unread=tuple(name for name in names if name not in known),
            left_tasks=sum(counts.left.values()),
            held_tasks=counts.held,
            to_land=await count_to_land(store),
            night=None if last is None else await _read_night(store, last, counts, slo),
            holder=await find_night_holder(project),
            daemon_trouble=await read_trouble(project, None if last is None else last.started_at),
        )


async def _read_night(store: Store, night: NightRecord, counts: Counts, slo: SloPolicy) -> NightOverview:
    standing = fold_orders(await store.orders(night.id)) if night.closed_at is None else Standing()
    attempts = None
    if night.closed_at is not None:
        kept = night.summary.get("attempts")
        # A night of an earlier version has not kept its figures.
        attempts = AttemptFigures(**kept) if kept else await store.measure_attempts(night.id)
    back = taken_back(await store.events(night.id, name=UNDO_EVENT))
    told = summarise_night(night, counts, attempts, standing, slo)
    waits = 0 if night.closed_at is not None else await waits_to_land(store, night.id)
    told = told.model_copy(update={"to_land": waits})
    events = [event for name in ENDS for event in await store.events(night.id, name=name)]
    facts = {"taken_back": len(back), "endpoints": await read_calls(store, night.id)}
    return add_outages(told.model_copy(update=facts), find_outages(events))


def _tell(overview: Overview) -> None:
    if overview.pending:
        one = overview.pending_tasks == 1
        emit(f"{overview.pending_tasks} task{' waits' if one else 's wait'} for a night:")
        emit_rows(("batch", "tasks", "label"), [(b.name, b.tasks, b.label) for b in overview.pending])
        if overview.left_tasks:
            emit(
                f"{overview.left_tasks} of them {'was' if overview.left_tasks == 1 else 'were'} not reached before."
            )
    elif not overview.unread:
        emit("Nothing waits for a night.")
        say("Queue something with: pantheon enqueue FILE")
    if overview.unread:
        count = len(overview.unread)
        names = ", ".join(overview.unread[:SHOWN_RUNNING]) + (", ..." if count > SHOWN_RUNNING else "")
        emit(f"{count} signed batch{'es' if count > 1 else ''} that the store does not know: {names}")
        say("The next night verifies them and takes them, unless a ledger says that they were worked.")
    if overview.held_tasks:
        emit(f"{overview.held_tasks} tasks are held; pantheon release lets them go.")
    earlier = overview.to_land - (0 if overview.night is None else overview.night.to_land)
    if earlier:
        emit(f"Of earlier nights, {changes_wait(earlier)} for the merge window.")
    if overview.daemon_trouble:
        emit(f"The daemon could not work: {overview.daemon_trouble}")
        say(f"All that it could not do is in {RECORD} beside the nights' artifacts.")
    if overview.night is None:
        emit("There was no night yet.")
    else:
        _tell_night(overview.night, overview.holder)


def _tell_night(night: NightOverview, holder: str | None) -> None:
    if night.closed_at is None:
        since = f"{night.started_at:%Y-%m-%d %H:%M} UTC"
        how = f"runs ({holder})" if holder else "was interrupted; resume it with: pantheon night"
        if night.to_land and not holder:
            how = f"is open: {changes_wait(night.to_land)} for the merge window"
        emit(f"Night {night.id}, started {since}, {how}.")
        if night.standing:
            emit(f"By the operator's order: {', '.join(night.standing)}.")
        if night.server_lost:
            emit(f"The model server is lost {night.server_lost}")
            emit("The night waits for it; nothing fails of it.")
        _tell_endpoints(night)
        emit(f"Nodes: {_counts(night.nodes)}")
        for node in night.running[:SHOWN_RUNNING]:
            emit(f"  running: {node}")
    else:
        minutes = (night.closed_at - night.started_at).total_seconds() / 60
        emit(f"Night {night.id} ended {night.closed_at:%Y-%m-%d %H:%M} UTC after {minutes:.1f} minutes.")
        _tell_endpoints(night)
    back = f"; {night.taken_back} taken back since" if night.taken_back else ""
    emit(f"Tasks: {_counts(night.outcomes)}{back}")
    for one in night.objectives:
        if one.met is False:
            emit(f"Objective missed: {one.name} is {one.measured:.3g}, wanted {one.wanted:.3g}")
    if night.closed_at is not None:
        emit(f"Branch: {night.branch}")
        say(f"The whole story: pantheon report {night.id}")


def _tell_endpoints(night: NightOverview) -> None:
    for one in night.endpoints:
        broke = f", broke {one.broken}" if one.broken else ""
        became = f"; it {one.state}" if one.state else ""
        emit(f"Endpoint {one.endpoint}: answered {one.answered} calls{broke}{became}.")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items()) or "none"
