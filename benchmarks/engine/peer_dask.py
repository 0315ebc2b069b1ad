"""dask.distributed: scheduler and one worker with threads in this process, ``processes=False``; not durable."""

import sys

from dask.distributed import Client, Future
from subject import Job, main
from workload import work_sync


def task(folder: str, work: str, place: int, seconds: float, needs: list[int]) -> int:  # noqa: ARG001 (edges)
    """Do one task's work once its needs are there."""
    return work_sync(folder, work, place, seconds)


def run(job: Job) -> None:
    """Submit the whole graph with its edges and wait for all of it."""
    graph = job.graph
    with (
        Client(
            processes=False, n_workers=1, threads_per_worker=job.at_once, dashboard_address=None
        ) as client,
        job.timed(),
    ):
        futures: list[Future] = []
        for place, node in enumerate(graph):
            needs = [futures[need] for need in node.needs]
            futures.append(
                client.submit(task, str(job.folder), job.work, place, node.seconds, needs, pure=False)
            )
        client.gather(futures)


if __name__ == "__main__":
    sys.exit(main("dask", ("distributed",), dict.fromkeys(("noop", "dag", "agentlike"), run)))
