"""Flows: declared DAGs of nodes, and the routing of tasks to them.

Invariants:
- a node is exactly one of an agent, a tool and a gate;
- a flow is acyclic and every reference in it exists;
- routing is a function of the task alone: the flow it names, else the one flow that accepts its kind.

Source: DESIGN.md, section 5 ("A flow"); ADR 0002.
"""

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from pantheon.core.canonical import digest_bytes
from pantheon.core.errors import ConfigError, FlowError
from pantheon.core.model import Frozen
from pantheon.core.task import KIND_PATTERN, Task
from pantheon.core.toml import parse_toml
from pantheon.core.validation import explain

NODE_PATTERN = r"^[a-z][A-Za-z0-9._-]{0,63}$"


class FlowNode(Frozen):
    """One node of a flow."""

    id: str = Field(pattern=NODE_PATTERN)
    agent: str | None = None
    """Name of the agent that works here."""
    tool: str | None = None
    """Name of the tool that is called once."""
    args: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the tool; ``$target`` and its kin are resolved per task."""
    gate: Literal["check", "test", "decide", "merge"] | None = None
    """``check`` runs deterministic checks, ``test`` the repository's tests, ``decide`` weighs the evidence, and
    ``merge`` lands what was allowed."""
    needs: tuple[str, ...] = ()
    when: str | None = None
    """Glob over the task's first target; a node it does not match is passed over."""
    writes: bool = False
    """Whether the node may change files; a reader that does is failed."""
    timeout_s: int = Field(default=600, ge=1)
    expected_s: float | None = Field(default=None, gt=0, le=86_400, allow_inf_nan=False)
    """How long an attempt takes by the author's experience, in seconds; it only guides the order of starts."""
    retries: int = Field(default=1, ge=0, le=10)
    """Further attempts after a failure whose cause may pass."""
    resources: dict[str, int] = Field(default_factory=dict)
    """Slots the node holds while it runs."""

    @model_validator(mode="after")
    def _one_of(self) -> "FlowNode":
        if sum(value is not None for value in (self.agent, self.tool, self.gate)) != 1:
            raise ValueError("a node is exactly one of agent, tool and gate")
        if any(cost < 1 for cost in self.resources.values()):
            raise ValueError("resources: a cost is at least 1")
        return self


class Flow(Frozen):
    """A named DAG of nodes for some kinds of task."""

    name: str = Field(pattern=KIND_PATTERN)
    version: str = Field(default="1", min_length=1, max_length=32)
    accepts: tuple[str, ...] = Field(min_length=1)
    """Task kinds, as globs."""
    node: tuple[FlowNode, ...] = Field(min_length=1, max_length=200)
    digest: str = ""
    """SHA-256 of the file it came from."""

    @model_validator(mode="after")
    def _sound(self) -> "Flow":
        ids = [node.id for node in self.node]
        if twice := sorted({one for one in ids if ids.count(one) > 1}):
            raise ValueError(f"node {twice[0]!r} is declared twice")
        for node in self.node:
            if unknown := sorted(set(node.needs) - set(ids)):
                raise ValueError(f"node {node.id!r} needs {unknown[0]!r}, which does not exist")
        try:
            TopologicalSorter({node.id: node.needs for node in self.node}).prepare()
        except CycleError as error:
            raise ValueError("cycle: " + " -> ".join(error.args[1])) from error
        return self

    @property
    def sinks(self) -> tuple[str, ...]:
        """Nodes that no other node needs, in order of declaration."""
        needed = {need for node in self.node for need in node.needs}
        return tuple(node.id for node in self.node if node.id not in needed)

    def for_target(self, target: str) -> "Flow":
        """Return the flow without the nodes whose ``when`` the target does not match.

        What needed such a node needs what it needed.
        """
        kept = {n.id: n for n in self.node if n.when is None or fnmatchcase(target, n.when)}
        if len(kept) == len(self.node):
            return self
        known = self.nodes()

        def reach(ids: Iterable[str]) -> Iterator[str]:
            for one in ids:
                yield from (one,) if one in kept else reach(known[one].needs)

        nodes = tuple(
            node.model_copy(update={"needs": tuple(dict.fromkeys(reach(node.needs)))})
            for node in kept.values()
        )
        return self.model_copy(update={"node": nodes})

    def nodes(self) -> Mapping[str, FlowNode]:
        """Return id -> node."""
        return {node.id: node for node in self.node}


def load_flow(file_name: str, data: bytes) -> Flow:
    """Read one flow file.

    Raises:
        ConfigError: wrong TOML or a wrong value; the message names file and key.
        FlowError: the nodes are not a DAG.
    """
    where = f"flows/{file_name}"
    raw = parse_toml(where, data)
    if "digest" in raw:
        raise ConfigError(f"{where}: digest: unknown field")
    try:
        return Flow.model_validate({**raw, "digest": digest_bytes(data)})
    except ValidationError as error:
        lines = [f"{where}: {line.removeprefix('value: ')}" for line in explain(error)]
        kind = FlowError if any("cycle" in line for line in lines) else ConfigError
        raise kind("\n".join(lines)) from error


def route_task(task: Task, flows: Iterable[Flow]) -> Flow:
    """Return the flow of a task.

    Raises:
        FlowError: the flow it names does not exist, no flow accepts its kind, or several do.
    """
    known = sorted(flows, key=lambda flow: flow.name)
    names = ", ".join(flow.name for flow in known) or "none"
    if task.flow is not None:
        for flow in known:
            if flow.name == task.flow:
                return flow
        raise FlowError(f"no flow is called {task.flow!r} (flows: {names})")
    fitting = [f for f in known if any(fnmatchcase(task.kind or "", glob) for glob in f.accepts)]
    if not fitting:
        raise FlowError(f"no flow accepts the kind {task.kind!r} (flows: {names})")
    if len(fitting) > 1:
        both = " and ".join(flow.name for flow in fitting)
        raise FlowError(f"the kind {task.kind!r} is accepted by {both}; name one in the task's flow")
    return fitting[0]
