"""Luigi with its local scheduler; what is done is a file that is moved into place, which is Luigi's own durability.

``workers`` are processes; one at a time it runs in this process. ``wait_interval`` is as short as it may be.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import luigi
from subject import Job, main
from workload import graph_of, work_sync

GRAPHS: dict[tuple[str, int], list] = {}


class Task(luigi.Task):
    """One node."""

    folder = luigi.Parameter(significant=False)
    work = luigi.Parameter(significant=False)
    size = luigi.IntParameter(significant=False)
    place = luigi.IntParameter()

    def _node(self):
        key = (self.work, self.size)
        if key not in GRAPHS:
            GRAPHS[key] = graph_of(*key)
        return GRAPHS[key][self.place]

    def requires(self) -> list["Task"]:
        """Return the nodes it needs."""
        return [self.clone(place=need) for need in self._node().needs]

    def output(self) -> luigi.LocalTarget:
        """Return the file that says it is done."""
        return luigi.LocalTarget(str(Path(self.folder) / "done" / str(self.place)))

    def run(self) -> None:
        """Do the work."""
        work_sync(Path(self.folder), self.work, self.place, self._node().seconds)
        with self.output().open("w") as done:
            done.write("done")


class All(luigi.WrapperTask):
    """Every node."""

    folder = luigi.Parameter(significant=False)
    work = luigi.Parameter(significant=False)
    size = luigi.IntParameter(significant=False)

    def requires(self) -> Iterator[Task]:
        """Return every node."""
        for place in range(self.size):
            yield Task(folder=self.folder, work=self.work, size=self.size, place=place)


def run(job: Job) -> None:
    """Build the whole graph; a second call takes up what has no file yet."""
    config = luigi.configuration.get_config()
    config.set("worker", "wait_interval", "0.001")
    config.set("worker", "wait_jitter", "0.0")
    with job.timed():
        luigi.build(
            [All(folder=str(job.folder), work=job.work, size=job.size)],
            local_scheduler=True,
            workers=job.at_once,
            log_level="CRITICAL",
        )


if __name__ == "__main__":
    sys.exit(main("luigi", ("luigi",), dict.fromkeys(("noop", "dag", "agentlike", "kill", "killdag"), run)))
