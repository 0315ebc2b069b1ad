"""DBOS Transact on SQLite: one workflow per graph, every node a durable step, ``asyncio`` steps side by side.

``wal`` before the work sets the database's journal to WAL, which DBOS leaves alone; ``plain`` is what it makes itself.
"""

import asyncio
import sqlite3
import sys
from contextlib import closing

from dbos import DBOS, SetWorkflowID
from subject import Job, main
from workload import followers_of, note

MODE = sys.argv.pop(1) if len(sys.argv) > 1 and sys.argv[1] in ("wal", "plain") else "plain"


async def run(job: Job) -> None:
    """Run the graph by readiness; a second call recovers the workflow that was under way."""
    graph = job.graph
    url = job.folder / "dbos.sqlite"
    if MODE == "wal":
        with closing(sqlite3.connect(url)) as db:
            db.execute("PRAGMA journal_mode = WAL")
    DBOS(
        config={
            "name": "bench", "system_database_url": f"sqlite:///{url}", "run_admin_server": False,
            "log_level": "CRITICAL", "application_version": "1",
        }
    )  # fmt: skip

    @DBOS.step(name="node")
    async def node(place: int) -> int:
        if job.work.startswith("kill"):
            note(job.folder, "start", place)
        if graph[place].seconds:
            await asyncio.sleep(graph[place].seconds)
        if job.work.startswith("kill"):
            note(job.folder, "end", place)
        return place

    @DBOS.workflow(name="whole")
    async def whole() -> int:
        followers, waits = followers_of(graph), [len(one.needs) for one in graph]
        ready = [place for place, count in enumerate(waits) if count == 0]
        running: set[asyncio.Task[int]] = set()
        while ready or running:
            while ready and len(running) < job.at_once:
                # Steps are started in one order, so that a recovery numbers them alike.
                running.add(asyncio.ensure_future(node(ready.pop(0))))  # noqa: TID251 (DBOS's own way)
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for follower in (f for ended in done for f in followers[ended.result()]):
                waits[follower] -= 1
                if waits[follower] == 0:
                    ready.append(follower)
        return len(graph)

    resumed = (job.folder / "begun").exists()
    with job.timed():
        DBOS.launch()
        if resumed:
            handle = await DBOS.retrieve_workflow_async("whole")
        else:
            (job.folder / "begun").touch()
            with SetWorkflowID("whole"):
                handle = await DBOS.start_workflow_async(whole)
        await handle.get_result()
    DBOS.destroy()


if __name__ == "__main__":
    sys.exit(
        main(f"dbos ({MODE})", ("dbos",), dict.fromkeys(("noop", "dag", "agentlike", "kill", "killdag"), run))
    )
