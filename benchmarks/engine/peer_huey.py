"""huey with its SQLite storage and ``fsync=True``; its consumer with thread workers in the same process.

It knows no graphs: edges are kept in this process's memory, and nodes that wait for others when it is killed are lost.
Workers wait for new tasks by an event where the storage can; otherwise they poll, here every millisecond at most.
"""

import sys
import threading
import time

from huey import SqliteHuey
from subject import Job, main
from workload import followers_of, work_sync


def run(job: Job) -> None:
    """Enqueue what is ready, and what becomes ready at each end."""
    graph = job.graph
    huey = SqliteHuey("bench", filename=str(job.folder / "huey.db"), fsync=True, results=True)
    followers, waits = followers_of(graph), [len(node.needs) for node in graph]
    lock, over, ended = threading.Lock(), threading.Event(), [0]

    @huey.task()
    def task(place: int) -> int:
        work_sync(job.folder, job.work, place, graph[place].seconds)
        with lock:
            ended[0] += 1
            ready = []
            for follower in followers[place]:
                waits[follower] -= 1
                if waits[follower] == 0:
                    ready.append(follower)
            if ended[0] == len(graph):
                over.set()
        for follower in ready:
            task(follower)
        return place

    consumer = huey.create_consumer(
        workers=job.at_once, worker_type="thread", initial_delay=0.001, max_delay=0.01, periodic=False,
        check_worker_health=False,
    )  # fmt: skip
    resumed = (job.folder / "enqueued").exists()
    with job.timed():
        if not resumed:
            for place, count in enumerate(waits):
                if count == 0:
                    task(place)
            (job.folder / "enqueued").touch()
        consumer.start()
        if resumed:
            drain(huey)
        else:
            over.wait()
    consumer.stop(graceful=True)


def drain(huey: SqliteHuey) -> None:
    """Wait until the queue is empty and has been for a second: what was in flight is not in it."""
    empty_since = time.monotonic()
    while time.monotonic() - empty_since < 1.0:
        if huey.pending_count():
            empty_since = time.monotonic()
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main("huey", ("huey",), dict.fromkeys(("noop", "dag", "agentlike", "kill", "killdag"), run)))
