"""Prefect 3 with its own temporary local server on SQLite, results stored, tasks in threads."""

import os
import sys

os.environ.update(
    PREFECT_LOGGING_LEVEL="CRITICAL",
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
    PREFECT_RESULTS_PERSIST_BY_DEFAULT="true",
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS="120",
)

from subject import Job, main
from workload import work_sync


def run(job: Job) -> None:
    """Run one flow with the whole graph; a second call finds the results of the first by their keys."""
    os.environ["PREFECT_HOME"] = str(job.folder / "home")
    os.environ["PREFECT_LOCAL_STORAGE_PATH"] = str(job.folder / "results")
    from prefect import flow, task
    from prefect.cache_policies import INPUTS
    from prefect.task_runners import ThreadPoolTaskRunner

    graph = job.graph

    @task(persist_result=True, cache_policy=INPUTS)
    def node(place: int) -> int:
        return work_sync(job.folder, job.work, place, graph[place].seconds)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=job.at_once))
    def whole() -> None:
        futures = []
        for place, one in enumerate(graph):
            futures.append(node.submit(place, wait_for=[futures[need] for need in one.needs]))
        for future in futures:
            future.wait()

    @flow
    def warm() -> None:
        """Start the local server."""

    warm()
    with job.timed():
        whole()


if __name__ == "__main__":
    sys.exit(
        main("prefect", ("prefect",), dict.fromkeys(("noop", "dag", "agentlike", "kill", "killdag"), run))
    )
