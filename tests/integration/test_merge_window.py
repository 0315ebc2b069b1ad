"""A night with a merge window: work goes on, merges wait, and what was allowed lands later without another review."""

from datetime import UTC, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest

from pantheon.core.errors import StoreError
from pantheon.core.orders import Verb
from pantheon.core.records import NightState, NodeState, TaskOutcome
from pantheon.core.window import LandingHours, MergeWindowPolicy
from pantheon.engine import control, merge_hours
from pantheon.engine.open_nights import WAITS, choose_open, count_to_land, waits_to_land
from pantheon.testing.night import BATCH, NoteScript, opened
from pantheon.testing.sample_notes import NOTES, PROPOSALS
from pantheon.testing.user_repository import git, make_repository

TARGETS = tuple(NOTES)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "user", NOTES)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the clock more often than a person would notice."""
    monkeypatch.setattr(control, "POLL_S", 0.01)
    monkeypatch.setattr(merge_hours, "POLL_S", 0.01)


class Door(LandingHours):
    """A merge window that a test opens and closes."""

    def __init__(self, *, is_open: bool) -> None:
        super().__init__(MergeWindowPolicy(start=time(5), end=time(6)), UTC)
        object.__setattr__(self, "is_open", is_open)

    def are_open(self, now: datetime) -> bool:
        return bool(self.__dict__["is_open"])

    def set(self, *, is_open: bool) -> None:
        self.__dict__["is_open"] = is_open


def branches(root: Path) -> str:
    return git(root, "branch", "--list", "pantheon/*")


async def test_what_was_allowed_waits_and_lands_in_a_later_process_without_another_review(
    root: Path, tmp_path: Path
) -> None:
    """Positive control: without a merge window both land. With a closed one nothing does, the night stays open, and the
    next process lands both without a call to the model."""
    async with opened(root, tmp_path / "control", NoteScript(PROPOSALS)) as bench:
        assert (await bench.night(TARGETS)).outcomes == {"accepted": 2}
    git(root, "branch", "-D", "pantheon/night-n1")
    door = Door(is_open=False)
    async with opened(root, tmp_path / "night", NoteScript(PROPOSALS)) as bench:
        bench.landing = door
        summary = await bench.night(TARGETS)
        assert (summary.outcomes, summary.to_land, summary.left_open) == ({"open": 2}, 2, True)
        assert branches(root) == ""
        states = {node.node: node.state for node in await bench.store.nodes("n1")}
        assert states["gate"] is NodeState.SUCCEEDED
        assert states["merge"] is NodeState.WAITING
        assert await waits_to_land(bench.store, "n1") == await count_to_land(bench.store) == 2
        asked = len(bench.server.requests)
        door.set(is_open=True)
        summary = await bench.night(TARGETS)
        assert summary.outcomes == {"accepted": 2}, [task.cause for task in summary.tasks]
        assert len(bench.server.requests) == asked, "nothing is reviewed, or written, a second time"
        assert await count_to_land(bench.store) == 0
    assert "pantheon/night-n1" in branches(root)


async def test_merges_start_when_the_window_opens_under_a_running_night(root: Path, tmp_path: Path) -> None:
    """The first change waits; the window opens while the second is worked, and both land in the same process."""
    door = Door(is_open=False)
    async with opened(root, tmp_path / "night", NoteScript(PROPOSALS)) as bench:
        bench.landing = door
        decided: list[str] = []

        def see(step: object) -> None:
            if getattr(step, "node", "") == "gate" and getattr(step, "event", "") == "succeeded":
                decided.append(branches(root))
                door.set(is_open=True)

        bench.watch = see
        summary = await bench.night(TARGETS)
    assert summary.outcomes == {"accepted": 2}
    assert decided[0] == ""


async def test_the_end_of_the_window_leaves_what_was_allowed_and_tells_the_rest(
    root: Path, tmp_path: Path
) -> None:
    """The night's window ends while one change waits to land: that one stays, the other task was not reached."""
    door = Door(is_open=False)
    async with opened(root, tmp_path / "night", NoteScript(PROPOSALS)) as bench:
        bench.landing = door
        await bench.night(TARGETS[:1])
        bench.ends_at = datetime.now(UTC) - timedelta(seconds=1)
        # The end is seen before anything of the second night starts.
        late = await bench.night(TARGETS[1:], night="n2", batch="c" * 12)
        assert late.outcomes == {"not_reached": 1}
        again = await bench.night(TARGETS[:1])
        assert (again.to_land, again.outcomes) == (1, {"open": 1}), "an ended window keeps what was allowed"
        bench.ends_at = None
        door.set(is_open=True)
        assert (await bench.night(TARGETS[:1])).outcomes == {"accepted": 1}


async def test_a_change_behind_a_waiting_one_waits_with_it(root: Path, tmp_path: Path) -> None:
    """A task that needs another is worked once that one has landed, in the same night."""
    door = Door(is_open=False)
    async with opened(root, tmp_path / "night", NoteScript(PROPOSALS)) as bench:
        bench.landing = door
        needs = {"2026.01.02": ["2026.01.01"]}
        summary = await bench.night(TARGETS, needs=needs)
        assert (summary.outcomes, summary.to_land) == ({"open": 2}, 1)
        assert await waits_to_land(bench.store, "n1") == 1
        door.set(is_open=True)
        assert (await bench.night(TARGETS, needs=needs)).outcomes == {"accepted": 2}


