"""The only place that names adapters: it builds what commands and nights work with.

Every function imports what it builds when it is called, so that a quick command stays quick.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pantheon.adapters import beneath as beneath
from pantheon.adapters import probes as probes
from pantheon.adapters.git import listing as listing
from pantheon.adapters.layout import PlacedFile
from pantheon.core.catalogue import MODELS_FILE, Catalogue, ModelEntry, load_catalogue
from pantheon.core.errors import ConfigError, PreflightError
from pantheon.core.flow import Flow, load_flow
from pantheon.core.locality import check_endpoint_url
from pantheon.core.policy import (
    GATE_FILE,
    NIGHT_FILE,
    SLO_FILE,
    GatePolicy,
    NightPolicy,
    SloPolicy,
    load_policy,
    policy_digest,
)
from pantheon.ports.artifacts import ArtifactStore
from pantheon.ports.evidence import EvidenceReader
from pantheon.ports.signer import Signer
from pantheon.ports.store import Store
from pantheon.shell.config import FILE, Folders, Project, UserPaths, load_project
from pantheon.shell.environment import RELAY, environment

if TYPE_CHECKING:
    from pantheon.adapters.http_model import HttpModelClient
    from pantheon.core.agent import Agent
    from pantheon.engine.services import Content


def initial_files(folders: Folders) -> Mapping[str, bytes]:
    """Return what ``pantheon init`` lays out: relative path -> content.

    Args:
        folders: where the repository wants its content.

    Raises:
        ConfigError: the shipped content cannot be read.
    """
    from importlib.resources import files

    from pantheon.adapters.content import ROOMS, load_texts, shipped_content

    laid: dict[str, bytes] = {FILE: files("pantheon.shell").joinpath("content", FILE).read_bytes()}
    for room in ROOMS:
        target = getattr(folders, room)
        for path, data in load_texts(shipped_content() / room).items():
            laid[f"{target}/{path}"] = data
    everything = b"*\n"
    laid[f"{folders.artifacts}/.gitignore"] = everything
    laid[f"{folders.state}/.gitignore"] = everything
    return laid


def lay_out_repository(
    start: Path, overrides: Mapping[str, str], *, dry_run: bool
) -> tuple[Path, tuple[PlacedFile, ...]]:
    """Lay out the repository around ``start``; returns its top folder and what became of each file.

    Raises:
        ConfigError: ``start`` is in no repository or in a bare one, the existing configuration is wrong, or something
            is in the way.
    """
    from pantheon.adapters.layout import lay_out, make_folders

    root = listing.find_work_tree(start)
    configured = (root / FILE).is_file()
    folders = load_project(root, overrides).config.folders if configured else Folders()
    files = dict(initial_files(folders))
    if configured:
        # The owner is meant to edit this one: however it looks, it is the right one.
        files[FILE] = (root / FILE).read_bytes()
    if not dry_run:
        make_folders(root, {folders.queue: 0o755, folders.artifacts: 0o755, folders.state: 0o700})
    return root, lay_out(root, files, dry_run=dry_run)


@dataclass(frozen=True)
class Policies:
    """The three policies in force."""

    night: NightPolicy
    gate: GatePolicy
    slo: SloPolicy


def load_policies(project: Project) -> Policies:
    """Read the project's policies. Raises ``ConfigError`` naming file and key."""
    from pantheon.adapters.content import read_regular

    folder = project.policies
    return Policies(
        night=load_policy(NightPolicy, NIGHT_FILE, read_regular(folder / NIGHT_FILE)),
        gate=load_policy(GatePolicy, GATE_FILE, read_regular(folder / GATE_FILE)),
        slo=load_policy(SloPolicy, SLO_FILE, read_regular(folder / SLO_FILE)),
    )


def load_agents(project: Project) -> Mapping[str, "Agent"]:
    """Read the project's agents, by name. Raises ``ConfigError``, ``LocalityError``."""
    from pantheon.adapters.content import load_folders
    from pantheon.core.agent import load_agent  # with it comes the JSON Schema library, 50 ms

    agents: dict[str, Agent] = {}
    for folder, files in load_folders(project.agents).items():
        agent = load_agent(folder, files)
        agents[agent.spec.name] = agent
    return agents


def load_flows(project: Project) -> Mapping[str, Flow]:
    """Read the project's flows, by name. Raises ``ConfigError``, ``FlowError``."""
    from pantheon.adapters.content import load_texts

    flows: dict[str, Flow] = {}
    for file, data in load_texts(project.flows, "*.toml").items():
        flow = load_flow(file, data)
        if flow.name in flows:
            raise ConfigError(f"flows/{file}: a second flow is called {flow.name!r}")
        flows[flow.name] = flow
    return flows


