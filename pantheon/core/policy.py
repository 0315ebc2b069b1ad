"""Policies: what the owner of the repository lets a night do, as values.

Invariants:
- a policy is read whole or refused: an unknown key or a wrong value is an error, never a default;
- every number has its unit in its name or its sentence.

Source: DESIGN.md, sections 5 ("A policy"), 9 and 10.
"""

from functools import cached_property
from ipaddress import ip_network
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, StringConstraints, ValidationError, model_validator

from pantheon.core.bubblewrap import parse_reads
from pantheon.core.budget import Ceilings, Usage
from pantheon.core.canaries import CanaryPolicy
from pantheon.core.canonical import digest_bytes, digest_value
from pantheon.core.containment import Containment
from pantheon.core.errors import ConfigError, LocalityError
from pantheon.core.file_checks import GENERATED
from pantheon.core.locality import check_local_network
from pantheon.core.merge_queue import MergePolicy
from pantheon.core.model import Frozen
from pantheon.core.protected import PROTECTED, check_patterns
from pantheon.core.sandbox import SandboxKind
from pantheon.core.standard import Standard
from pantheon.core.suite import SuitePolicy
from pantheon.core.toml import parse_toml
from pantheon.core.validation import explain
from pantheon.core.window import MergeWindowPolicy, WindowPolicy

NIGHT_FILE, GATE_FILE, SLO_FILE = "night.toml", "gate.toml", "slo.toml"
WINDOWS = frozenset({"window", "merge_window"})
"""Sections of ``night.toml`` that no batch pins."""

Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
Share = Annotated[float, Field(ge=0, le=1)]


def _network(text: str) -> str:
    try:
        return str(check_local_network(text))
    except LocalityError as error:
        raise ValueError(error.message) from error


def _reads(paths: tuple[str, ...]) -> tuple[str, ...]:
    parse_reads(paths)
    return paths


class NightBudget(Frozen):
    """What a night may use (docs/budgets.md). A ceiling of the whole night ends it with work left (exit code 5)."""

    wall_s: int = Field(default=28_800, ge=60, le=604_800)
    """Seconds after which nothing new starts."""
    output_tokens: int = Field(default=2_000_000, ge=1_000)
    """Tokens that all models together may write."""
    steps: int | None = Field(default=None, ge=1)
    """Steps that all agents together may take; None is no ceiling."""
    server_s: int | None = Field(default=None, ge=1)
    """Seconds that calls to model servers may take, added up; None is no ceiling."""
    package: dict[str, Ceilings] = Field(default_factory=dict, max_length=1_000)
    """Package -> its own ceilings."""
    task: Ceilings = Field(default_factory=Ceilings)
    """Ceilings of each task."""
    agent: dict[str, Ceilings] = Field(default_factory=dict, max_length=1_000)
    """Agent -> its own ceilings over the whole night."""

    def reached(self, used: Usage, worked_s: float) -> bool:
        """Tell whether a ceiling of the whole night is reached.

        Args:
            used: what the night's attempts have used.
            worked_s: seconds in which the night worked, however many attempts ran at once.
        """
        return worked_s >= self.wall_s or bool(self._whole.reached(used))

    @cached_property
    def _whole(self) -> Ceilings:
        # Asked after every attempt; ``wall_s`` of a night is no sum of what attempts took.
        return Ceilings(steps=self.steps, output_tokens=self.output_tokens, server_s=self.server_s)


class EnvironmentPolicy(Frozen):
    """What child processes of the night see of the environment."""

    allow: tuple[Variable, ...] = (
        "CUDA_VISIBLE_DEVICES", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ",
    )  # fmt: skip
    """Names that are passed on; everything else is dropped."""
    credentials: Literal["refuse", "strip"] = "refuse"
    """What cloud credentials in the environment do: keep a night from starting, or be taken out of it."""


