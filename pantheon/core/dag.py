"""One DAG over all tasks: flows instantiated, cross-task needs, levels and the critical path.

Invariants:
- a node's key is ``<task key>#<node id>``;
- the sources of a task that needs another depend on all sinks of that other task, so that levels and ranks inside a
  task are those of its flow, moved by what stands before and behind the task: each flow is measured once, and the
  graph library sees tasks, not nodes;
- a task that comes ``after`` another starts when that one has ended, however it ended;
- ``rank`` is the length of the longest path from a node to the end, the node itself included: dispatching the
  highest rank first is critical-path scheduling (Graham's list scheduling with the HLF rule).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from types import MappingProxyType

import networkx as nx

from pantheon.core.errors import FlowError
from pantheon.core.flow import Flow, FlowNode

Expect = Callable[[FlowNode], float]


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """One task as the plan sees it."""

    flow: Flow
    needs: tuple[str, ...] = ()
    """Keys of the tasks that must be accepted first."""
    after: tuple[str, ...] = ()
    """Keys of the tasks that must have ended first, because they write the same files."""
    priority: int = 0
    package: str = ""


@dataclass(frozen=True, slots=True)
class PlannedNode:
    """One vertex of the night's DAG."""

    key: str
    task: str
    """Task key."""
    node: FlowNode
    needs: tuple[str, ...] = ()
    """Keys of the nodes that must have succeeded."""
    after: tuple[str, ...] = ()
    """Keys of the nodes that must have ended, however they ended."""
    level: int = 0
    rank: float = 0.0
    """Seconds from its start to the end of the longest path it heads."""
    rest_s: float = 0.0
    """Seconds from its start to the end of its own task."""
    opening: str = ""
    """Name of the agent whose opening its prompts begin with; empty where it asks no model."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The night's DAG in topological order."""

    nodes: tuple[PlannedNode, ...]
    critical_path: tuple[str, ...] = ()
    """Keys along the longest path."""
    critical_s: float = 0.0
    """Length of that path in seconds of expected work."""

    @property
    def levels(self) -> int:
        """Number of levels."""
        return max((node.level for node in self.nodes), default=-1) + 1


def node_key(task: str, node: str) -> str:
    """Return the key of a node of a task."""
    return f"{task}#{node}"


def expected_seconds(node: FlowNode) -> float:
    """Return a node's duration by its author, or a guess: model work outweighs everything else."""
    if node.expected_s is not None:
        return node.expected_s
    return 20.0 if node.agent is not None else 0.2


def build_plan(
    tasks: Mapping[str, PlannedTask],
    expect: Expect = expected_seconds,
    openings: Mapping[str, str] = MappingProxyType({}),
) -> Plan:
    """Build the DAG over all tasks.

    Args:
        tasks: task key -> the task, in queue order.
        expect: expected duration of a node, in seconds.
        openings: agent -> the agent whose opening its prompts begin with; its own where it is not named.

    Raises:
        FlowError: a need does not exist, or the tasks need each other in a circle.
    """
    graph = _build_graph(tasks)
    place = {task: number for number, task in enumerate(tasks)}
    try:
        order = list(nx.lexicographical_topological_sort(graph, key=place.__getitem__))
    except nx.NetworkXUnfeasible as error:
        raise _circle_error(graph) from error
    shapes = _shapes(tasks.values(), expect)
    before: dict[str, int] = {}
    for key in order:
        before[key] = max(
            (before[one] + shapes[id(tasks[one].flow)].levels for one in graph.pred[key]), default=0
        )
    behind: dict[str, float] = {}
    for key in reversed(order):
        behind[key] = max(
            (behind[one] + shapes[id(tasks[one].flow)].length for one in graph.succ[key]), default=0.0
        )
    nodes = tuple(
        node for key in order for node in _instantiate(key, tasks, shapes, before[key], behind[key], openings)
    )
    path = _critical_path(nodes)
    return Plan(
        nodes=nodes, critical_path=tuple(node.key for node in path), critical_s=path[0].rank if path else 0.0
    )


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the plan needs to know of one flow."""

    order: tuple[FlowNode, ...]
    level: Mapping[str, int]
    rank: Mapping[str, float]
    levels: int
    length: float
    """Seconds of its longest path."""
    sinks: tuple[str, ...]


def _shapes(tasks: Iterable[PlannedTask], expect: Expect) -> dict[int, _Shape]:
    shapes: dict[int, _Shape] = {}
    for task in tasks:
        if id(task.flow) not in shapes:
            shapes[id(task.flow)] = _measure(task.flow, expect)
    return shapes


def _measure(flow: Flow, expect: Expect) -> _Shape:
    known = flow.nodes()
    order = [known[name] for name in TopologicalSorter({n.id: n.needs for n in flow.node}).static_order()]
    level: dict[str, int] = {}
    for node in order:
        level[node.id] = max((level[need] + 1 for need in node.needs), default=0)
    behind: dict[str, float] = {}
    rank: dict[str, float] = {}
    for node in reversed(order):
        rank[node.id] = expect(node) + behind.get(node.id, 0.0)
        for need in node.needs:
            behind[need] = max(behind.get(need, 0.0), rank[node.id])
    return _Shape(tuple(order), level, rank, max(level.values()) + 1, max(rank.values()), flow.sinks)


def _instantiate(
    key: str,
    tasks: Mapping[str, PlannedTask],
    shapes: Mapping[int, _Shape],
    before: int,
    behind: float,
    openings: Mapping[str, str],
) -> list[PlannedNode]:
    task = tasks[key]
    shape = shapes[id(task.flow)]

    def sinks(others: Sequence[str]) -> tuple[str, ...]:
        return tuple(
            sorted(node_key(other, sink) for other in others for sink in shapes[id(tasks[other].flow)].sinks)
        )

    needs, after = sinks(task.needs), sinks(task.after)
    return [
        PlannedNode(
            key=node_key(key, node.id),
            task=key,
            node=node,
            needs=tuple(node_key(key, need) for need in node.needs) if node.needs else needs,
            after=() if node.needs else after,
            level=before + shape.level[node.id],
            rank=shape.rank[node.id] + behind,
            rest_s=shape.rank[node.id],
            opening=openings.get(node.agent, node.agent) if node.agent else "",
        )
        for node in shape.order
    ]


def _build_graph(tasks: Mapping[str, PlannedTask]) -> "nx.DiGraph[str]":
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(tasks)
    for key, task in tasks.items():
        for other in (*task.needs, *task.after):
            if other not in tasks:
                raise FlowError(f"task {key} needs {other}, which is not part of this night")
            graph.add_edge(other, key)
    return graph


def _circle_error(graph: "nx.DiGraph[str]") -> FlowError:
    # Edges lead from what is needed to what needs it; people read the arrow as "needs".
    names = [edge[0] for edge in reversed(list(nx.find_cycle(graph)))]
    return FlowError("tasks need each other in a circle: " + " -> ".join([*names, names[0]]))


def _critical_path(nodes: Sequence[PlannedNode]) -> list[PlannedNode]:
    """Walk from the highest rank to the end; each step goes to the follower with the highest rank."""
    follower: dict[str, PlannedNode] = {}
    for node in nodes:
        for need in (*node.needs, *node.after):
            if need not in follower or node.rank > follower[need].rank:
                follower[need] = node
    path = [max(nodes, key=lambda node: node.rank)] if nodes else []
    while path and path[-1].key in follower:
        path.append(follower[path[-1].key])
    return path
