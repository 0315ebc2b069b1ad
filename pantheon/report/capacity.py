"""What earlier nights measured, read from the store for the capacity outlook.

Invariants:
- only closed nights count, and of them the newest; what ended by the machine's doing counts for no rate;
- a metric is what anybody may have written: of the wrong type it is nothing, never an error.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from pantheon.core.capacity_figures import Experience, NightResult
from pantheon.core.capacity_fit import CallCost
from pantheon.core.capacity_scaling import Pace, mean_in_flight
from pantheon.core.figures import JUDGED
from pantheon.core.records import AttemptRecord, NodeRecord, TaskOutcome, TaskRecord
from pantheon.core.visible import visible
from pantheon.ports.store import Store
from pantheon.report.reading import amount, count, mapping, number, text

MAX_NIGHTS = 14
MAX_DURATIONS = 20_000
"""Of each kind of work; the newest are kept."""
OWN_ACCOUNT = frozenset({TaskOutcome.ACCEPTED, TaskOutcome.DENIED, TaskOutcome.FAILED})
"""Outcomes that say something about who worked."""


Held = Mapping[str, Mapping[str, int]]
"""Work -> resource -> slots that an attempt holds."""
MODEL_ONLY: Mapping[str, int] = {"model": 1}
"""What an agent holds that no flow names any more."""


async def read_experience(store: Store, *, held: Held | None = None, nights: int = MAX_NIGHTS) -> Experience:
    """Return what the newest closed nights measured, one night in memory at a time. Raises ``StoreError``.

    Args:
        store: the truth.
        held: what each kind of work holds, by the flows in force; the store does not keep it.
        nights: how many nights to look back.
    """
    gathered = _Gathered(held or {})
    for night in [one for one in await store.nights() if one.closed_at is not None][-nights:]:
        tasks = await store.tasks(night=night.id)
        gathered.add(tasks, await store.nodes(night.id), await store.attempts(night.id))
    return gathered.experience()


class _Gathered:
    """Sums over nights."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self._nights = self._barren = 0
        self._paces: dict[tuple[str, str, int], list[float]] = defaultdict(lambda: [0.0] * 4)
        self._durations: dict[str, list[float]] = defaultdict(list)
        self._tasks: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        self._results: list[NightResult] = []
        self._costs: list[CallCost] = []
        self._tokens = Counter[str]()

    def add(
        self, tasks: Iterable[TaskRecord], nodes: Iterable[NodeRecord], attempts: Iterable[AttemptRecord]
    ) -> None:
        """Count one night."""
        outcomes = {task.key: task.outcome for task in tasks if task.outcome in OWN_ACCOUNT}
        accepted = sum(outcome is TaskOutcome.ACCEPTED for outcome in outcomes.values())
        known = {node.key: node for node in nodes}
        worked: dict[str, set[str]] = defaultdict(set)
        ended = 0
        attempts = list(attempts)
        self._pace(known, attempts)
        for one in attempts:
            if one.result is None or one.ended_at is None or one.result.outcome not in JUDGED:
                continue
            ended += 1
            node = known.get(one.node)
            metrics = mapping(one.result.metrics)
            agent, name = _work(one, node, metrics)
            self._durations[name].append(_wall_s(one, metrics))
            self._cost(metrics)
            if agent and node is not None:
                worked[agent].add(node.task)
        for agent, keys in worked.items():
            judged = keys & outcomes.keys()
            self._tasks[agent][0] += sum(outcomes[key] is TaskOutcome.ACCEPTED for key in judged)
            self._tasks[agent][1] += len(judged)
        if ended:
            self._nights += 1
            self._results.append(NightResult(judged=len(outcomes), accepted=accepted))
        elif attempts:
            self._barren += 1

    def _pace(self, known: Mapping[str, NodeRecord], attempts: Iterable[AttemptRecord]) -> None:
        """Count how long work took by what ran beside it; what crashed beside it was there as well."""
        spans: dict[str, list[tuple[float, float, int]]] = defaultdict(list)
        done: dict[str, list[tuple[str, float, float] | None]] = defaultdict(list)
        for one in attempts:
            if one.result is None or one.ended_at is None:
                continue
            metrics = mapping(one.result.metrics)
            agent, name = _work(one, known.get(one.node), metrics)
            # An agent's answers differ in length; what it wrote is its work. Anything else does one thing each time.
            units = float(count(metrics.get("completion_tokens"))) if agent else 1.0
            counts = one.result.outcome in JUDGED and units > 0
            for resource, slots in self._held.get(name, MODEL_ONLY if agent else {}).items():
                spans[resource].append((*_span(one, metrics), slots))
                done[resource].append((name, _wall_s(one, metrics), units) if counts else None)
        for resource, lasted in spans.items():
            for in_flight, what in zip(mean_in_flight(lasted), done[resource], strict=True):
                if what is not None and what[1] > 0:
                    bin_of = self._paces[resource, what[0], round(in_flight)]
                    for place, value in enumerate((in_flight, 1.0, what[1], what[2])):
                        bin_of[place] += value

    def _cost(self, metrics: Any) -> None:
        calls = count(metrics.get("calls"))
        if not calls:
            return
        prompt, cached = count(metrics.get("prompt_tokens")), count(metrics.get("cached_tokens"))
        written = count(metrics.get("completion_tokens"))
        self._tokens.update(calls=calls, prompt=prompt, written=written)
        self._costs.append(CallCost(calls, max(prompt - cached, 0), written, amount(metrics.get("model_s"))))

    def experience(self) -> Experience:
        """Return what came together."""
        calls = max(self._tokens["calls"], 1)
        return Experience(
            nights=self._nights,
            barren_nights=self._barren,
            paces={
                resource: tuple(
                    Pace(work, total / number, int(number), seconds, units)
                    for (where, work, _), (total, number, seconds, units) in sorted(self._paces.items())
                    if where == resource
                )
                for resource in {where for where, _, _ in self._paces}
            },
            durations={name: tuple(found[-MAX_DURATIONS:]) for name, found in self._durations.items()},
            tasks={agent: (accepted, judged) for agent, (accepted, judged) in self._tasks.items()},
            results=tuple(self._results),
            costs=tuple(self._costs[-MAX_DURATIONS:]),
            mean_prompt_tokens=self._tokens["prompt"] / calls,
            mean_completion_tokens=self._tokens["written"] / calls,
        )


def _work(attempt: AttemptRecord, node: NodeRecord | None, metrics: Mapping[str, Any]) -> tuple[str, str]:
    """Return an attempt's agent, empty for none, and the name under which its durations are kept."""
    agent = text(metrics.get("agent"), 200).partition("@")[0]
    return agent, agent or visible(node.node if node is not None else attempt.node.rpartition("#")[2])


def _span(attempt: AttemptRecord, metrics: Mapping[str, Any]) -> tuple[float, float]:
    """Return when an attempt held its slots: they are free again while what it came to is being recorded."""
    assert attempt.ended_at is not None
    start, end = attempt.started_at.timestamp(), attempt.ended_at.timestamp()
    return start, min(end, start + (amount(metrics.get("wall_s")) or end - start))


def _wall_s(attempt: AttemptRecord, metrics: Any) -> float:
    wall_s = number(metrics.get("wall_s"))
    if wall_s is not None and wall_s >= 0:
        return wall_s
    assert attempt.ended_at is not None
    return max((attempt.ended_at - attempt.started_at).total_seconds(), 0.0)