class NightPolicy(Frozen):
    """``policies/night.toml``."""

    containment: Containment = Containment.NETNS
    """How a night is kept on the machine (docs/containment.md); there is no way to do without."""
    local_networks: tuple[Annotated[str, AfterValidator(_network)], ...] = Field(default=(), max_length=16)
    """Private networks in CIDR notation that a model server may be in; empty: this machine only. With
    ``containment = "firewall"``: single addresses, for there is a rule for each."""
    sandbox: SandboxKind = SandboxKind.BUBBLEWRAP
    """What code of the repository runs in (docs/sandbox.md); the report says so when that is nothing."""
    sandbox_reads: Annotated[tuple[str, ...], AfterValidator(_reads)] = Field(default=(), max_length=32)
    """Absolute paths outside the candidate tree that such code may read, for example a virtual environment."""
    window: WindowPolicy | None = None
    """When the daemon may run nights; None: always."""
    merge_window: MergeWindowPolicy | None = None
    """When what the gate allowed may land, in every night; None: at once."""
    budget: NightBudget = Field(default_factory=NightBudget)
    environment: EnvironmentPolicy = Field(default_factory=EnvironmentPolicy)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The single addresses among ``local_networks``."""
        networks = map(ip_network, self.local_networks)
        return tuple(str(one.network_address) for one in networks if one.num_addresses == 1)

    @model_validator(mode="after")
    def _firewall_by_address(self) -> Self:
        if self.containment is Containment.FIREWALL:
            if not self.local_networks:
                raise ValueError('local_networks: containment = "firewall" needs the model server\'s address')
            if len(self.addresses) < len(self.local_networks):
                raise ValueError('local_networks: with containment = "firewall", single addresses only')
        return self


class GatePolicy(Frozen):
    """``policies/gate.toml``: what a change must be before reviewers' verdicts count at all."""

    reviewers: int = Field(default=2, ge=2, le=8)
    """Distinct reviewers that must all pass a change."""
    max_files: int = Field(default=40, ge=1, le=10_000)
    """Files that one change may touch."""
    max_changed_lines: int = Field(default=400, ge=1, le=1_000_000)
    """Added and removed lines of one change together."""
    max_diff_bytes: int = Field(default=200_000, ge=1_000, le=50_000_000)
    """A larger diff is denied, not cut."""
    protected: Annotated[tuple[str, ...], AfterValidator(check_patterns)] = Field(
        default=PROTECTED, max_length=200
    )
    """Paths that no change may touch, as in ``.gitignore``; a change that does is for a person."""
    generated: Annotated[tuple[str, ...], AfterValidator(check_patterns)] = Field(
        default=GENERATED, max_length=200
    )
    """Names of files that tools make, as in ``.gitignore``; no change is made in them by hand."""
    hold: frozenset[Literal["generated", "licence", "protected", "size", "tests_kept"]] = frozenset()
    """Checks whose refusal holds a change for a person, reviewed, instead of denying it; neither lands."""
    tests: SuitePolicy | None = None
    """How the repository's own tests are run; None: no flow may have a test node."""
    merge: MergePolicy = Field(default_factory=MergePolicy)
    """How what was allowed lands."""
    qualification: Standard = Field(default_factory=Standard)
    """What a calibration must show before a reviewer's word counts (docs/calibration.md)."""
    canaries: CanaryPolicy = Field(default_factory=CanaryPolicy)
    """Known-bad changes that are put before the reviewers among the real ones (docs/canaries.md)."""


class SloPolicy(Frozen):
    """``policies/slo.toml``: what the owner expects of a good night; missing it is said, never hidden."""

    accepted_share: Share = 0.7
    """Least share of tasks accepted, of those that were offered and had something to do."""
    attempt_p95_s: float = Field(default=300, gt=0)
    """Most seconds that 95 of 100 attempts take."""
    infrastructure_share: Share = 0.02
    """Most attempts that end crashed or interrupted, as a share."""


def policy_digest(file_name: str, data: bytes) -> str:
    """Return the digest that batches pin of one policy file.

    Of ``night.toml`` what it says counts, without its windows: when nights run and land is no part of what they may do,
    and a holiday's other hours must not make every batch that waits a stranger.

    Raises:
        ConfigError: ``night.toml`` is not TOML, or holds a number that no other reader would read so.
    """
    if file_name != NIGHT_FILE:
        return digest_bytes(data)
    where = f"policies/{file_name}"
    try:
        said = parse_toml(where, data)
        return digest_value({key: value for key, value in said.items() if key not in WINDOWS})
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


P = TypeVar("P", NightPolicy, GatePolicy, SloPolicy)


def load_policy(model: type[P], file_name: str, data: bytes) -> P:
    """Read one policy file.

    Raises:
        ConfigError: wrong TOML or a wrong value; every problem is named with file and key.
    """
    where = f"policies/{file_name}"
    try:
        return model.model_validate(parse_toml(where, data))
    except ValidationError as error:
        raise ConfigError("\n".join(f"{where}: {line}" for line in explain(error))) from error
