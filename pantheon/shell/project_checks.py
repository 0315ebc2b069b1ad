"""The questions of ``pantheon doctor`` about one project: will tonight's night find what it needs?"""

import asyncio
from collections.abc import Mapping
from functools import partial

from pantheon.core.sandbox import SandboxKind
from pantheon.core.server_capabilities import refuse_without
from pantheon.engine.preflight import QueueProblem, sort_problems
from pantheon.shell import wiring
from pantheon.shell.checks import Finding, Grade, Question
from pantheon.shell.config import Project, UserPaths
from pantheon.shell.containment_checks import ask_containment
from pantheon.shell.pool_checks import ask_pool
from pantheon.shell.queue_wiring import find_claims, pins_in_force
from pantheon.shell.repository_checks import exposed_problems, repository_problems
from pantheon.shell.review_checks import ask_reviewers
from pantheon.shell.server_wiring import ask_endpoint, reviewers_in_use
from pantheon.shell.vllm_watch import find_lost_metrics

MIB = 1024 * 1024
DISK_FAIL_BYTES, DISK_WARN_BYTES = 200 * MIB, 2_048 * MIB
SERVER_TIMEOUT_S = 10.0
SHOWN = 3
"""Batches, or changes of them, that one finding names."""


def project_questions(project: Project, user: UserPaths) -> Mapping[str, Question]:
    """Return the questions about a project, in the order in which their answers help."""
    return {
        "repository": partial(_repository, project),
        "folders": partial(_folders, project),
        "disk": partial(_disk, project),
        "policies": partial(_policies, project, user),
        "containment": partial(ask_containment, project),
        "agents": partial(_agents, project),
        "flows": partial(_flows, project),
        "model": partial(_model, project, user),
        "server": partial(_server, project),
        "pool": partial(ask_pool, project),
        "reviewers": partial(ask_reviewers, project),
        "key": partial(_key, project, user),
        "store": partial(_store, project),
        "batches": partial(_batches, project, user),
    }


async def _repository(project: Project) -> Finding:
    root = project.root
    top = await asyncio.to_thread(wiring.listing.find_work_tree, root)
    if top != root:
        return Finding(
            "repository", Grade.FAIL, f"pantheon.toml is in {root}, the repository begins at {top}",
            f"Move pantheon.toml to {top}: paths in tasks are relative to the repository.",
        )  # fmt: skip
    head = await asyncio.to_thread(wiring.listing.head_commit, root)
    if head is None:
        return Finding("repository", Grade.FAIL, f"{root} has no commit", "Commit something first.")
    for why, mend in await asyncio.to_thread(lambda: tuple(repository_problems(project))):
        return Finding("repository", Grade.FAIL, why, mend)
    return Finding("repository", Grade.OK, f"{root} at {head[:12]}")


async def _folders(project: Project) -> Finding:
    wanted = (project.queue, project.artifacts, project.state)
    closed = [str(folder) for folder in wanted if not wiring.probes.is_writable(folder)]
    if closed:
        return Finding(
            "folders", Grade.FAIL, f"cannot be written: {', '.join(closed)}", "Make them this user's."
        )
    return Finding("folders", Grade.OK, "queue, artifacts and state can be written")


async def _disk(project: Project) -> Finding:
    free = await asyncio.to_thread(wiring.probes.free_bytes, project.state)
    text = f"{free // MIB} MiB free for {project.config.folders.state}"
    if free < DISK_FAIL_BYTES:
        return Finding("disk", Grade.FAIL, text, "Make room: a night needs at least 200 MiB.")
    if free < DISK_WARN_BYTES:
        return Finding("disk", Grade.WARN, text, "Large queues leave more than that.")
    return Finding("disk", Grade.OK, text)


async def _policies(project: Project, user: UserPaths) -> Finding:
    policies = await asyncio.to_thread(wiring.load_policies, project)
    for why, mend in await asyncio.to_thread(lambda: tuple(exposed_problems(project, user))):
        return Finding("policies", Grade.FAIL, why, mend)
    if policies.night.sandbox is SandboxKind.NONE:
        return Finding(
            "policies", Grade.WARN, 'sandbox = "none": code of the repository runs without any confinement',
            'Say sandbox = "bubblewrap" in policies/night.toml.',
        )  # fmt: skip
    return Finding("policies", Grade.OK, "night, gate and slo are sound")


async def _agents(project: Project) -> Finding:
    agents = await asyncio.to_thread(wiring.load_agents, project)
    if not agents:
        return Finding("agents", Grade.FAIL, "there is no agent", "pantheon init")
    return Finding("agents", Grade.OK, f"{len(agents)}, every one local: {', '.join(sorted(agents))}")


async def _flows(project: Project) -> Finding:
    flows = await asyncio.to_thread(wiring.load_flows, project)
    agents = await asyncio.to_thread(wiring.load_agents, project)
    if not flows:
        return Finding("flows", Grade.FAIL, "there is no flow", "pantheon init")
    for flow in flows.values():
        for node in flow.node:
            if node.agent is not None and node.agent not in agents:
                return Finding(
                    "flows", Grade.FAIL, f"flow {flow.name}, node {node.id}: there is no agent {node.agent!r}",
                    f"Agents: {', '.join(sorted(agents)) or 'none'}",
                )  # fmt: skip
    return Finding("flows", Grade.OK, ", ".join(sorted(flows)))


