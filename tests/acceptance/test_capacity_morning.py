"""``pantheon capacity`` on the morning after: what the nights in a real store make of it."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pantheon.adapters.store import open_store
from pantheon.core.records import (
    AttemptOutcome,
    AttemptResult,
    BatchRecord,
    Lease,
    NightRecord,
    NodeRecord,
    NodeState,
    TaskOutcome,
    TaskRecord,
)
from pantheon.ports.store import Store
from pantheon.shell.cli.app import run
from pantheon.shell.config import Project
from pantheon.testing.clock import FakeClock
from pantheon.testing.project import pantheon

TOKENS = 129
RECORDING_S = 1.0
"""From the end of an attempt's work until it is settled."""
SPEED = {1: 34.2, 2: 61.5, 4: 102.1}
"""Output tokens per second of nights at so many at once, as benchmarks/NOTES.md has them."""


def tasks_of(batch: str, count: int) -> list[TaskRecord]:
    """Notes that want a title."""
    return [
        TaskRecord(
            key=f"{batch}/n-{n}",
            batch=batch,
            line=json.dumps(
                {"id": f"n-{n}", "kind": "docops", "goal": "a title", "targets": [f"docs/{n}.md"]}
            ),
        )
        for n in range(count)
    ]


async def add(store: Store, batch: str, records: list[TaskRecord]) -> None:
    """Put a batch into the queue."""
    digest = batch.ljust(64, "0")
    when = datetime(2026, 1, 1, tzinfo=UTC)
    found = BatchRecord(
        name=batch, digest=digest, lines=len(records), enqueued_at=when, path=f"queue/{batch}"
    )
    await store.add_batch(found, records)


async def work(
    store: Store, clock: FakeClock, number: int, *, at_once: int, tasks: int, ends: AttemptOutcome
) -> None:
    """Play a night in which ``at_once`` attempts of the writer are in flight at any time, and end as ``ends``."""
    night, batch = f"2026010{number}-220000", f"{number:012x}"
    records = tasks_of(batch, tasks)
    await add(store, batch, records)
    await store.open_night(
        NightRecord(id=night, base_commit="b" * 40, branch=f"pantheon/night-{night}", started_at=clock.now()),
        [record.key for record in records],
    )
    nodes = [f"{record.key}#doc.frontmatter" for record in records]
    await store.add_nodes(
        [
            NodeRecord(night=night, key=key, task=record.key, node="doc.frontmatter")
            for key, record in zip(nodes, records, strict=True)
        ]
    )
    await store.make_ready(night, nodes)
    good = ends is AttemptOutcome.SUCCEEDED
    wall_s = at_once * TOKENS / SPEED[at_once]
    metrics = {
        "agent": "doc.frontmatter@1.0.0", "calls": 1, "prompt_tokens": 300, "cached_tokens": 0,
        "completion_tokens": TOKENS, "model_s": wall_s, "wall_s": wall_s, "output": {},
    }  # fmt: skip
    result = AttemptResult(
        outcome=ends,
        node_state=NodeState.SUCCEEDED if good else NodeState.FAILED,
        cause="" if good else "it did not",
        metrics=metrics,
    )
    recording: list[Lease] = []
    for start in (*range(0, tasks, at_once), tasks):
        wave = nodes[start : start + at_once]
        leases = [await store.claim(night, key, owner="o", lease_s=9_999) for key in wave]
        # The wave before holds no slot any more while it is recorded.
        clock.advance(RECORDING_S)
        for lease in recording:
            await store.settle(lease, result)
        clock.advance(wall_s - RECORDING_S)
        recording = leases
    for record in records:
        await store.finish_task(
            night, record.key, TaskOutcome.ACCEPTED if good else TaskOutcome.FAILED, "" if good else "no"
        )
    await store.close_night(night, {})


def play(
    project: Project,
    *at_once: int,
    waiting: int,
    tasks: int = 24,
    ends: AttemptOutcome = AttemptOutcome.SUCCEEDED,
) -> None:
    """Play nights and leave a queue behind."""

    async def nights() -> None:
        clock = FakeClock()
        store = await open_store(project.database, clock, write=True)
        try:
            for number, count in enumerate(at_once, start=1):
                await work(store, clock, number, at_once=count, tasks=tasks, ends=ends)
            await add(store, "fedcba987654", tasks_of("fedcba987654", waiting))
        finally:
            await store.aclose()

    asyncio.run(nights())


