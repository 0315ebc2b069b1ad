"""The daemon's part of the wiring: builds it from a project. Imports nothing that only a night needs."""

from asyncio import to_thread
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from datetime import datetime

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.content import read_regular
from pantheon.adapters.daemon_files import LastSeen, stamp_files
from pantheon.adapters.night_process import ChildNight, pantheon_command, start_child
from pantheon.adapters.sd_notify import VARIABLES, SystemdSupervisor
from pantheon.adapters.store.night_lock import hold_night
from pantheon.adapters.zones import local_zone
from pantheon.core.daemon import Patience, Work
from pantheon.core.daemon_judgement import Refusal
from pantheon.core.errors import PantheonError
from pantheon.core.left_over import Left
from pantheon.core.orders import fold_orders
from pantheon.core.policy import NIGHT_FILE, NightPolicy, load_policy
from pantheon.core.records import NightState
from pantheon.engine.open_nights import waits_to_land
from pantheon.engine.waiting import count_takeable
from pantheon.shell.config import FILE, Project
from pantheon.shell.daemon import Daemon
from pantheon.shell.daemon_outlook import Rules, Say
from pantheon.shell.environment import environment
from pantheon.shell.hours_wiring import landing_hours, zone_of
from pantheon.shell.night_word_wiring import LAST_SEEN, record_file, refusal_file
from pantheon.shell.queue_wiring import project_queue
from pantheon.shell.wiring import look_into_store, open_project_store

DAEMON_LOCK = "daemon"
NIGHT_COMMAND, REPORT_COMMAND = "night", "report"


def read_rules(project: Project) -> Rules:
    """Read the windows that are in force. Raises ``ConfigError`` naming file and key."""
    policy = load_policy(NightPolicy, NIGHT_FILE, read_regular(project.policies / NIGHT_FILE))
    window = policy.window
    zone = local_zone(environment().get("TZ", "")) if window is None else zone_of(window)
    return Rules(window, zone, landing_hours(policy))


@dataclass(frozen=True)
class ProjectNights:
    """``ports.daemon.Nights`` over a project: nights are child processes, work is what store and queue hold."""

    project: Project
    settings: tuple[str, ...]
    """``KEY=VALUE`` that a night is started with, as the daemon was."""

    async def start(
        self,
        last_start: datetime | None,
        *,
        ends_at: datetime | None = None,
        land_only: bool = False,
        left_before: datetime | None = None,
    ) -> ChildNight:
        bounds = (("--until", last_start), ("--finish-by", ends_at), ("--left-before", left_before))
        told = (w for flag, at in bounds if at is not None for w in (flag, at.isoformat(timespec="seconds")))
        return await self._run(NIGHT_COMMAND, *told, *(("--land-only",) if land_only else ()))

    async def last_word(self, pid: int) -> Refusal | None:
        return await refusal_file(self.project).take(pid)

    async def report(self) -> int:
        return await (await self._run(REPORT_COMMAND)).wait()

    async def look(self) -> Work:
        queue = project_queue(self.project)
        names = await to_thread(queue.names)
        async with look_into_store(self.project) as store:
            if store is None:
                return Work(unread=len(names))
            nights = await store.nights()
            running = [one.id for one in nights if one.state is NightState.RUNNING]
            landing = {night: await waits_to_land(store, night) for night in running}
            last = next((night for night in running if not landing[night]), None)
            found = await count_takeable(store, await store.counts(last or ""))
            standing = None if last is None else fold_orders(await store.orders(last))
            known = {batch.name for batch in await store.batches()}
        left = tuple(Left(one.started_at, found.left[one.id]) for one in nights if one.id in found.left)
        return Work(
            tasks=found.tasks - sum(one.tasks for one in left),
            unread=sum(name not in known for name in names),
            open_night=last or "",
            to_land=sum(landing.values()),
            told_to_wait=standing is not None and (standing.paused or standing.draining),
            left=left,
        )

    async def stamp(self) -> Hashable:
        database = self.project.database
        log = database.with_name(f"{database.name}-wal")
        policies, root = self.project.policies, self.project.root
        paths = (self.project.queue, database, log, root / FILE, policies, policies / NIGHT_FILE)
        return await to_thread(stamp_files, paths)

    async def _run(self, *words: str) -> ChildNight:
        flags = (word for setting in self.settings for word in ("--set", setting))
        command = pantheon_command(self.project.root, *flags, *words)
        variables = {name: value for name, value in environment().items() if name not in VARIABLES}
        return await start_child(command, variables, cwd=self.project.root)


async def update_store(project: Project) -> None:
    """Bring an older version's store up to date: the daemon only reads it, and could not."""
    if not await to_thread(project.database.exists):
        return
    # What is wrong with it, the daemon's first look tells, each minute until it is right.
    with suppress(PantheonError):
        async with open_project_store(project, write=True):
            pass


@asynccontextmanager
async def open_daemon(
    project: Project, *, settings: tuple[str, ...], patience: Patience, tell: Say
) -> AsyncIterator[Daemon]:
    """Build the one daemon of a project, over a store of the present version.

    Args:
        project: the configured repository.
        settings: ``KEY=VALUE`` for its nights.
        patience: how long a night that has to end is given.
        tell: takes what a person or a log should know.

    Raises:
        StoreError: another daemon serves this project; the message names it.
    """
    clock = SystemClock()
    project.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with hold_night(project.state / DAEMON_LOCK, clock, what="a daemon"):
        await update_store(project)
        with closing(SystemdSupervisor(environment())) as supervisor:
            yield Daemon(
                clock=clock,
                supervisor=supervisor,
                nights=ProjectNights(project, settings),
                remembered=LastSeen(project.state / LAST_SEEN),
                read_rules=lambda: to_thread(read_rules, project),
                tell=tell,
                patience=patience,
                record=record_file(project).add,
            )