async def _model(project: Project, user: UserPaths) -> Finding:
    if project.config.endpoint.kind != "embedded":
        return Finding("model", Grade.OK, "the server brings its own")
    entry = await asyncio.to_thread(lambda: wiring.read_catalogue(project).entry(project.config.model))
    path = wiring.model_path(entry, user)
    size = await asyncio.to_thread(wiring.probes.file_size, path)
    if size != entry.size_bytes:
        problem = (
            "not fetched yet" if size is None else f"{path} has {size} bytes instead of {entry.size_bytes}"
        )
        return Finding("model", Grade.FAIL, f"{entry.name}: {problem}", f"pantheon models pull {entry.name}")
    memory = wiring.probes.available_memory_bytes()
    if memory is not None and memory < size * 5 // 4:
        said = f"{entry.name} has {size // MIB} MiB, {memory // MIB} MiB of memory are free"
        return Finding("model", Grade.WARN, said, "Close something, or choose a smaller model.")
    return Finding("model", Grade.OK, f"{entry.name}: {path} ({size // MIB} MiB)")


async def _server(project: Project) -> Finding:
    endpoint = project.config.endpoint
    if endpoint.kind == "embedded":
        version = await asyncio.to_thread(wiring.find_embedded_version)
        return Finding(
            "server", Grade.OK, f"embedded llama.cpp (xllamacpp {version}), started with the night"
        )
    capabilities = await ask_endpoint(project, deadline_s=SERVER_TIMEOUT_S)
    name, where = capabilities.model, endpoint.uds or endpoint.url
    if endpoint.model and endpoint.model != name:
        said = f"{where} serves {name!r}, configured is {endpoint.model!r}"
        return Finding("server", Grade.WARN, said, "Set endpoint.model.")
    content = await asyncio.to_thread(wiring.load_content, project)
    if problem := refuse_without(capabilities, reviewers_in_use(content)):
        return Finding("server", Grade.FAIL, problem, "Serve the model with llama.cpp or vLLM.")
    said = "; ".join((f"{where} serves {name}", *capabilities.describe()))
    if lost := await find_lost_metrics(project):
        hint = "Start vLLM without --disable-log-stats, and let /metrics through to its socket or port."
        return Finding("server", Grade.WARN, f"{said}; {lost}", hint)
    return Finding("server", Grade.WARN if capabilities.worse else Grade.OK, said)


async def _key(project: Project, user: UserPaths) -> Finding:
    path = user.signing_key
    problem = wiring.probes.key_problem(path, project.root)
    if problem is not None:
        mend = (
            f"chmod 600 {path}" if "read by others" in problem else "Move it aside, or set XDG_CONFIG_HOME."
        )
        return Finding("key", Grade.FAIL, problem, mend)
    return Finding(
        "key", Grade.OK, str(path) if path.exists() else f"{path} will be made with the first batch"
    )


async def _store(project: Project) -> Finding:
    async with wiring.look_into_store(project) as store:
        if store is None:
            return Finding("store", Grade.OK, "will be made with the first batch")
        pending = await store.tasks(pending=True)
        return Finding("store", Grade.OK, f"{len(pending)} tasks wait for a night")


async def _altered(project: Project, problems: tuple[QueueProblem, ...]) -> Finding:
    async with wiring.look_into_store(project) as store:
        assert store is not None
        blocking, aside = await sort_problems(problems, store)
    named = "; ".join(f"{problem.batch}: {problem.why}" for problem in (blocking or aside)[:SHOWN])
    if not blocking:
        said = f"altered after it was signed, but no night would touch it: {named}"
        return Finding("batches", Grade.WARN, said, "Put the files back as they were.")
    mend = "Put the files back, or go on without: pantheon hold --batch NAME --reason TEXT (docs/queue.md)"
    return Finding("batches", Grade.FAIL, f"altered after it was signed: {named}", mend)


async def _batches(project: Project, user: UserPaths) -> Finding:
    """Tell what a night would refuse: batches that were altered, or whose pins have drifted."""
    async with wiring.look_into_store(project) as store:
        waiting = {} if store is None else (await store.counts()).batches
    if not waiting:
        return Finding("batches", Grade.OK, "none waits for a night")
    content = await asyncio.to_thread(wiring.load_content, project)
    claims, problems = await find_claims(project, user)
    if problems:
        return await _altered(project, problems)
    now = pins_in_force(project, content)
    drifted = [f"{c.name}: {change}" for c in claims if c.name in waiting for change in c.pins.drift(now)]
    if drifted:
        more = f"; and {len(drifted) - SHOWN} more" if len(drifted) > SHOWN else ""
        return Finding(
            "batches", Grade.WARN, f"changed since it was frozen: {'; '.join(drifted[:SHOWN])}{more}",
            "Enqueue the tasks again, or say why it is fine: pantheon night --accept-drift REASON",
        )  # fmt: skip
    return Finding("batches", Grade.OK, f"{len(waiting)} as they were frozen")