def alone(project: Project) -> None:
    """Leave the writer as the only work, so that the figures are those of the nights that were played."""
    (project.root / "flows/docops.toml").write_text(
        'name = "docops"\naccepts = ["docops"]\n\n'
        '[[node]]\nid = "doc.frontmatter"\nagent = "doc.frontmatter"\nwrites = true\nresources = { model = 1 }\n'
    )


def forecast(project: Project, *words: str) -> dict[str, Any]:
    """Return what ``--json`` says."""
    done = pantheon(project.root, "capacity", "--json", *words)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def write_window(project: Project, start: datetime, end: datetime, last_start_s: int = 900) -> None:
    """Give the policy a window of every day, in UTC."""
    policy = project.root / "policies/night.toml"
    before, _, rest = policy.read_text().partition("[window]")
    policy.write_text(
        f'{before}[window]\nstart = "{start:%H:%M}"\nend = "{end:%H:%M}"\ntime_zone = "UTC"\n'
        f"last_start_s = {last_start_s}\n\n[budget]{rest.partition('[budget]')[2]}"
    )


def test_nights_at_one_at_once_give_an_interval_for_sixteen(project: Project) -> None:
    """48 calls after a night at 1: 11 to 181 s, where 37.3 s were measured; the sentence says what is not known."""
    alone(project)
    play(project, 1, waiting=48)
    found = forecast(project, "--window", "8", "--slots", "model=16")
    assert found["needed_low_h"] * 3600 == pytest.approx(48 * TOKENS / 34.2 / 16, rel=0.01)
    assert found["needed_h"] * 3600 == found["needed_high_h"] * 3600 == pytest.approx(181, rel=0.01)
    assert "nights had at most 1 slot of model in use, what 16 gain was not measured" in found["sentence"]


def test_nights_at_several_at_once_are_told_apart_by_what_ran_beside(project: Project) -> None:
    """From the overlap of the attempts at 1, 2 and 4 follows the curve: sixteen within 25 % of what was measured."""
    alone(project)
    play(project, 1, 2, 4, waiting=48)
    found = forecast(project, "--window", "8", "--slots", "model=16")
    scaling = found["resources"][0]["scaling"]
    assert (scaling["low"], scaling["high"]) == pytest.approx((1, 4))
    assert scaling["slowing"] == pytest.approx(0.113, abs=0.005)
    assert found["needed_h"] * 3600 == pytest.approx(37.3, rel=0.25)
    assert found["needed_low_h"] * 3600 < 37.3 < found["needed_high_h"] * 3600
    told = pantheon(project.root, "capacity", "--window", "8", "--slots", "model=4").stdout
    assert "1 to 4, each adds 11% (off by 0% on average)" in told
    as_measured = forecast(project, "--window", "8", "--slots", "model=4")
    assert as_measured["needed_low_h"] == as_measured["needed_high_h"]
    assert as_measured["needed_h"] * 3600 == pytest.approx(48 * TOKENS / 102.1, rel=0.02)


def test_a_night_of_failures_forecasts_that_nothing_lands(project: Project) -> None:
    """Durations count, what landed is nothing, and the interval says how little is known."""
    alone(project)
    play(project, 1, waiting=30, tasks=12, ends=AttemptOutcome.FAILED)
    done = pantheon(project.root, "capacity", "--window", "8")
    assert done.returncode == 0
    assert "needs 2 min of the 8 h window; rho 0.00 for model." in done.stdout
    assert "Expected to land: 0.0 of 30 (0.0 to 7.3)." in done.stdout
    assert "Nothing was measured" not in done.stderr


def test_a_night_in_which_everything_crashed_measured_nothing_and_is_named(project: Project) -> None:
    """The machine's doing is no rate: guesses are used, and the owner hears that there was a night."""
    play(project, 1, waiting=30, tasks=12, ends=AttemptOutcome.CRASHED)
    done = pantheon(project.root, "capacity", "--window", "8")
    assert done.returncode == 0
    assert "(by guesses: nothing was measured yet)" in done.stdout.splitlines()[0]
    assert "in the one night so far nothing ended on its own account" in done.stderr
    assert "not known; no task like these was judged yet" in done.stdout


