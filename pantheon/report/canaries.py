"""What the night's canaries say of its reviewers, read from what the store holds of their attempts."""

import shlex
from collections.abc import Collection, Iterator, Sequence

from pydantic import ValidationError

from pantheon.core.canaries import (
    CanaryPolicy,
    CanaryRate,
    CanaryResult,
    Standing,
    judge_standing,
    rate_canaries,
    say_canaries,
)
from pantheon.core.records import AttemptRecord, NightRecord, TaskOutcome
from pantheon.core.visible import visible
from pantheon.report.model import Need, Report, TaskShown
from pantheon.report.reading import items

SUMMARY = "canaries"
"""Key of a closed night's summary with the standing of every reviewer."""
MAX_UNDONE = 20
"""Commands to take changes back that are written out."""


def read_canaries(attempts: Sequence[AttemptRecord]) -> tuple[CanaryResult, ...]:
    """Return the canaries that attempts have recorded; what is no record of one is left out."""
    found = []
    for attempt in attempts:
        if attempt.result is None:
            continue
        for one in items(attempt.result.metrics.get("canaries")):
            try:
                found.append(CanaryResult.model_validate(one))
            except ValidationError:
                continue
    return tuple(found)


def tell_canaries(
    report: Report, night: NightRecord, attempts: Sequence[AttemptRecord], back: Collection[str]
) -> Report:
    """Return the report with what canaries say of each reviewer, told first where it is against one.

    Args:
        report: everything else.
        night: the night.
        attempts: all of its attempts.
        back: keys of the tasks whose changes were taken back since.
    """
    rates, closed = rate_reviewers_by_canaries(night, attempts), night.closed_at is not None
    gone = {visible(key) for key in back}
    distrusted = tuple(key for key in rest_on(rates, report.tasks) if key not in gone)
    said = say_canaries(rates, len(distrusted), closed=closed)
    return report.model_copy(
        update={
            "sentence": f"{said} {report.sentence}" if said else report.sentence,
            "needs": (*needs_of_canaries(rates, distrusted, closed=closed), *report.needs),
            "canaries": rates,
            "distrusted": distrusted,
        }
    )


def rate_reviewers_by_canaries(
    night: NightRecord, attempts: Sequence[AttemptRecord]
) -> tuple[CanaryRate, ...]:
    """Return what canaries say of each reviewer: as the night closed, or as far as an open one has come.

    An open night is judged by the default policy, the strictest there is about what may be passed.
    """
    standings = _closed(night)
    if not standings:
        results = read_canaries(attempts)
        names = sorted({one.reviewer for one in results})
        standings = [judge_standing(CanaryPolicy(), name, results) for name in names]
    shown = [one.model_copy(update={"reviewer": visible(one.reviewer)}) for one in standings]
    return rate_canaries(shown)


def rest_on(rates: Sequence[CanaryRate], tasks: Sequence[TaskShown]) -> tuple[str, ...]:
    """Return the keys of the accepted tasks that a disqualified reviewer has passed."""
    names = {one.reviewer for one in rates if one.disqualified}
    return tuple(
        task.key
        for task in tasks
        if task.outcome == TaskOutcome.ACCEPTED
        and any(
            one.review is not None and one.review.reviewer in names
            for node in task.nodes
            for one in node.attempts
        )
    )


def needs_of_canaries(
    rates: Sequence[CanaryRate], distrusted: Sequence[str], *, closed: bool
) -> Iterator[Need]:
    """Yield what canaries leave for a person to do, most urgent first.

    Args:
        rates: every reviewer.
        distrusted: accepted tasks that rest on the word of a disqualified one.
        closed: whether the night came to its end.
    """
    if distrusted:
        count = len(distrusted)
        yield Need(
            urgency="now",
            title=f"{count} accepted {'change rests' if count == 1 else 'changes rest'} on a disqualified reviewer",
            why="They landed before the reviewer was caught passing known-bad changes. Read them, or take them back.",
            commands=tuple(
                f"pantheon undo {shlex.quote(key)} --reason 'rests on a disqualified reviewer'"
                for key in distrusted[:MAX_UNDONE]
            ),
            tasks=tuple(distrusted),
        )
    for one in rates:
        found = one.false_accept
        if one.disqualified:
            yield Need(
                urgency="now",
                title=f"{one.reviewer} was disqualified",
                why=f"It passed {found.hits} of {found.total} known-bad changes. Its verdicts of the night do not "
                "count: what waited for them is held.",
                commands=("pantheon review calibrate",),
            )
        elif one.short and closed:
            yield Need(
                urgency="today",
                title=f"{one.reviewer} was measured with {found.total} of at least {one.minimum} canaries",
                why=f"{one.missed} could not be judged, or the night ended before them: how far its word goes is not "
                "known for this night.",
                commands=("pantheon doctor",),
            )


def _closed(night: NightRecord) -> list[Standing]:
    found = []
    for one in items(night.summary.get(SUMMARY)):
        try:
            found.append(Standing.model_validate(one))
        except ValidationError:
            continue
    return found
