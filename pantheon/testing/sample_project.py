"""A made-up night where the command line finds it: in a project's database and among its artifacts."""

from pathlib import Path

from pantheon.adapters.store import open_store
from pantheon.testing.clock import FakeClock
from pantheon.testing.sample_diff import Say
from pantheon.testing.sample_night import Put, SampleNight, plain


def put_below(artifacts: Path) -> Put:
    """Return what leaves artifacts in a folder of the disk."""

    def put(folder: str, name: str, data: bytes) -> None:
        (artifacts / folder).mkdir(parents=True, exist_ok=True)
        (artifacts / folder / name).write_bytes(data)

    return put


async def play_night(
    database: Path,
    artifacts: Path,
    tasks: int,
    *,
    night: str = SampleNight.night,
    say: Say = plain,
    close: bool = True,
) -> None:
    """Play a night into a project.

    Args:
        database: where its store is.
        artifacts: the folder for what attempts leave.
        tasks: number of tasks.
        night: id of the night.
        say: what becomes of each text from models, tools and the repository.
        close: whether the night comes to its end.
    """
    clock = FakeClock()
    store = await open_store(database, clock, write=True)
    try:
        await SampleNight(store, clock, put_below(artifacts), say=say, night=night).play(tasks, close=close)
    finally:
        await store.aclose()
