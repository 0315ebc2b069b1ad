"""One DAG over all tasks: flows instantiated, cross-task needs, levels and the critical path.

Invariants:
- a node's key is ``<task key>#<node id>``;
- the sources of a task that needs another depend on all sinks of that other task;
- ``rank`` is the length of the longest path from a node to a sink, the node itself included: dispatching the
  highest rank first is critical-path scheduling (Graham's list scheduling with the HLF rule).

networkx plans; the scheduler then works on plain tuples, so that the graph library stays out of the path of
each node.
"""

from collections.abc import Callable, Mapping, Sequence

import networkx as nx
from pydantic import Field

from pantheon.core.errors import FlowError
from pantheon.core.flow import Flow, FlowNode
from pantheon.core.model import Frozen
from pantheon.core.task import Task


class PlannedNode(Frozen):
    """One vertex of the night's DAG."""

    key: str
    task: str
    """Task key."""
    node: FlowNode
    needs: tuple[str, ...] = ()
    level: int = Field(ge=0)
    rank: float = Field(ge=0)
    """Seconds from its start to the end of the longest path it heads."""


class Plan(Frozen):
    """The night's DAG in topological order."""

    nodes: tuple[PlannedNode, ...]
    critical_path: tuple[str, ...]
    """Keys along the longest path."""
    critical_s: float
    """Length of that path in seconds of expected work."""

    @property
    def levels(self) -> int:
        """Number of levels."""
        return max((node.level for node in self.nodes), default=-1) + 1


def node_key(task: str, node: str) -> str:
    """Return the key of a node of a task."""
    return f"{task}#{node}"


def expected_seconds(node: FlowNode) -> float:
    """Guess a node's duration when nothing was measured: model work outweighs everything else."""
    return 20.0 if node.agent is not None else 0.2


def build_plan(
    tasks: Mapping[str, tuple[Task, Flow]],
    needs: Mapping[str, Sequence[str]],
    expect: Callable[[FlowNode], float] = expected_seconds,
) -> Plan:
    """Build the DAG over all tasks.

    Args:
        tasks: task key -> (task, its flow), in queue order.
        needs: task key -> keys of the tasks it needs; keys that are not in ``tasks`` are an error.
        expect: expected duration of a node, in seconds.

    Raises:
        FlowError: a need does not exist, or the tasks need each other in a circle.
    """
    graph = _build_graph(tasks, needs)
    _refuse_cycle(graph)
    order = list(nx.lexicographical_topological_sort(graph, key=lambda key: graph.nodes[key]["order"]))
    level: dict[str, int] = {}
    for key in order:
        level[key] = max((level[need] + 1 for need in graph.predecessors(key)), default=0)
    rank: dict[str, float] = {}
    for key in reversed(order):
        below = max((rank[after] for after in graph.successors(key)), default=0.0)
        rank[key] = expect(graph.nodes[key]["node"]) + below
    planned = tuple(
        PlannedNode(
            key=key,
            task=graph.nodes[key]["task"],
            node=graph.nodes[key]["node"],
            needs=tuple(sorted(graph.predecessors(key))),
            level=level[key],
            rank=rank[key],
        )
        for key in order
    )
    path = _critical_path(graph, rank)
    return Plan(nodes=planned, critical_path=path, critical_s=rank[path[0]] if path else 0.0)


def _build_graph(
    tasks: Mapping[str, tuple[Task, Flow]], needs: Mapping[str, Sequence[str]]
) -> "nx.DiGraph[str]":
    graph: nx.DiGraph[str] = nx.DiGraph()
    for task, (_, flow) in tasks.items():
        for node in flow.node:
            graph.add_node(node_key(task, node.id), task=task, node=node, order=graph.number_of_nodes())
        for node in flow.node:
            graph.add_edges_from((node_key(task, need), node_key(task, node.id)) for need in node.needs)
    for task, wanted in needs.items():
        for other in wanted:
            if other not in tasks:
                raise FlowError(f"task {task} needs {other}, which is not part of this night")
            sources = [node.id for node in tasks[task][1].node if not node.needs]
            graph.add_edges_from(
                (node_key(other, sink), node_key(task, source))
                for sink in tasks[other][1].sinks
                for source in sources
            )
    return graph


def _refuse_cycle(graph: "nx.DiGraph[str]") -> None:
    if nx.is_directed_acyclic_graph(graph):
        return
    # Edges lead from what is needed to what needs it; people read the arrow as "needs".
    circle = [edge[0].split("#")[0] for edge in reversed(list(nx.find_cycle(graph)))]
    names = list(dict.fromkeys(circle))
    raise FlowError("tasks need each other in a circle: " + " -> ".join([*names, names[0]]))


def _critical_path(graph: "nx.DiGraph[str]", rank: Mapping[str, float]) -> tuple[str, ...]:
    path: list[str] = []
    choices = [key for key in graph if graph.in_degree(key) == 0]
    while choices:
        path.append(max(choices, key=lambda key: (rank[key], -graph.nodes[key]["order"])))
        choices = list(graph.successors(path[-1]))
    return tuple(path)