def load_content(project: Project) -> "Content":
    """Read and validate everything a night pins. Raises ``ConfigError``, ``LocalityError``, ``FlowError``."""
    from pantheon.adapters.content import load_texts
    from pantheon.engine.services import Content

    agents, flows, policies = load_agents(project), load_flows(project), load_policies(project)
    texts = load_texts(project.policies, "*.toml")
    return Content(
        agents=agents,
        flows=flows,
        gate_policy=policies.gate,
        night_policy=policies.night,
        digests={
            "agents": {name: agent.digest for name, agent in agents.items()},
            "flows": {name: flow.digest for name, flow in flows.items()},
            "policies": {name: policy_digest(name, data) for name, data in texts.items()},
        },
    )


def project_signer(project: Project, user: UserPaths) -> Signer:
    """Return the user's signing key, made on first use. Raises ``SignatureError``."""
    from pantheon.adapters.keys import FileSigner

    return FileSigner.open(user.signing_key, outside=project.root)


def endpoint_address(project: Project) -> tuple[str, str | None]:
    """Return the configured server's base URL, and the Unix socket that leads to it where one does.

    Raises:
        LocalityError: the server is neither on this machine nor in a network that the policy names, or a variable
            names a relay that this process did not start.
    """
    endpoint = project.config.endpoint
    if endpoint.uds:
        return "http://localhost", endpoint.uds
    approved = check_endpoint_url(endpoint.url, load_policies(project).night.local_networks)
    if RELAY not in environment():
        return approved.base_url, None
    from pantheon.adapters.relay_check import check_own_relay

    return approved.base_url, str(check_own_relay(Path(environment()[RELAY]), RELAY))


def connect_endpoint(project: Project, *, model: str = "") -> "HttpModelClient":
    """Return a client for the configured server that runs already; connects when first used.

    Args:
        project: the configured repository.
        model: name to ask for; empty for the configured one.

    Raises:
        LocalityError: as ``endpoint_address``.
    """
    from pantheon.adapters.http_model import HttpModelClient

    endpoint = project.config.endpoint
    base_url, uds = endpoint_address(project)
    return HttpModelClient(
        endpoint.uds or base_url,
        base_url=base_url,
        uds=uds,
        model=model or endpoint.model,
        # One for each node that may ask, and some for the questions beside them.
        max_connections=project.config.slots["model"] + 4,
    )


def find_embedded_version() -> str:
    """Return the version of the embedded engine. Raises ``PreflightError`` when it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("xllamacpp")
    except PackageNotFoundError as error:
        raise PreflightError("the embedded engine is not installed", hint="pip install xllamacpp") from error


@asynccontextmanager
async def open_project_store(project: Project, *, write: bool) -> AsyncIterator[Store]:
    """Open the project's store for the length of a ``with``. Raises ``StoreError``."""
    from pantheon.adapters.clock import SystemClock
    from pantheon.adapters.store import open_store

    store = await open_store(project.database, SystemClock(), write=write)
    try:
        yield store
    finally:
        await store.aclose()


def project_evidence(project: Project) -> EvidenceReader:
    """Return a reader of all that attempts left behind."""
    from pantheon.adapters.artifact_reader import FolderEvidence

    return FolderEvidence(project.artifacts)


def project_artifacts(project: Project) -> ArtifactStore:
    """Return the folder that attempts and nights leave their artifacts in."""
    from pantheon.adapters.artifacts import ArtifactFolder

    return ArtifactFolder(project.artifacts)


async def find_night_holder(project: Project) -> str | None:
    """Return the process that runs a night over the project now, in words."""
    from pantheon.adapters.store import night_holder

    return await night_holder(project.database)


@asynccontextmanager
async def look_into_store(project: Project) -> AsyncIterator[Store | None]:
    """Open the project's store to read; None before the first batch. Raises ``StoreError``."""
    if not project.database.exists():
        yield None
        return
    async with open_project_store(project, write=False) as store:
        yield store


def read_catalogue(project: Project) -> Catalogue:
    """Read the project's catalogue of models. Raises ``ConfigError``."""
    from pantheon.adapters.content import read_regular

    return load_catalogue(f"policies/{MODELS_FILE}", read_regular(project.policies / MODELS_FILE))


def model_path(entry: ModelEntry, user: UserPaths) -> Path:
    """Return where the verified file of a model is, once it was fetched."""
    return user.models / f"{entry.sha256}.gguf"
