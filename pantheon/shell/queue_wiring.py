"""The queue's part of the wiring: names the adapters that ``pantheon enqueue`` and the night's start work with.

Everything is imported when it is used, as in ``shell.wiring``.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from threading import Event
from types import MappingProxyType
from typing import TYPE_CHECKING

from pantheon import __version__
from pantheon.core.batch import BatchClaim, Pins
from pantheon.core.canonical import digest_value
from pantheon.core.flow import route_task
from pantheon.ports.queue import QueueFolder
from pantheon.shell.config import FILE, Project, UserPaths
from pantheon.shell.wiring import open_project_store, project_signer, read_catalogue

TUNING: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "endpoint": frozenset({"context_tokens", "slots"}),
        "night": frozenset({"dispatch", "lease_s", "slots"}),
        "server": frozenset({"cache_ram_mib", "context_tokens", "slots", "threads"}),
    }
)
"""Section -> settings that say how fast a night goes, not whom it trusts."""
IDENTITY_S = 20.0
PINNED_ELSEWHERE = frozenset({"model"})
"""Pinned as the digest of what the name stands for."""

if TYPE_CHECKING:
    from pantheon.core.contained import ModelInForce
    from pantheon.engine.enqueue import EnqueueRequest, EnqueueResult
    from pantheon.engine.preflight import QueueProblem
    from pantheon.engine.services import Content
    from pantheon.ports.model import ModelClient
    from pantheon.ports.store import Store


def project_queue(project: Project) -> QueueFolder:
    """Return the project's queue folder."""
    from pantheon.adapters.queue_files import FileQueue

    return FileQueue(project.queue, shown=project.config.folders.queue)


def pins_in_force(project: Project, content: "Content") -> Pins:
    """Return the digests of what is in force now. Raises ``ConfigError`` for a model nobody knows."""
    endpoint = project.config.endpoint
    if endpoint.kind == "embedded":
        model = read_catalogue(project).entry(project.config.model).sha256
    else:
        model = f"name:{endpoint.model}" if endpoint.model else ""
    return Pins(
        flows=content.digests["flows"],
        agents=content.digests["agents"],
        policies=content.digests["policies"],
        settings=_pinned_settings(project),
        model=model,
    )


async def model_in_force(project: Project, pins: Pins, client: "ModelClient") -> "ModelInForce":
    """Return which model answers the night: the embedded one's file, else what the server says of it.

    Raises:
        PreflightError: it cannot be told.
    """
    from pantheon.core.contained import ModelInForce
    from pantheon.core.errors import ModelError, PreflightError
    from pantheon.ports.identity import IdentifiedModel

    if project.config.endpoint.kind == "embedded":
        return ModelInForce(name=project.config.model, digest=pins.model)
    if not isinstance(client, IdentifiedModel):
        raise PreflightError(f"{client.endpoint}: which model answers there cannot be told")
    try:
        name, digest = await client.identity(deadline_s=IDENTITY_S)
    except ModelError as error:
        raise PreflightError(
            f"the model server does not say which model it serves: {error.message}", hint=error.hint
        ) from error
    return ModelInForce(name=name[:500], digest=digest)


def _pinned_settings(project: Project) -> Mapping[str, str]:
    """Return the digest of each section of ``pantheon.toml`` without what only tunes a night.

    Variables and flags are the operator's own word and are no drift; a setting that is new is pinned until it is
    named as one that tunes.
    """
    found = {}
    for section, value in project.written.model_dump(mode="json").items():
        kept = {k: v for k, v in value.items() if k not in TUNING[section]} if section in TUNING else value
        if kept and section not in PINNED_ELSEWHERE:
            found[section] = digest_value(kept)
    return MappingProxyType(found)


async def refuse_lost_store(project: Project, store: "Store", queue: QueueFolder) -> None:
    """Run ``engine.custody.refuse_worked_twice`` over the project's artifacts. Raises what it does."""
    from functools import partial

    from pantheon.adapters.past_nights import find_worked
    from pantheon.engine.custody import refuse_worked_twice

    await refuse_worked_twice(store, queue, partial(find_worked, project.artifacts))


async def find_claims(
    project: Project, user: UserPaths
) -> tuple[tuple[BatchClaim, ...], tuple["QueueProblem", ...]]:
    """Verify the queue with the user's key; returns what its batches claim and what is wrong with others.

    Raises:
        ConfigError: the user has no public key.
    """
    from pantheon.engine.preflight import verify_queue
    from pantheon.shell.verify_wiring import read_key

    return await verify_queue(project_queue(project), [read_key(None, user)])


@contextmanager
def enqueue_request(
    project: Project, content: "Content", source: str, *, shown: str, label: str
) -> Iterator["EnqueueRequest"]:
    """Open a task file for ``run_enqueue``.

    Args:
        project: the repository.
        content: its flows and agents.
        source: path of the file, or ``-`` for standard input.
        shown: what messages call it.
        label: as in ``core.batch``.

    Raises:
        ConfigError: the file cannot be read.
        GitError: the repository cannot be asked for its commit.
    """
    from pantheon.adapters.git.listing import head_commit
    from pantheon.adapters.targets import TargetCheck
    from pantheon.adapters.task_input import open_task_file
    from pantheon.core.taskfile import MAX_LINE_BYTES
    from pantheon.engine.enqueue import EnqueueRequest

    flows = tuple(content.flows.values())
    stop = Event()
    with open_task_file(source, max_line_bytes=MAX_LINE_BYTES, stop=stop) as lines:
        yield EnqueueRequest(
            name=shown,
            lines=lines,
            label=label,
            base_commit=head_commit(project.root) or "",
            pins=pins_in_force(project, content),
            version=__version__,
            route=lambda task: route_task(task, flows).name,
            target_problem=TargetCheck(
                project.root, own=(FILE, *project.config.folders.model_dump().values())
            ),
            stop=stop,
        )


async def enqueue(project: Project, user: UserPaths, request: "EnqueueRequest") -> "EnqueueResult":
    """Run ``engine.enqueue.run_enqueue`` over the project. Raises what it does."""
    import asyncio

    from pantheon.adapters.clock import SystemClock
    from pantheon.engine.enqueue import EnqueueServices, run_enqueue

    @asynccontextmanager
    async def open_services() -> AsyncIterator[EnqueueServices]:
        signer = await asyncio.to_thread(project_signer, project, user)
        async with open_project_store(project, write=True) as store:
            yield EnqueueServices(store=store, signer=signer)

    return await run_enqueue(
        request, queue=project_queue(project), open_services=open_services, clock=SystemClock()
    )


async def preview(project: Project, request: "EnqueueRequest") -> "EnqueueResult":
    """Run ``engine.enqueue.preview_enqueue`` over the project. Raises what it does."""
    from pantheon.engine.enqueue import preview_enqueue

    return await preview_enqueue(request, queue=project_queue(project))
