"""The floors: what the disk and asyncio leave room for, without an engine.

    python benchmarks/engine/floors.py group noop --size 2000 --at-once 32

``each`` commits every task with aiosqlite; ``group`` is asyncio with group commits; both are durable with
``synchronous=FULL``. ``levels`` and ``ready`` keep nothing: levels with a barrier, and readiness by critical path.
"""

import asyncio
import heapq
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import aiosqlite
from subject import Job, main
from workload import Node, followers_of, note

FULL = ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL")
TABLE = "CREATE TABLE IF NOT EXISTS tasks (place INTEGER PRIMARY KEY, state TEXT) WITHOUT ROWID"
DONE = "INSERT INTO tasks VALUES (?, 'done') ON CONFLICT DO UPDATE SET state = 'done'"
Keep = Callable[[int], Coroutine[Any, Any, None]]


async def work(job: Job, place: int, node: Node) -> None:
    """Do one node's work."""
    if job.work.startswith("kill"):
        note(job.folder, "start", place)
    if node.seconds:
        await asyncio.sleep(node.seconds)
    if job.work.startswith("kill"):
        note(job.folder, "end", place)


class Groups:
    """Commits together what came in while the last commit was under way."""

    def __init__(self, db: aiosqlite.Connection) -> None:
        self._db = db
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._filled = asyncio.Event()

    async def keep(self, place: int) -> None:
        """Return once the end of a task is on the disk."""
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((place, kept))
        self._filled.set()
        await kept

    async def run(self) -> None:
        """Commit until cancelled."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            group, self._waiting = self._waiting, []
            await self._db.executemany(DONE, [(place,) for place, _ in group])
            await self._db.commit()
            for _, kept in group:
                kept.set_result(None)


async def by_readiness(job: Job, graph: list[Node], keep: Keep | None, done: set[int]) -> None:
    """Run nodes as they become ready, the longest remaining path first, ``at_once`` at work."""
    followers = followers_of(graph)
    rank = [0.0] * len(graph)
    for place in reversed(range(len(graph))):
        rank[place] = graph[place].seconds + max((rank[one] for one in followers[place]), default=0.0)
    waits = [sum(need not in done for need in node.needs) for node in graph]
    ready = [(-rank[p], p) for p in range(len(graph)) if waits[p] == 0 and p not in done]
    heapq.heapify(ready)
    left, filled = len(graph) - len(done), asyncio.Event()
    free = asyncio.Semaphore(job.at_once)

    async def one(place: int) -> None:
        nonlocal left
        await work(job, place, graph[place])
        if keep is not None:
            await keep(place)
        free.release()
        left -= 1
        for follower in followers[place]:
            waits[follower] -= 1
            if waits[follower] == 0:
                heapq.heappush(ready, (-rank[follower], follower))
        filled.set()

    alone = job.at_once == 1
    async with asyncio.TaskGroup() as group:
        while left:
            while ready:
                await free.acquire()
                _, place = heapq.heappop(ready)
                if alone:
                    await one(place)
                else:
                    group.create_task(one(place), name=f"node {place}")
            if left:
                await filled.wait()
                filled.clear()


async def by_levels(job: Job, graph: list[Node]) -> None:
    """Run level after level, ``at_once`` at work."""
    levels: list[int] = []
    for node in graph:
        levels.append(1 + max((levels[need] for need in node.needs), default=-1))
    free = asyncio.Semaphore(job.at_once)

    async def one(place: int) -> None:
        async with free:
            await work(job, place, graph[place])

    for level in range(max(levels) + 1):
        async with asyncio.TaskGroup() as group:
            for place in (p for p, of in enumerate(levels) if of == level):
                group.create_task(one(place), name=f"node {place}")


async def durable(job: Job, *, grouped: bool) -> None:
    """Run with every end on the disk before what follows it starts."""
    graph = job.graph
    async with aiosqlite.connect(job.folder / "floor.db") as db:
        for statement in (*FULL, TABLE):
            await db.execute(statement)
        await db.commit()
        done = {row[0] for row in await db.execute_fetchall("SELECT place FROM tasks WHERE state = 'done'")}
        groups, lock = Groups(db), asyncio.Lock()

        async def keep_each(place: int) -> None:
            async with lock:
                await db.execute(DONE, (place,))
                await db.commit()

        with job.timed():
            async with asyncio.TaskGroup() as group:
                commits = group.create_task(groups.run(), name="commits")
                await by_readiness(job, graph, groups.keep if grouped else keep_each, done)
                commits.cancel()


async def each(job: Job) -> None:
    """Commit per task."""
    await durable(job, grouped=False)


async def grouped(job: Job) -> None:
    """Commit in groups."""
    await durable(job, grouped=True)


async def levels(job: Job) -> None:
    """Levels with a barrier, nothing kept."""
    with job.timed():
        await by_levels(job, job.graph)


async def ready(job: Job) -> None:
    """Readiness by critical path, nothing kept."""
    with job.timed():
        await by_readiness(job, job.graph, None, set())


FLOORS = {"each": each, "group": grouped, "levels": levels, "ready": ready}

if __name__ == "__main__":
    FLOOR = sys.argv.pop(1) if len(sys.argv) > 1 and sys.argv[1] in FLOORS else "group"
    RUNS = dict.fromkeys(("noop", "dag", "agentlike", "kill", "killdag"), FLOORS[FLOOR])
    sys.exit(main(f"floor: {FLOOR}", ("aiosqlite",), RUNS))
