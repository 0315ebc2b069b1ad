"""A whole night is killed at each named crash point, and the same command run again ends it as if nothing had been."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from pantheon.ports.crash_points import CrashPoint
from pantheon.testing.chaos_check import Findings, check_night, fingerprint, running_attempts
from pantheon.testing.chaos_fork import KILLED, MOST_RESUMES, REACHED, ChaosNursery, Death
from pantheon.testing.chaos_night import ChaosNight

NOTES = 2


@pytest.fixture(scope="module")
def nursery() -> Iterator[ChaosNursery]:
    with ChaosNursery() as nursery:
        yield nursery


@pytest.fixture(scope="module")
def calm(
    nursery: ChaosNursery, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Findings, Mapping[str, int]]:
    """What an undisturbed night comes to, and how often it reaches each point."""
    night = ChaosNight(tmp_path_factory.mktemp("calm"), NOTES)
    night.make()
    before = fingerprint(night.root)
    assert nursery.run(night) == 0
    return asyncio.run(check_night(night, before)), json.loads((night.folder / REACHED).read_text())


def end(nursery: ChaosNursery, night: ChaosNight) -> None:
    """Run the same command again until the night has ended."""
    for _ in range(MOST_RESUMES):
        if nursery.run(night) == 0:
            return
    pytest.fail((night.folder / "stderr.log").read_text()[-4_000:])


def test_an_undisturbed_night_reaches_every_point(calm: tuple[Findings, Mapping[str, int]]) -> None:
    """No named point is dead: one small night passes them all, and nothing is wrong with it."""
    found, reached = calm
    assert found.problems == ()
    assert found.outcomes == {"accepted": NOTES}
    assert not found.reruns
    assert set(reached) == set(CrashPoint)


@pytest.mark.parametrize("point", CrashPoint)
def test_kill_at_a_point(
    point: CrashPoint, nursery: ChaosNursery, calm: tuple[Findings, Mapping[str, int]], tmp_path: Path
) -> None:
    """Killed at its first reaching and, resumed, at a later one: nothing lost, repeated or torn; same content."""
    undisturbed, reached = calm
    night = ChaosNight(tmp_path, NOTES)
    night.make()
    before = fingerprint(night.root)
    assert nursery.run(night, Death(point)) == KILLED
    running = running_attempts(night)
    # What the first process finished is not reached again, so the later reaching may not come.
    if nursery.run(night, Death(point, reached[point] // 2 + 1)) == KILLED:
        running |= running_attempts(night)
    end(nursery, night)
    found = asyncio.run(check_night(night, before))
    assert found.problems == ()
    assert (found.tree, found.outcomes) == (undisturbed.tree, undisturbed.outcomes)
    assert found.reruns == running
