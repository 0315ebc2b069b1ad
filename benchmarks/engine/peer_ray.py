"""Ray on this machine, tasks of half a core's share each so that ``at_once`` may run; not durable."""

import os
import sys

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
from subject import Job, main
from workload import work_sync


def run(job: Job) -> None:
    """Submit the whole graph with its edges and wait for all of it.

    Work without waiting has a process per core; work that waits has one per task at once, as it needs them.
    """
    graph = job.graph
    cores = os.cpu_count() or 1
    waits = any(node.seconds for node in graph)
    share = cores / job.at_once if waits else max(1.0, cores / job.at_once)
    ray.init(num_cpus=cores, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    folder = job.folder

    @ray.remote(num_cpus=share, max_retries=0)
    def task(work: str, place: int, seconds: float, *needs: int) -> int:  # noqa: ARG001 (edges)
        return work_sync(folder, work, place, seconds)

    ray.get([task.remote("noop", place, 0.05) for place in range(job.at_once)])
    with job.timed():
        ends: list[ray.ObjectRef] = []
        for place, node in enumerate(graph):
            ends.append(task.remote(job.work, place, node.seconds, *(ends[need] for need in node.needs)))
        ray.get(ends)
    ray.shutdown()


if __name__ == "__main__":
    sys.exit(main("ray", ("ray",), dict.fromkeys(("noop", "dag", "agentlike"), run)))
