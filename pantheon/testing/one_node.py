"""One node of one task with everything around it in memory, for tests of what a node does."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pantheon.core.agent import Agent
from pantheon.core.flow import Flow
from pantheon.core.policy import GatePolicy, NightPolicy
from pantheon.core.task import Task
from pantheon.engine.services import Content, NightContext, NodeContext, Services
from pantheon.ports.worktree import Repository
from pantheon.testing.artifacts import FakeArtifacts
from pantheon.testing.clock import FakeClock
from pantheon.testing.model import FakeModel, Spoken
from pantheon.testing.signing import FakeSigner
from pantheon.testing.store import FakeStore
from pantheon.tools.registry import Registry


def services_around(
    repository: Repository,
    *,
    agents: Mapping[str, Agent] | None = None,
    flows: Mapping[str, Flow] | None = None,
    gate_policy: GatePolicy | None = None,
    **others: Any,
) -> Services:
    """Return services in memory around a repository.

    Args:
        repository: where the change is.
        agents: those of the content; by default none.
        flows: those of the content; by default none.
        gate_policy: the content's; by default the shipped one.
        others: fields of ``Services`` that a test cares about.
    """
    plain = Services(
        store=FakeStore(FakeClock()),
        repository=repository,
        artifacts=FakeArtifacts(),
        signer=FakeSigner(),
        clock=FakeClock(),
        model=FakeModel(lambda _: Spoken("{}")),
        tools=Registry(()),
        content=Content(
            agents=agents or {},
            flows=flows or {},
            gate_policy=gate_policy or GatePolicy(),
            night_policy=NightPolicy(),
            digests={},
        ),
    )
    return replace(plain, **others)


def only_node(
    flow: Flow,
    *,
    base: str,
    head: str,
    targets: tuple[str, ...] = (),
    inputs: Mapping[str, Any] | None = None,
) -> NodeContext:
    """Return the first node of a flow, about to work on the change from ``base`` to ``head``."""
    return NodeContext(
        night=NightContext(id="n", branch="b", base_commit=base, owner="test", lease_s=60.0),
        task_key="b/t",
        task=Task(id="t", kind="f", goal="g", targets=targets, inputs=dict(inputs or {})),
        flow=flow,
        node=flow.node[0],
        attempt=1,
        base_commit=base,
        input_commit=head,
        upstream={},
    )
