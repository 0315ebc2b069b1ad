"""The Gantt chart's geometry: attempts packed into lanes, as numbers for an inline SVG.

A small night has a row per task; a large one only the lanes that the work needs, because a thousand rows are
no picture.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from pantheon.core.figures import AttemptFacts
from pantheon.core.model import Frozen
from pantheon.core.records import AttemptOutcome
from pantheon.report.model import Report, TaskShown

ROWS_BY_TASK = 60
MAX_BARS = 3_000
COLOURS = 8
"""Classes ``c0`` to ``c7`` of the style; further nodes share the last one."""
WIDTH, LABEL, LANE, GAP = 1000.0, 150.0, 11.0, 6.0
TICKS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400)


class Bar(Frozen):
    """One attempt in the chart."""

    x: float
    y: float
    width: float
    colour: int
    failed: bool
    anchor: str
    title: str


class Chart(Frozen):
    """The whole chart, in SVG units."""

    width: float
    height: float
    left: float
    lane: float
    bars: tuple[Bar, ...]
    labels: tuple[tuple[float, str, str], ...]
    """(y, text, anchor) of each row."""
    ticks: tuple[tuple[float, str], ...]
    hours: bool
    """Whether ticks are hours and minutes, not minutes and seconds."""
    legend: tuple[tuple[int, str], ...]
    """(colour, node)."""
    left_out: int
    """Attempts too many, or without a time; the shortest are left out first."""


def draw_gantt(report: Report) -> Chart | None:
    """Return the chart of a night; None when no attempt has a length."""
    every = [(task, one.facts) for task in report.tasks for node in task.nodes for one in node.attempts]
    ended = [(task, one) for task, one in every if one.ended_at is not None]
    timed = sorted(ended, key=lambda pair: _length(pair[1]), reverse=True)[:MAX_BARS]
    if not timed:
        return None
    start = min(one.started_at for _, one in timed)
    span_s = max(max((_end(one) - start).total_seconds() for _, one in timed), 0.001)
    nodes = _node_order(report)
    by_task = len(report.tasks) <= ROWS_BY_TASK
    left = LABEL if by_task else 0.0
    rows: dict[str, list[tuple[TaskShown, AttemptFacts]]] = defaultdict(list)
    for task, one in sorted(timed, key=lambda pair: pair[1].started_at):
        rows[task.anchor if by_task else ""].append((task, one))
    bars: list[Bar] = []
    labels: list[tuple[float, str, str]] = []
    y = 0.0
    scale = (WIDTH - left) / span_s
    for group in rows.values():
        if by_task:
            labels.append((y + LANE - 2, group[0][0].label, group[0][0].anchor))
        lanes = _pack([one for _, one in group])
        for (task, one), lane in zip(group, lanes, strict=True):
            length_s = _length(one)
            bars.append(
                Bar(
                    x=round(left + (one.started_at - start).total_seconds() * scale, 2),
                    y=y + lane * LANE,
                    width=round(max(length_s * scale, 1.0), 2),
                    colour=min(nodes.index(one.node), COLOURS - 1),
                    failed=one.outcome is not AttemptOutcome.SUCCEEDED,
                    anchor=task.anchor,
                    title=f"{task.label} {one.node} attempt {one.attempt}: "
                    f"{one.outcome or 'running'}, {length_s:.1f} s",
                )
            )
        y += (max(lanes) + 1) * LANE + GAP
    shown = nodes[:COLOURS]
    legend = [(place, name) for place, name in enumerate(shown)]
    if len(nodes) > COLOURS:
        legend[-1] = (COLOURS - 1, f"{legend[-1][1]} and others")
    return Chart(
        width=WIDTH,
        height=y + 20,
        left=left,
        lane=LANE - 2,
        bars=tuple(bars),
        labels=tuple(labels),
        ticks=_ticks(span_s, left, scale),
        hours=span_s >= 3600,
        legend=tuple(legend),
        left_out=len(every) - len(timed),
    )


def say_seconds(seconds: float) -> str:
    """Return a duration as people say it: ``40 ms``, ``0.4 s``, ``12 s``, ``3 m 05 s``, ``2 h 10 m``."""
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} m"


def _length(one: AttemptFacts) -> float:
    return max((_end(one) - one.started_at).total_seconds(), 0.0)


def _end(one: AttemptFacts) -> datetime:
    return one.ended_at if one.ended_at is not None else one.started_at


def _node_order(report: Report) -> list[str]:
    return list(dict.fromkeys(node.node for task in report.tasks for node in task.nodes))


def _pack(group: Sequence[AttemptFacts]) -> list[int]:
    """Return the lane of each attempt, in order of their starts: the first lane that is free."""
    free: list[datetime] = []
    lanes = []
    for one in group:
        end = max(_end(one), one.started_at + timedelta(milliseconds=1))
        lane = next((n for n, until in enumerate(free) if until <= one.started_at), len(free))
        if lane == len(free):
            free.append(end)
        else:
            free[lane] = end
        lanes.append(lane)
    return lanes


def _ticks(span_s: float, left: float, scale: float) -> tuple[tuple[float, str], ...]:
    every = next((tick for tick in TICKS_S if span_s / tick <= 9), TICKS_S[-1])
    if span_s / every > 60:
        return ()
    unit = 60 if span_s >= 3600 else 1
    return tuple(
        (round(left + place * every * scale, 2), "{}:{:02}".format(*divmod(place * every // unit, 60)))
        for place in range(int(span_s / every) + 1)
    )
