"""``pantheon outcomes``: what people kept, changed and reverted of what nights landed."""

from datetime import UTC, datetime

import click

from pantheon.core.aftermath import ChangeFate, Fate, Tally, tally
from pantheon.core.errors import ConfigError
from pantheon.core.records import NightRecord
from pantheon.engine.aftermath import Follower
from pantheon.engine.undo import HEADS
from pantheon.shell.cli.context import Session, json_option, run_async, session_option
from pantheon.shell.cli.output import emit, emit_json, emit_rows, progress, say
from pantheon.shell.config import Project
from pantheon.shell.day_wiring import Day, open_day

MAX_NAMED = 20


@click.command("outcomes")
@click.option(
    "--since", metavar="DATE|NIGHT", help="Only nights from this day (YYYY-MM-DD) or this night on."
)
@click.option(
    "--branch", metavar="NAME", help="The branch to look into; by default the one that is checked out."
)
@json_option
@session_option
def command(session: Session, since: str | None, branch: str | None, as_json: bool) -> None:
    """Tell what was kept, changed and reverted of what nights landed, by agent, version and reviewer.

    It reads git: a change is followed by its lines in commit messages, by its content, and through renames.

    Example: pantheon outcomes --since 2026-01-01
    """
    project = session.project()
    name, fates = run_async(lambda: _follow(project, since, branch))
    rows = tally(fates)
    if as_json:
        emit_json(
            {
                "branch": name,
                "changes": [_plain(one) for one in fates],
                "tallies": [_plain(one) for one in rows],
            }
        )
    else:
        _tell(name, fates, rows)


def _plain(one: ChangeFate | Tally) -> dict[str, object]:
    return one.model_dump(mode="json")


async def _follow(project: Project, since: str | None, branch: str | None) -> tuple[str, list[ChangeFate]]:
    async with open_day(project, write=False) as day:
        name, tip = await _find_branch(day, branch)
        nights = _chosen(await day.store.nights(), since)
        follower = Follower(day.history, day.store, tip)
        fates: list[ChangeFate] = []
        with progress("following") as told:
            for number, night in enumerate(nights, start=1):
                fates += await follower.follow(night)
                told(number, len(nights), night.id)
        return name, fates


async def _find_branch(day: Day, wanted: str | None) -> tuple[str, str]:
    name = await day.history.head() if wanted is None else f"{HEADS}{wanted}"
    found = {branch.name: branch.commit for branch in await day.history.branches()}
    if name not in found:
        what = f"there is no branch {wanted!r}" if wanted else "no branch is checked out, or it has no commit"
        raise ConfigError(what, hint="Name one: --branch NAME")
    return name.removeprefix(HEADS), found[name]


def _chosen(nights: tuple[NightRecord, ...], since: str | None) -> tuple[NightRecord, ...]:
    if since is None:
        return nights
    for place, night in enumerate(nights):
        if night.id == since:
            return nights[place:]
    try:
        day = datetime.fromisoformat(since)
    except ValueError as error:
        raise ConfigError(
            f"--since {since}: neither a night nor a day", hint="A day is YYYY-MM-DD."
        ) from error
    return tuple(
        night for night in nights if night.started_at >= (day if day.tzinfo else day.replace(tzinfo=UTC))
    )


def _tell(branch: str, fates: list[ChangeFate], rows: tuple[Tally, ...]) -> None:
    if not fates:
        emit("Nothing has landed yet.")
        return
    counts = ", ".join(f"{sum(one.fate is fate for one in fates)} {fate}" for fate in Fate)
    emit(f"{len(fates)} changes, as {branch} has them: {counts}")
    emit_rows(
        ("role", "name", "version", *(str(fate) for fate in Fate), "kept of settled"),
        [(row.role, row.name, row.version, *row.fates.values(), _share(row)) for row in rows],
    )
    told = [one for one in fates if one.fate in (Fate.REVERTED, Fate.CHANGED)]
    if told:
        emit("")
        emit_rows(("fate", "task", "how"), [(one.fate, one.task, one.how) for one in told[:MAX_NAMED]])
    if len(told) > MAX_NAMED:
        say(f"and {len(told) - MAX_NAMED} more; all of them: pantheon outcomes --json")


def _share(row: Tally) -> str:
    rate = row.kept_share
    return "" if rate.share is None else f"{rate.share:.0%} ({rate.low:.0%} to {rate.high:.0%})"
