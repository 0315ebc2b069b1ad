"""What the use cases of a night work with: the ports and the content in force, in one frozen value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pantheon.core.agent import Agent
from pantheon.core.errors import TransitionError
from pantheon.core.flow import Flow, FlowNode
from pantheon.core.policy import GatePolicy, NightPolicy
from pantheon.core.qualification import Qualified
from pantheon.core.task import Task
from pantheon.engine.ledger import NightLedger
from pantheon.engine.suite_runner import SuiteRunner
from pantheon.ports.artifacts import ArtifactStore
from pantheon.ports.clock import Clock
from pantheon.ports.model import ModelClient
from pantheon.ports.server import ModelServer
from pantheon.ports.signer import NightSigner, Signer
from pantheon.ports.store import Store
from pantheon.ports.worktree import Repository
from pantheon.tools.registry import Registry


@dataclass(frozen=True)
class Content:
    """The declared content in force: what a night pins."""

    agents: Mapping[str, Agent]
    flows: Mapping[str, Flow]
    gate_policy: GatePolicy
    night_policy: NightPolicy
    digests: Mapping[str, Mapping[str, str]]
    """``agents``, ``flows``, ``policies`` -> name -> SHA-256."""

    @property
    def reviewers(self) -> tuple[str, ...]:
        """Names of the agents that give verdicts."""
        return tuple(sorted(name for name, agent in self.agents.items() if agent.spec.role == "reviewer"))


@dataclass(frozen=True)
class Services:
    """Ports and content of one night."""

    store: Store
    repository: Repository
    artifacts: ArtifactStore
    signer: Signer | NightSigner
    """Whose public key the batches must be signed with."""
    clock: Clock
    model: ModelClient
    tools: Registry
    content: Content
    open_ledger: NightLedger | None = None
    """The ledger of the night under way; None before it is opened."""
    server: ModelServer | None = None
    """The process behind ``model``, where it is ours to start again."""
    suites: SuiteRunner | None = None
    """Runs the repository's tests; None where no flow has them run."""

    peers: Mapping[str, ModelClient] = field(default_factory=dict)
    """Reviewer -> who answers it, where that is not ``model``."""
    qualified: Qualified | None = None
    """Whose word counts, and from which strength on; None: everybody's, which no night of the command line has."""

    @property
    def ledger(self) -> NightLedger:
        """The ledger of the night under way.

        Raises:
            TransitionError: it is not open, so that nothing can be attested.
        """
        if self.open_ledger is None:
            raise TransitionError("no night's ledger is open")
        return self.open_ledger


@dataclass(frozen=True)
class NightContext:
    """The night under way."""

    id: str
    branch: str
    base_commit: str
    owner: str
    """Names this process in leases."""
    lease_s: float


@dataclass(frozen=True)
class NodeContext:
    """One node about to be executed."""

    night: NightContext
    task_key: str
    task: Task
    flow: Flow
    node: FlowNode
    attempt: int
    base_commit: str
    """Where the task's change starts."""
    input_commit: str
    """The merge of the commits of the nodes it needs."""
    upstream: Mapping[str, Mapping[str, Any]]
    """Node id -> output of every node of the task that succeeded so far."""
    conflict: str = ""
    """Why the commits of the nodes it needs do not merge; empty when they do."""
