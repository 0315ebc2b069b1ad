"""The report of a made-up night."""

from pantheon.report.model import Report
from pantheon.report.read_model import build_report
from pantheon.testing.clock import FakeClock
from pantheon.testing.evidence import FakeEvidence
from pantheon.testing.sample_diff import Say
from pantheon.testing.sample_night import SampleNight, plain
from pantheon.testing.store import FakeStore


async def sample_report(say: Say = plain, tasks: int = 8, *, bulk: bytes = b"") -> Report:
    """Return the report of a night.

    Args:
        say: what becomes of each text from models, tools and the repository.
        tasks: number of tasks.
        bulk: what the artifacts that are not JSON end with.
    """
    clock, evidence = FakeClock(), FakeEvidence()
    store = FakeStore(clock)

    def put(folder: str, name: str, data: bytes) -> None:
        evidence.put(folder, name, data if name.endswith(".json") else data + bulk)

    await SampleNight(store, clock, put, say=say).play(tasks)
    return await build_report(store, evidence)