async def test_landing_only_starts_nothing_else(root: Path, tmp_path: Path) -> None:
    """Of two tasks one waits to land and the other behind it: only the merge runs, the other stays for a night."""
    door = Door(is_open=False)
    async with opened(root, tmp_path / "night", NoteScript(PROPOSALS)) as bench:
        bench.landing = door
        needs = {"2026.01.02": ["2026.01.01"]}
        await bench.night(TARGETS, needs=needs)
        asked = len(bench.server.requests)
        door.set(is_open=True)
        bench.land_only = True
        summary = await bench.night(TARGETS, needs=needs)
        assert summary.outcomes == {"accepted": 1, "open": 1}
        assert len(bench.server.requests) == asked
        assert await waits_to_land(bench.store, "n1") == 0, "there is something else to do in it now"
        bench.land_only = False
        assert (await bench.night(TARGETS, needs=needs)).outcomes == {"accepted": 2}


async def test_an_open_night_that_waits_to_land_lets_another_begin(root: Path, tmp_path: Path) -> None:
    """While the merge window is closed the next night is a new one; when it opens, the oldest open one comes first."""
    door = Door(is_open=False)
    async with opened(root, tmp_path / "night", NoteScript(PROPOSALS)) as bench:
        bench.landing = door
        await bench.night(TARGETS[:1])
        nights = await bench.store.nights()
        assert await choose_open(bench.store, nights, merges_open=False) is None
        await bench.night(TARGETS[1:], night="n2", batch="c" * 12)
        nights = await bench.store.nights()
        assert [one.state for one in nights] == [NightState.RUNNING] * 2
        assert await count_to_land(bench.store) == 2
        first = await choose_open(bench.store, nights, merges_open=True)
        assert first is not None
        assert first.id == "n1"
        door.set(is_open=True)
        assert (await bench.night(TARGETS[1:], night="n2", batch="c" * 12)).outcomes == {"accepted": 1}
        assert (await bench.night(TARGETS[:1])).outcomes == {"accepted": 1}


async def test_verdicts_stay_bound_to_what_they_were_given_for(root: Path, tmp_path: Path) -> None:
    """Between the decision and the landing the signed reviews are taken out of the ledger: the change does not land."""
    door = Door(is_open=False)
    async with opened(root, tmp_path / "night", NoteScript(PROPOSALS)) as bench:
        bench.landing = door
        await bench.night(TARGETS[:1])
        # Somebody takes the ledger away; its checkpoint stays with the witness.
        ledgers = sorted((tmp_path / "night").rglob("ledger*.jsonl"))
        assert ledgers, sorted((tmp_path / "night").rglob("*"))
        for path in ledgers:
            path.unlink()
        door.set(is_open=True)
        summary = await bench.night(TARGETS[:1])
    assert summary.outcomes == {TaskOutcome.DENIED: 1}
    assert "review" in summary.tasks[0].cause, summary.tasks[0].cause
    assert branches(root) == ""


def test_the_hours_are_those_of_the_zone() -> None:
    """A positive control of the class above: real hours open and close by the clock."""
    zone: tzinfo = UTC
    hours = LandingHours(MergeWindowPolicy(), zone)
    assert not hours.are_open(datetime(2026, 11, 21, 4, 59, tzinfo=UTC))
    assert hours.are_open(datetime(2026, 11, 21, 5, tzinfo=UTC))
    assert not hours.are_open(datetime(2026, 11, 21, 6, tzinfo=UTC))


async def test_a_night_that_dies_while_it_leaves_what_waits_is_taken_up_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store fails between the outcomes and the word that changes wait: nothing is lost, and nothing asked again."""
    door = Door(is_open=False)
    async with opened(root, tmp_path / "night", NoteScript(PROPOSALS)) as bench:
        bench.landing = door
        add = bench.store.add_event

        async def fail(night: str, subject: str, name: str, details: dict[str, Any] | None = None) -> None:
            if name == WAITS:
                raise StoreError("the disk is full")
            await add(night, subject, name, details)

        monkeypatch.setattr(bench.store, "add_event", fail)
        with pytest.raises(StoreError, match="the disk is full"):
            await bench.night(TARGETS[:1])
        assert await waits_to_land(bench.store, "n1") == 0, (
            "nobody has said that it waits: it is resumed at once"
        )
        monkeypatch.undo()
        asked = len(bench.server.requests)
        assert (await bench.night(TARGETS[:1])).to_land == 1
        door.set(is_open=True)
        assert (await bench.night(TARGETS[:1])).outcomes == {"accepted": 1}
        assert len(bench.server.requests) == asked


async def test_an_order_wakes_a_night_that_waits(root: Path, tmp_path: Path) -> None:
    """A task that is cancelled while it waits to land never lands, and its night is not left waiting for it."""
    door = Door(is_open=False)
    async with opened(root, tmp_path / "night", NoteScript(PROPOSALS)) as bench:
        bench.landing = door
        await bench.night(TARGETS[:1])
        await bench.store.add_order(
            Verb.CANCEL, night="n1", task=f"{BATCH}/2026.01.01", reason="no", by="ann"
        )
        assert await waits_to_land(bench.store, "n1") == 0
        assert (await bench.night(TARGETS[:1])).outcomes == {"cancelled": 1}
        assert branches(root) == ""