def test_a_queue_too_long_says_what_is_not_reached_and_when_it_would_be(project: Project) -> None:
    """1,000 tasks of 3.8 s in a window of 20 min: about 681 are left, and it takes four nights."""
    alone(project)
    play(project, 1, waiting=1000)
    found = forecast(project, "--window", str(1 / 3))
    assert (found["not_reached"], found["nights_needed"]) == (682, 4)
    assert (
        "; it will not be finished: about 682 of 1000 tasks are not reached and all of it takes 4 nights"
        in found["sentence"]
    )


def test_asked_within_the_window_it_is_what_is_left_of_it(project: Project) -> None:
    """An hour after the window has opened, the hours are the rest; 20 h of it are cut to a night's budget of 8 h."""
    now = datetime.now(UTC)
    play(project, waiting=3)
    write_window(project, now - timedelta(hours=1), now + timedelta(hours=3))
    found = forecast(project)
    assert found["window"] == "left"
    assert 2.8 < found["window_h"] <= 3.0
    assert found["starting_h"] == pytest.approx(found["window_h"] - 0.25)
    assert " that are left of tonight's window" in found["sentence"]


def test_asked_outside_of_the_window_it_is_the_whole_next_one(project: Project) -> None:
    """Three hours before it opens, the hours are all of it, and the sentence says when it opens."""
    now = datetime.now(UTC)
    opens = now + timedelta(hours=3)
    play(project, waiting=3)
    write_window(project, opens, opens + timedelta(hours=4))
    found = forecast(project)
    assert (found["window"], found["window_h"], found["starting_h"]) == ("next", 4.0, 3.75)
    assert f"of the 4 h window that opens {opens:%a %H:%M}" in found["sentence"]


def test_a_policy_without_a_window_says_so(project: Project) -> None:
    """The hours are a night's budget."""
    policy = project.root / "policies/night.toml"
    before, _, rest = policy.read_text().partition("[window]")
    policy.write_text(f"{before}[budget]{rest.partition('[budget]')[2]}")
    play(project, waiting=3)
    assert "of the 8 h that a night may take" in pantheon(project.root, "capacity").stdout.splitlines()[0]


def test_a_window_in_which_nothing_starts_is_a_wrong_policy(project: Project) -> None:
    """Exit code 2, with the file and the key; ``--window`` still reckons."""
    start = datetime(2026, 1, 1, 3, tzinfo=UTC)
    write_window(project, start, start + timedelta(minutes=10))
    done = pantheon(project.root, "capacity")
    assert (done.returncode, done.stdout) == (2, "")
    assert "night.toml" in done.stderr
    assert "last_start_s" in done.stderr
    assert pantheon(project.root, "capacity", "--window", "2").returncode == 0


@pytest.mark.parametrize(
    "args",
    [
        ("--slots", "modle=16"),
        ("--slots", "model=00016999"),
        ("--slots", "model=2,cpu=3"),
        ("--window", "-3"),
        ("--window", "soon"),
        ("--bogus",),
        ("extra",),
    ],
)
def test_wrong_words_are_usage_errors(
    project: Project, args: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """A resource that nothing uses, a number that is none, a flag that is not there: exit code 2, nothing on stdout."""
    capsys.readouterr()
    assert run(["-C", str(project.root), "capacity", *args]) == 2
    assert capsys.readouterr().out == ""


def test_a_misspelt_resource_is_told_which_there_are(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """``--slots modle=16`` would otherwise change nothing and look as if it had."""
    run(["-C", str(project.root), "capacity", "--slots", "modle=16"])
    assert "--slots modle: no such resource; there are cpu, git, model" in capsys.readouterr().err


def test_an_interval_is_in_the_tables_and_in_the_picture(project: Project, tmp_path: Path) -> None:
    """The table has both ends and what was measured, the bar its interval, the picture the same figures."""
    alone(project)
    play(project, 1, waiting=2000)
    picture = tmp_path / "o.svg"
    done = pantheon(project.root, "capacity", "--window", "2", "--slots", "model=4", "--svg", str(picture))
    assert "rho 1.05 (0.26 to 1.05)" in done.stdout
    assert "\t2.1\t0.52\t2.1\t1" in done.stdout
    assert "measured, 24 attempts, times 4 with all slots in use" in done.stdout
    assert "rho 1.05 (0.26 to 1.05)" in picture.read_text()
