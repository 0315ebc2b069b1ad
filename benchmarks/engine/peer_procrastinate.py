"""procrastinate on a PostgreSQL of its own: a cluster in the work's folder, on a Unix socket, with its own durability.

It knows no graphs: edges are kept in this process's memory, and nodes that wait for others when it is killed are lost.
The server refuses to run as root, so it runs as the user ``postgres`` then. It ends with this process, also when that
is killed; a second call starts it again on the same data.
"""

import asyncio
import os
import pwd
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from procrastinate import App, PsycopgConnector
from subject import Job, main
from workload import followers_of, note

USER = "postgres"
START_S = 30.0


def binary(name: str) -> str:
    """Return the path of one of PostgreSQL's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if not found:
        raise SystemExit(f"PostgreSQL's {name} is not installed")
    return str(found[-1])


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Run a server on the folder's data; yields how to connect."""
    data, as_user = folder / "pg", []
    if os.geteuid() == 0:
        user = pwd.getpwnam(USER)
        as_user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        folder.chmod(0o711)
        data.mkdir(exist_ok=True)
        os.chown(data, user.pw_uid, user.pw_gid)
    quiet = {"cwd": "/", "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    cluster = data / "cluster"
    if not (cluster / "PG_VERSION").exists():
        made = [*as_user, binary("initdb"), "-D", str(cluster), "-U", USER, "-A", "trust", "-E", "UTF8"]
        subprocess.run(made, check=True, **quiet)
    # It stops when this process ends, and a killed one must not take it along half-way.
    tied = ["setpriv", "--pdeathsig", "INT", *as_user[1:]]
    server = [*tied, binary("postgres"), "-D", str(cluster), "-k", str(data), "-c", "listen_addresses="]
    deadline, ready = time.monotonic() + START_S, [binary("pg_isready"), "-h", str(data), "-q"]
    running = subprocess.Popen(server, start_new_session=True, **quiet)
    try:
        while subprocess.run(ready, check=False).returncode != 0 or running.poll() is not None:
            if time.monotonic() > deadline:
                raise SystemExit(f"PostgreSQL did not start within {START_S:.0f} s")
            if running.poll() is not None:
                # The server of a killed run may still be stopping.
                time.sleep(0.2)
                running = subprocess.Popen(server, start_new_session=True, **quiet)
            time.sleep(0.05)
        yield f"host={data} user={USER} dbname=postgres"
    finally:
        running.terminate()
        with suppress(subprocess.TimeoutExpired):
            running.wait(START_S)


async def run(job: Job) -> None:
    """Defer what is ready, and what becomes ready at each end; a second call works what is left in the queue."""
    with postgres(job.folder) as connect:
        await work(job, App(connector=PsycopgConnector(conninfo=connect, min_size=4, max_size=16)))


async def work(job: Job, app: App) -> None:
    """Run the graph on a server that runs."""
    graph = job.graph
    followers, waits = followers_of(graph), [len(node.needs) for node in graph]
    over, left = asyncio.Event(), len(graph)

    @app.task(name="node")
    async def node(place: int) -> None:
        nonlocal left
        if job.work.startswith("kill"):
            note(job.folder, "start", place)
        if graph[place].seconds:
            await asyncio.sleep(graph[place].seconds)
        if job.work.startswith("kill"):
            note(job.folder, "end", place)
        ready = []
        for follower in followers[place]:
            waits[follower] -= 1
            if waits[follower] == 0:
                ready.append({"place": follower})
        if ready:
            await node.batch_defer_async(*ready)
        left -= 1
        if left == 0:
            over.set()

    resumed = (job.folder / "deferred").exists()
    async with app.open_async():
        if not resumed:
            await app.schema_manager.apply_schema_async()
        with job.timed():
            if not resumed:
                await node.batch_defer_async(*({"place": p} for p, count in enumerate(waits) if count == 0))
                (job.folder / "deferred").touch()
            # It is notified of new jobs; where it misses one it looks again, by default after 5 s.
            options = {
                "concurrency": job.at_once,
                "install_signal_handlers": False,
                "fetch_job_polling_interval": 0.05,
            }
            if resumed:
                await app.run_worker_async(wait=False, **options)
                return
            async with asyncio.TaskGroup() as group:
                worker = group.create_task(app.run_worker_async(**options), name="worker")
                await over.wait()
                # Cancelled once, it finishes what runs.
                worker.cancel()


if __name__ == "__main__":
    packages = ("procrastinate", "psycopg")
    sys.exit(
        main("procrastinate", packages, dict.fromkeys(("noop", "dag", "agentlike", "kill", "killdag"), run))
    )
