"""``pantheon capacity`` over a real store."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pantheon.adapters.store import open_store
from pantheon.core.records import BatchRecord, TaskRecord
from pantheon.shell.config import Project
from pantheon.testing.clock import FakeClock
from pantheon.testing.project import pantheon
from pantheon.testing.sample_project import play_night


async def play(project: Project) -> None:
    """A night with eight tasks."""
    await play_night(project.database, project.artifacts, 8)


async def queue(project: Project, count: int) -> None:
    """Tasks that wait."""
    store = await open_store(project.database, FakeClock(), write=True)
    name = "fedcba987654"
    lines = [
        json.dumps({"id": f"n-{n}", "kind": "docops", "goal": "a title", "targets": [f"docs/{n}.md"]})
        for n in range(count)
    ]
    tasks = [TaskRecord(key=f"{name}/n-{n}", batch=name, line=line) for n, line in enumerate(lines)]
    batch = BatchRecord(
        name=name, digest="1" * 64, lines=count, enqueued_at=datetime(2026, 1, 2, tzinfo=UTC), path="queue/x"
    )
    await store.add_batch(batch, tasks)
    await store.aclose()


def leave_out_window(project: Project) -> None:
    """Take ``[window]`` out of the policy, so that what is left of it does not depend on the hour."""
    policy = project.root / "policies/night.toml"
    before, _, rest = policy.read_text().partition("[window]")
    policy.write_text(f"{before}[budget]{rest.partition('[budget]')[2]}")


def test_before_anything_was_measured_it_says_so(project: Project) -> None:
    """Every duration is marked as a guess, on a fresh repository with a queue."""
    asyncio.run(queue(project, 60))
    done = pantheon(project.root, "capacity", "--window", "2")
    assert done.returncode == 0
    first = done.stdout.splitlines()[0]
    assert first == (
        "Tonight's queue needs 1 h of the 2 h window; rho 0.50 for model "
        "(by guesses: nothing was measured yet)."
    )
    assert "Nothing was measured yet" in done.stderr
    assert "doc.frontmatter\t60\t20 s\t\t180\t\tguess" in done.stdout.splitlines()
    assert "not known; no task like these was judged yet" in done.stdout


def test_an_earlier_night_is_what_it_reckons_with(project: Project) -> None:
    """Rates with intervals, acceptance and an expected number come from the night that was."""
    asyncio.run(play(project))
    asyncio.run(queue(project, 40))
    found = json.loads(pantheon(project.root, "capacity", "--json", "--window", "8").stdout)
    assert (found["tasks"], found["nights_measured"], found["window_h"]) == (40, 1, 8.0)
    work = {one["work"]: one for one in found["work"]}
    writer = work["doc.frontmatter"]
    assert writer["basis"] == "measured"
    assert 0 < writer["low_s"] < writer["mean_s"] < writer["high_s"]
    assert writer["accepted"]["total"] > 0
    assert 0 < found["accepted_low"] < found["accepted"] < found["accepted_high"] <= 40
    assert found["resources"][0]["queue"]["load"] == pytest.approx(found["resources"][0]["hours"] / 8)


def test_more_slots_need_fewer_hours(project: Project) -> None:
    """``--slots`` reckons as if; the configuration stays. What was never measured to gain is an interval."""
    asyncio.run(queue(project, 60))
    leave_out_window(project)
    one, four = (
        json.loads(pantheon(project.root, "capacity", "--json", "--slots", f"model={count}").stdout)
        for count in (1, 4)
    )
    assert four["needed_low_h"] == pytest.approx(one["needed_h"] / 4)
    assert four["needed_h"] == four["needed_high_h"] == pytest.approx(one["needed_h"])
    assert "what 4 slots of model gain over one was never measured" in four["sentence"]
    assert one["window_h"] == 8.0


def test_an_empty_repository_has_nothing_to_reckon(project: Project) -> None:
    """Before the first batch: one sentence, exit code 0, and no database is made."""
    done = pantheon(project.root, "capacity")
    assert (done.returncode, done.stdout.splitlines()[0]) == (
        0,
        "Nothing waits for a night, so tonight's load is 0.",
    )
    assert not project.database.exists()


def test_the_picture_is_one_file(project: Project, tmp_path: Path) -> None:
    """``--svg`` writes a file that needs nothing else; a place that is not there is an error."""
    asyncio.run(queue(project, 5))
    picture = tmp_path / "o.svg"
    assert pantheon(project.root, "capacity", "--svg", str(picture)).returncode == 0
    assert picture.read_text().startswith("<svg xmlns=")
    refused = pantheon(project.root, "capacity", "--svg", str(tmp_path / "no" / "o.svg"))
    assert (refused.returncode, "cannot be written" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    "args",
    [("--window", "0"), ("--window", "nan"), ("--window", "inf"), ("--slots", "model=0"), ("--slots", "2")],
)
def test_impossible_numbers_are_usage_errors(project: Project, args: tuple[str, str]) -> None:
    """Exit code 2, and one JSON object on stderr."""
    done = pantheon(project.root, "capacity", "--json", *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert json.loads(done.stderr)["error"]["code"] == "config"


def test_help_has_an_example(project: Project) -> None:
    """The help shows a whole command line."""
    assert "Example: pantheon capacity --window 6" in pantheon(project.root, "capacity", "--help").stdout
