"""The night's half of the wiring: builds the services of a night from a project, and takes them down again."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from pantheon.adapters.artifacts import ArtifactFolder
from pantheon.adapters.base_runs import BaseRunFolder
from pantheon.adapters.clock import SystemClock
from pantheon.adapters.git.repository import NightRepository
from pantheon.adapters.http_model import HttpModelClient
from pantheon.adapters.store import hold_night, open_store
from pantheon.core.canonical import digest_value
from pantheon.core.contained import SandboxInForce
from pantheon.core.errors import ConfigError
from pantheon.core.flow import Flow
from pantheon.core.merge_queue import why_too_short
from pantheon.engine.checks import CHECKS
from pantheon.engine.drains import Drains
from pantheon.engine.services import Content, Services
from pantheon.engine.suite_runner import SuiteRunner
from pantheon.ports.clock import Clock
from pantheon.ports.model import ModelClient
from pantheon.ports.queue import QueueFolder
from pantheon.ports.server import ModelServer
from pantheon.ports.signer import NightSigner
from pantheon.ports.store import Store
from pantheon.ports.worktree import Repository
from pantheon.shell.config import Project, UserPaths
from pantheon.shell.judges import judges_in_force
from pantheon.shell.logs import configure_logs
from pantheon.shell.model_wiring import embedded_server
from pantheon.shell.peer_wiring import peer_models
from pantheon.shell.pool_wiring import open_pool, pool_wanted, refuse_other_models
from pantheon.shell.queue_wiring import project_queue
from pantheon.shell.repository_checks import refuse_repository
from pantheon.shell.sandbox_wiring import open_sandbox
from pantheon.shell.server_wiring import require_server
from pantheon.shell.signer_wiring import open_signer
from pantheon.shell.wiring import connect_endpoint, load_content
from pantheon.tools.notes import NOTE_TOOLS
from pantheon.tools.registry import Registry

Say = Callable[[str], None]


@dataclass(frozen=True)
class NightServices:
    """Everything a night needs."""

    services: Services
    queue: QueueFolder
    owner: str
    """This process, in leases."""
    signer: NightSigner
    sandbox: SandboxInForce
    """What code of the repository runs in."""


@asynccontextmanager
async def open_night_services(project: Project, user: UserPaths, *, say: Say) -> AsyncIterator[NightServices]:
    """Build the services of a night; what was started is stopped on the way out.

    Args:
        project: the configured repository.
        user: the user's own folders.
        say: told what takes time.

    Raises:
        PreflightError: the repository is another user's, read-only or without its state; the model is missing, or a
            server does not answer.
        ConfigError, LocalityError, FlowError: the content is wrong.
        GitError, StoreError, SignatureError: the repository, the store or the key cannot be used; another night
            is running.
    """
    configure_logs()
    clock = SystemClock()
    content = load_content(project)
    await asyncio.to_thread(refuse_repository, project, user)
    tools = Registry(NOTE_TOOLS)
    check_references(content, tools, project.config.slots)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(hold_night(project.database, clock))
        store = await open_store(project.database, clock, write=True)
        stack.push_async_callback(store.aclose)
        repository = await NightRepository.open(
            project.root, project.state, trees=_trees(project), clock=clock
        )
        model, server = await stack.enter_async_context(_model(project, user, content, store, say))
        peers = await stack.enter_async_context(peer_models(project, user, say=say))
        # After the models, which may take minutes: a signer that is a service does not wait for who says nothing.
        signer = await stack.enter_async_context(open_signer(project, user, clock))
        suites, sandbox = await _suites(project, content, repository, clock)
        services = Services(
            store=store,
            repository=repository,
            artifacts=ArtifactFolder(project.artifacts),
            signer=signer,
            clock=clock,
            model=model,
            server=server,
            tools=tools,
            content=content,
            suites=suites,
            peers=peers,
            qualified=await judges_in_force(project, model),
        )
        yield NightServices(
            services=services,
            queue=project_queue(project),
            owner=f"{socket.gethostname()}:{os.getpid()}",
            signer=signer,
            sandbox=sandbox,
        )


def check_references(content: Content, tools: Registry, slots: Mapping[str, int]) -> None:
    """Refuse flows and agents that name what does not exist, and nodes that no slots would ever be free for.

    Raises:
        ConfigError: naming both ends.
    """
    for flow in content.flows.values():
        for node in flow.node:
            where = f"flows/{flow.name}: node {node.id!r}"
            if node.tool is not None and node.tool not in tools.names:
                raise ConfigError(
                    f"{where}: no tool is called {node.tool!r} (tools: {', '.join(tools.names)})"
                )
            if node.agent is not None and node.agent not in content.agents:
                raise ConfigError(f"{where}: no agent is called {node.agent!r}")
            for name, cost in node.resources.items():
                if cost > slots.get(name, cost):
                    raise ConfigError(f"{where}: needs {cost} of {name!r}, but night.slots has {slots[name]}")
            for name in node.args.get("checks", ()) if node.gate == "check" else ():
                if name not in CHECKS:
                    raise ConfigError(f"{where}: no check is called {name!r} (checks: {', '.join(CHECKS)})")
            if node.gate == "test" and content.gate_policy.tests is None:
                raise ConfigError(f"{where}: policies/gate.toml: tests: missing; it names the command to run")
            if short := why_too_short(node, flow, content.gate_policy.tests):
                raise ConfigError(f"{where}: {short}")
        _check_gates(flow)
    for agent in content.agents.values():
        calls = [*agent.spec.tools, *(call.tool for call in (*agent.spec.prefetch, *agent.spec.apply))]
        for name in calls:
            if name not in tools.names:
                raise ConfigError(f"agents/{agent.spec.name}: no tool is called {name!r}")
        if agent.spec.shares_prefix_of and agent.spec.shares_prefix_of not in content.agents:
            raise ConfigError(
                f"agents/{agent.spec.name}: shares_prefix_of: no agent is called {agent.spec.shares_prefix_of!r}"
            )


def _check_gates(flow: Flow) -> None:
    """Refuse a flow that could merge without a decision, or decide without checks."""
    gates = {node.gate for node in flow.node if node.gate is not None}
    if "merge" in gates and "decide" not in gates:
        raise ConfigError(f"flows/{flow.name}: a merge needs a node with gate = 'decide' before it")
    if "decide" in gates and "check" not in gates:
        raise ConfigError(f"flows/{flow.name}: a decision needs a node with gate = 'check' before it")


async def _suites(
    project: Project, content: Content, repository: Repository, clock: Clock
) -> tuple[SuiteRunner | None, SandboxInForce]:
    """Return what runs the repository's tests, None where no flow asks for it, and what it runs them in.

    Raises:
        PreflightError: the sandbox is missing or does not hold.
    """
    if all(node.gate != "test" for flow in content.flows.values() for node in flow.node):
        return None, SandboxInForce(kind=content.night_policy.sandbox)
    policy = content.night_policy
    sandbox, proof = await open_sandbox(policy, clock)
    made_of = {"proof": proof.model_dump(mode="json"), "reads": list(policy.sandbox_reads)}
    runs = BaseRunFolder(project.state / "base_runs")
    runner = SuiteRunner(repository, sandbox, digest_value(made_of), runs)
    return runner, SandboxInForce(kind=proof.kind, proof=proof)


@asynccontextmanager
async def _model(
    project: Project, user: UserPaths, content: Content, store: Store, say: Say
) -> AsyncIterator[tuple[ModelClient, ModelServer | None]]:
    if project.config.endpoint.kind == "openai" and pool_wanted(project, content):
        async with open_pool(project, content, say=say, read_drains=Drains(store).read) as pool:
            yield pool, None
        return
    refuse_other_models(project, content)
    if project.config.endpoint.kind == "openai":
        client = connect_endpoint(project)
        try:
            found = await require_server(project, client, content)
            say(f"using {client.endpoint}, which serves {found.model}")
            for missing in found.describe():
                say(missing)
            yield client, None
        finally:
            await client.aclose()
        return
    async with embedded_server(project, user, say=say) as running:
        client = HttpModelClient(
            f"embedded {project.config.model}", base_url=running.base_url, uds=str(running.socket)
        )
        try:
            await require_server(project, client, content)
            yield client, running
        finally:
            await client.aclose()


def _trees(project: Project) -> int:
    """Return how many work trees may be in use at once: as many as nodes that can run at once."""
    return max(sum(project.config.slots.values()), 2)
