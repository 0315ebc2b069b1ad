"""Publishes a night by day: makes its groups, writes them into a folder, or pushes them and opens pull requests."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from pantheon.core.errors import ConfigError, PreflightError
from pantheon.core.publishing import request_body, request_title
from pantheon.core.records import AttemptRecord, NightRecord, TaskRecord
from pantheon.core.task import Task
from pantheon.engine.publish import HEADS, Made, Publication, make_publication, place_branches
from pantheon.ports.forge import Forge
from pantheon.ports.history import History
from pantheon.report.read_model import find_night
from pantheon.shell.config import Project, UserPaths
from pantheon.shell.day_wiring import Day, find_forge, free_folder, leave_requests, open_day
from pantheon.shell.publish_checks import refuse_at_night, require_pushed, require_sound, require_trusted

PUBLISH_EVENT = "order.publish"
BUNDLE_FILE, TEXT_FILE = "pull-requests.bundle", "pull-request.md"
To = Literal["gh", "glab", "bundle"]


@dataclass(frozen=True)
class Wish:
    """What a person wants published, and how."""

    night: str | None
    to: To | None
    """None: only tell what would be made."""
    remote: str
    target: str | None
    """The branch that the pull requests are for; None is the one that is checked out."""
    out: Path | None
    one: bool
    key: Path | None
    accept_distrusted: str
    """Why changes are published that rest on a disqualified reviewer; empty where they are not."""
    by: str


@dataclass(frozen=True)
class Request:
    """One pull request: as it would be, or as it was made."""

    branch: str
    packages: tuple[str, ...]
    title: str
    head: str
    tasks: tuple[str, ...]
    body: str
    where: str = ""
    """The folder that it was written into, or the address of the pull request; empty where it was not made."""


@dataclass(frozen=True)
class Published:
    """What came of it."""

    night: str
    to: To | None
    requests: tuple[Request, ...]
    remark: str = ""


async def publish(project: Project, user: UserPaths, wish: Wish, agree: Callable[[str], bool]) -> Published:
    """Publish a night.

    Args:
        project: the configured repository.
        user: the user's own folders.
        wish: what is wanted.
        agree: asked once before anything leaves the machine.

    Raises:
        PreflightError: a night runs or is open, its branch does not verify, or a branch is in the way.
        ConfigError: there is no such night, remote or branch, or nobody agreed.
        GitError: git or the forge's program failed; what was pushed by then stays, and a second time goes on with it.
    """
    await refuse_at_night(project)
    async with open_day(project, write=wish.to is not None) as day:
        night = await find_night(day.store, wish.night)
        if night.closed_at is None:
            raise PreflightError(
                f"night {night.id} is not closed",
                hint="pantheon night goes on with it; publish it when it has ended.",
            )
        await asyncio.to_thread(require_sound, project, user, night, wish.key)
        tasks, attempts = await day.store.tasks(night=night.id), await day.store.attempts(night.id)
        publication = await make_publication(day.history, night, _packages(tasks), one=wish.one)
        landed = [change.task for made in publication.groups for change in made.group.changes]
        if not wish.accept_distrusted:
            require_trusted(night, attempts, landed)
        said = _verdicts(attempts)
        requests = [_request(made, night, said) for made in publication.groups]
        if wish.to is None or not requests:
            return Published(night.id, None, tuple(requests))
        done = await _make(project, day, wish, publication, requests, agree)
        details = {
            "to": done.to,
            "by": wish.by,
            "accepted": wish.accept_distrusted,
            "branches": [one.branch for one in done.requests],
        }
        await day.store.add_event(night.id, night.id, PUBLISH_EVENT, details)
        return done


def _packages(tasks: Sequence[TaskRecord]) -> Mapping[str, str]:
    found = {}
    for task in tasks:
        try:
            found[task.key] = task.package or Task.model_validate_json(task.line).package
        except ValidationError:
            found[task.key] = task.package
    return found


def _verdicts(attempts: Sequence[AttemptRecord]) -> Mapping[str, Sequence[str]]:
    """Return task key -> what each reviewer said of it, in words."""
    said: dict[str, dict[str, str]] = defaultdict(dict)
    for one in attempts:
        metrics: Mapping[str, Any] = {} if one.result is None else one.result.metrics
        output = metrics.get("output")
        if metrics.get("agent") and isinstance(output, dict) and output.get("verdict") in ("pass", "fail"):
            agent, margin = str(metrics["agent"]).replace("@", " "), output.get("margin")
            words = f", margin {margin:+.2f}" if isinstance(margin, (int, float)) else ""
            said[one.node.rpartition("#")[0]][one.node] = f"{agent}: {output['verdict']}{words}"
    return {task: tuple(words.values()) for task, words in said.items()}


def _request(made: Made, night: NightRecord, said: Mapping[str, Sequence[str]]) -> Request:
    return Request(
        branch=made.branch,
        packages=made.group.packages,
        title=request_title(made.group, night.id),
        head=made.head,
        tasks=tuple(change.task for change in made.group.changes),
        body=request_body(made.group, night.id, night.branch, said),
    )


async def _make(
    project: Project,
    day: Day,
    wish: Wish,
    publication: Publication,
    requests: Sequence[Request],
    agree: Callable[[str], bool],
) -> Published:
    night = publication.night
    folder = await asyncio.to_thread(free_folder, wish.out, project.state / "publish" / night.id)
    forge = None if wish.to is None else find_forge(project, wish.to, wish.remote)
    if forge is None:
        made = await _bundle(day.history, publication, requests, folder)
        remark = (
            "" if wish.to == "bundle" else f"{wish.to} is not on the PATH, so a bundle was written instead"
        )
        return Published(night.id, "bundle", made, remark)
    target = wish.target or (await day.history.head()).removeprefix(HEADS)
    if not target:
        raise ConfigError(
            "no branch is checked out", hint="Name the one that the pull requests are for: --target BRANCH"
        )
    await require_pushed(day.history, night, wish.remote, target)
    branches = "1 branch" if len(requests) == 1 else f"{len(requests)} branches"
    if not agree(f"Push {branches} to {forge.name}, with a pull request each for {target}?"):
        raise ConfigError("nobody agreed, so nothing was pushed", hint="Say yes, or --yes.")
    await leave_requests(
        folder, [(_name(number, one), {TEXT_FILE: _bytes(one.body)}) for number, one in _numbered(requests)]
    )
    await place_branches(day.history, publication)
    return Published(night.id, wish.to, await _push(forge, requests, target, folder))


async def _push(forge: Forge, requests: Sequence[Request], target: str, folder: Path) -> tuple[Request, ...]:
    """Push everything before the first pull request is opened, so that a remote that refuses is told early."""
    for one in requests:
        await forge.push(one.branch, one.head)
    opened = []
    for number, one in _numbered(requests):
        body = folder / _name(number, one) / TEXT_FILE
        opened.append(replace(one, where=await forge.open_request(one.branch, target, one.title, body)))
    return tuple(opened)


async def _bundle(
    history: History, publication: Publication, requests: Sequence[Request], folder: Path
) -> tuple[Request, ...]:
    base = publication.night.base_commit
    texts = [
        (
            _name(number, one),
            {
                **dict(await history.patches(base, one.head)),
                TEXT_FILE: _bytes(f"# {one.title}\n\n{one.body}"),
            },
        )
        for number, one in _numbered(requests)
    ]
    await leave_requests(folder, texts)
    await history.write_bundle(folder / BUNDLE_FILE, [(one.branch, one.head) for one in requests], base)
    return tuple(replace(one, where=str(folder / _name(number, one))) for number, one in _numbered(requests))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _numbered(requests: Sequence[Request]) -> Sequence[tuple[int, Request]]:
    return tuple(enumerate(requests, start=1))


def _name(number: int, request: Request) -> str:
    return f"{number:02}-{request.branch.rpartition('/')[2]}"
