"""Figures of a night, as pure functions of what its attempts and reviews came to.

Invariants:
- every share carries its interval: twelve changes are not a percentage;
- infrastructure that broke is nobody's failure: crashed, interrupted and cancelled attempts count for no agent;
- tables have a bounded number of rows, whatever names a model made up.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pantheon.core.model import Frozen
from pantheon.core.records import AttemptOutcome, TaskOutcome

Z95 = 1.959963984540054
OTHER = "(other)"
JUDGED = frozenset({AttemptOutcome.SUCCEEDED, AttemptOutcome.FAILED, AttemptOutcome.TIMED_OUT})


class Rate(Frozen):
    """A share of counted things with its 95 % Wilson interval."""

    hits: int
    total: int
    share: float | None
    """None when there was nothing to count."""
    low: float
    high: float


class AttemptFacts(Frozen):
    """One attempt in numbers."""

    task: str
    """Key of the task."""
    node: str
    """Id of the node in its flow."""
    attempt: int
    outcome: AttemptOutcome | None
    """None while it runs."""
    started_at: datetime
    ended_at: datetime | None
    wall_s: float | None
    agent: str = ""
    version: str = ""
    calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    computed_tokens: int = 0
    completion_tokens: int = 0
    model_s: float = 0.0
    tool_errors: tuple[tuple[str, str], ...] = ()
    """(tool, error code) of each refused call."""


class NodeTiming(Frozen):
    """How long one node of a flow took, over all tasks."""

    node: str
    attempts: int
    median_s: float
    p95_s: float
    total_s: float


class ModelUse(Frozen):
    """What one agent asked of the model."""

    agent: str
    attempts: int
    calls: int
    prompt_tokens: int
    cached_tokens: int
    computed_tokens: int
    completion_tokens: int
    model_s: float


class AgentRate(Frozen):
    """How one version of an agent did."""

    agent: str
    version: str
    attempts: Rate
    """Of its attempts that ended on their own account, those that succeeded."""
    tasks: Rate
    """Of the tasks it worked on, those that were accepted."""


class ToolErrors(Frozen):
    """Refused tool calls: one row per tool, one column per error code."""

    codes: tuple[str, ...]
    rows: tuple[tuple[str, tuple[int, ...]], ...]
    """(tool, refusals per code), most first."""
    total: int


def wilson(hits: int, total: int) -> Rate:
    """Return a share with its 95 % interval.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    if total <= 0:
        return Rate(hits=0, total=0, share=None, low=0.0, high=1.0)
    share, square = hits / total, Z95 * Z95
    scale = 1 + square / total
    centre = (share + square / (2 * total)) / scale
    half = Z95 * math.sqrt(share * (1 - share) / total + square / (4 * total * total)) / scale
    return Rate(
        hits=hits, total=total, share=share, low=max(0.0, centre - half), high=min(1.0, centre + half)
    )


def quantile(values: Sequence[float], q: float) -> float:
    """Return the nearest-rank quantile of values that are not empty, with ``q`` in (0, 1]."""
    ordered = sorted(values)
    return ordered[max(math.ceil(q * len(ordered)), 1) - 1]


def time_nodes(attempts: Iterable[AttemptFacts]) -> tuple[NodeTiming, ...]:
    """Return the timing of each node, most time first."""
    walls: dict[str, list[float]] = defaultdict(list)
    for one in attempts:
        if one.wall_s is not None:
            walls[one.node].append(one.wall_s)
    rows = [
        NodeTiming(
            node=node,
            attempts=len(values),
            median_s=quantile(values, 0.5),
            p95_s=quantile(values, 0.95),
            total_s=math.fsum(values),
        )
        for node, values in walls.items()
    ]
    return tuple(sorted(rows, key=lambda row: (-row.total_s, row.node)))


def sum_model_use(attempts: Iterable[AttemptFacts]) -> tuple[ModelUse, ...]:
    """Return what each agent asked of the model, most time first; attempts without a call are left out."""
    groups: dict[str, list[AttemptFacts]] = defaultdict(list)
    for one in attempts:
        if one.calls:
            groups[one.agent or one.node].append(one)
    rows = [
        ModelUse(
            agent=agent,
            attempts=len(group),
            calls=sum(one.calls for one in group),
            prompt_tokens=sum(one.prompt_tokens for one in group),
            cached_tokens=sum(one.cached_tokens for one in group),
            computed_tokens=sum(one.computed_tokens for one in group),
            completion_tokens=sum(one.completion_tokens for one in group),
            model_s=math.fsum(one.model_s for one in group),
        )
        for agent, group in groups.items()
    ]
    return tuple(sorted(rows, key=lambda row: (-row.model_s, row.agent)))


def rate_agents(
    attempts: Iterable[AttemptFacts], outcomes: Mapping[str, TaskOutcome | None]
) -> tuple[AgentRate, ...]:
    """Return how each version of each agent did.

    Args:
        attempts: of the night.
        outcomes: task key -> what became of it; None and NOT_REACHED say nothing about an agent.
    """
    groups: dict[tuple[str, str], list[AttemptFacts]] = defaultdict(list)
    for one in attempts:
        if one.agent and one.outcome in JUDGED:
            groups[one.agent, one.version].append(one)
    rows = []
    for (agent, version), group in sorted(groups.items()):
        tasks = {one.task for one in group if outcomes.get(one.task) not in (None, TaskOutcome.NOT_REACHED)}
        accepted = sum(outcomes[task] is TaskOutcome.ACCEPTED for task in tasks)
        good = sum(one.outcome is AttemptOutcome.SUCCEEDED for one in group)
        rows.append(
            AgentRate(
                agent=agent,
                version=version,
                attempts=wilson(good, len(group)),
                tasks=wilson(accepted, len(tasks)),
            )
        )
    return tuple(rows)


def count_tool_errors(
    attempts: Iterable[AttemptFacts], *, max_tools: int = 20, max_codes: int = 10
) -> ToolErrors:
    """Return the table of refused tool calls; what does not fit goes into a last row or column of others."""
    counts = Counter(pair for one in attempts for pair in one.tool_errors)
    tools, codes = Counter[str](), Counter[str]()
    for (tool, code), count in counts.items():
        tools[tool] += count
        codes[code] += count
    kept_tools, kept_codes = _most(tools, max_tools), _most(codes, max_codes)
    cells = Counter[tuple[str, str]]()
    for (tool, code), count in counts.items():
        cells[tool if tool in kept_tools else OTHER, code if code in kept_codes else OTHER] += count
    rows = (*kept_tools, *((OTHER,) if len(tools) > len(kept_tools) else ()))
    columns = (*kept_codes, *((OTHER,) if len(codes) > len(kept_codes) else ()))
    return ToolErrors(
        codes=columns,
        rows=tuple((tool, tuple(cells[tool, code] for code in columns)) for tool in rows),
        total=counts.total(),
    )


def _most(counts: Counter[str], limit: int) -> tuple[str, ...]:
    return tuple(sorted(counts, key=lambda name: (-counts[name], name))[:limit])
