"""The daemon over fakes: a scripted clock, nights that are numbers, and a supervisor that only listens."""

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from datetime import time as time_of
from zoneinfo import ZoneInfo

import pytest

from pantheon.core.daemon import Patience, Work
from pantheon.core.daemon_judgement import Refusal
from pantheon.core.errors import ConfigError, PantheonError, StoreError
from pantheon.core.left_over import Left
from pantheon.core.window import LandingHours, MergeWindowPolicy, WindowPolicy
from pantheon.shell import daemon as daemon_module
from pantheon.shell.daemon import Daemon
from pantheon.shell.daemon_outlook import Rules
from pantheon.testing.clock import FakeClock
from pantheon.testing.virtual_time import VirtualLoop, run_virtually

BERLIN = ZoneInfo("Europe/Berlin")
EVENING = datetime(2026, 11, 20, 19, tzinfo=UTC)
WINDOW = WindowPolicy.model_validate({"start": "22:00", "end": "06:00", "last_start_s": 900})


class Listener:
    """A supervisor that keeps what it is told."""

    def __init__(self, watchdog_s: float | None = None) -> None:
        self.watchdog_s = watchdog_s
        self.facts: list[dict[str, str]] = []
        self.beats: list[float] = []

    def tell(self, **facts: str) -> None:
        if "WATCHDOG" in facts:
            self.beats.append(asyncio.get_running_loop().time())
        else:
            self.facts.append(facts)

    def status(self) -> list[str]:
        return [one["STATUS"] for one in self.facts if "STATUS" in one]


@dataclass
class Child:
    """A night that lasts as long as the clock says, or until it is told."""

    clock: FakeClock
    ends: datetime
    code: int = 0
    obeys: int = 1
    """How often it has to be asked; more than twice: it has to be killed."""
    pid: int = 7
    asked: list[datetime] = field(default_factory=list)
    killed: bool = False

    async def wait(self) -> int:
        while not self.killed and self.clock.now() < self.ends:
            if len(self.asked) >= self.obeys:
                return 130
            await asyncio.sleep(0)
        return -9 if self.killed else self.code

    def ask(self) -> None:
        self.asked.append(self.clock.now())

    def kill(self) -> None:
        self.killed = True


@dataclass
class World:
    """A queue and the nights over it."""

    clock: FakeClock
    work: Work = field(default_factory=Work)
    hours: float = 1.0
    codes: list[int] = field(default_factory=list)
    obeys: int = 1
    leaves: Work = field(default_factory=Work)
    started: list[datetime] = field(default_factory=list)
    last_starts: list[datetime | None] = field(default_factory=list)
    ended: list[Child] = field(default_factory=list)
    looks: int = 0
    changes: int = 0
    reports: int = 0
    broken: bool = False
    landings: list[bool] = field(default_factory=list)
    """Of each start, whether it was for landing only."""
    arriving: int = 0
    ends: list[datetime | None] = field(default_factory=list)
    left_before: list[datetime | None] = field(default_factory=list)
    words: dict[int, Refusal] = field(default_factory=dict)

    async def start(
        self,
        last_start: datetime | None,
        *,
        ends_at: datetime | None = None,
        land_only: bool = False,
        left_before: datetime | None = None,
    ) -> Child:
        self.ends.append(ends_at)
        self.left_before.append(left_before)
        self.started.append(self.clock.now())
        self.landings.append(land_only)
        self.last_starts.append(last_start)
        code = self.codes.pop(0) if self.codes else 0
        if code == 99:
            raise PantheonError("no such program")
        child = Child(self.clock, self.clock.now() + timedelta(hours=self.hours), code, self.obeys)
        self.ended.append(child)
        if code in (0, 1, 5, 6):
            self.work = self.leaves
        self.changes += 1
        return child

    async def look(self) -> Work:
        self.looks += 1
        if self.broken:
            raise StoreError("the database is damaged")
        found = self.work
        if self.arriving:
            self.enqueue(self.arriving)
            self.arriving = 0
        return found

    async def last_word(self, pid: int) -> Refusal | None:
        return self.words.get(pid)

    async def stamp(self) -> Hashable:
        return self.changes

    async def report(self) -> int:
        self.reports += 1
        return 0

    def enqueue(self, tasks: int = 1) -> None:
        self.work = Work(tasks=tasks)
        self.changes += 1


@dataclass
class Memory:
    seen: datetime | None = None

    async def last_seen(self) -> datetime | None:
        return self.seen

    async def keep_last_seen(self, now: datetime) -> None:
        self.seen = now


@dataclass
class Bench:
    clock: FakeClock
    world: World
    memory: Memory
    listener: Listener
    rules: Rules
    said: list[tuple[str, str]] = field(default_factory=list)
    wrong: bool = False
    kept: list[tuple[str, str]] = field(default_factory=list)
    """What the daemon wrote down."""

    def make(self) -> Daemon:
        async def read() -> Rules:
            if self.wrong:
                raise ConfigError("policies/night.toml: wrong")
            return self.rules

        async def record(when: str, sentence: str) -> None:
            self.kept.append((when, sentence))

        return Daemon(
            clock=self.clock, supervisor=self.listener, nights=self.world, remembered=self.memory,
            read_rules=read, tell=lambda event, text: self.said.append((event, text)), patience=Patience(),
            record=record,
        )  # fmt: skip

    async def run(self, until: datetime, *steps: tuple[datetime, Callable[[Daemon], None]]) -> None:
        """Run a daemon until a time, doing something at each step's time."""
        daemon = self.make()
        planned = sorted([*steps, (until, lambda one: one.stop())], key=lambda step: step[0])

        async def play() -> None:
            for at, act in planned:
                while self.clock.now() < at:  # noqa: ASYNC110 (time is moved by the daemon itself)
                    await asyncio.sleep(0)
                act(daemon)

        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(play(), name="play")
            await daemon.run()

    def events(self, name: str) -> list[str]:
        return [text for event, text in self.said if event == name]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(daemon_module, "POLL_S", 30.0)
    clock = FakeClock(EVENING)
    return Bench(clock, World(clock), Memory(), Listener(), Rules(WINDOW, BERLIN))


def at(hour: int, minute: int = 0, *, day: int = 20, zone: tzinfo = BERLIN) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=zone)


async def test_a_night_begins_when_the_window_opens(bench: Bench) -> None:
    """Work that was there before waits for 22:00 in Berlin; nothing new starts after 05:45; then it waits again."""
    bench.world.enqueue()
    await bench.run(at(12, day=21))
    [started] = bench.world.started
    assert at(22) <= started <= at(22, 1)
    assert bench.world.last_starts == [at(5, 45, day=21)]
    assert bench.listener.facts[0] == {"READY": "1", "STATUS": "starting"}
    assert "waiting for the window, until 2026-11-20 22:00 CET" in bench.listener.status()
    assert bench.listener.status()[-2] == "waiting for the window, until 2026-11-21 22:00 CET"
    assert bench.listener.facts[-1]["STOPPING"] == "1"


async def test_idle_it_looks_only_when_a_file_changed(bench: Bench) -> None:
    """A whole window without work costs one look at the store, not one each time round."""
    await bench.run(at(7, day=21))
    assert bench.world.started == []
    assert bench.world.looks == 1


async def test_work_that_arrives_during_a_look_is_found(bench: Bench) -> None:
    """A batch written while the daemon reads the store is not taken for one that it has seen."""
    bench.world.arriving = 1
    await bench.run(at(23))
    assert len(bench.world.started) == 1


async def test_a_second_batch_in_the_same_window_is_another_night(bench: Bench) -> None:
    """What is enqueued at 01:00 is worked at 01:00, and what comes at 05:50 waits for the evening."""
    await bench.run(
        at(23, day=21),
        (at(1, day=21), lambda _: bench.world.enqueue()),
        (at(5, 50, day=21), lambda _: bench.world.enqueue()),
    )
    assert [one.astimezone(BERLIN).hour for one in bench.world.started] == [1, 22]


async def test_a_night_that_outlasts_the_window_is_asked_then_cancelled_then_killed(bench: Bench) -> None:
    """At 06:00 it is asked, three minutes later cancelled, 45 s after that killed; its report is written."""
    bench.world.enqueue()
    bench.world.hours, bench.world.obeys = 20.0, 3
    bench.world.leaves = Work(open_night="n1")
    await bench.run(at(7, day=21))
    [child] = bench.world.ended
    first, second = child.asked
    assert at(6, day=21) <= first <= at(6, 1, day=21)
    assert timedelta(minutes=3) <= second - first <= timedelta(minutes=4)
    assert child.killed
    assert bench.world.reports == 1
    assert bench.events("press") == [
        "the window has ended: the night finishes what runs",
        "the window has ended: the night is cancelled",
        "the window has ended: the night is killed",
    ]


async def test_a_refused_night_is_not_repeated_until_something_changes(bench: Bench) -> None:
    """Exit code 3 waits an hour, or for a changed file; the status says why."""
    bench.world.enqueue()
    bench.world.codes = [3, 3, 0]
    bench.world.hours = 0.0
    await bench.run(at(23, 50), (at(23, 30), lambda _: bench.world.enqueue(2)))
    assert [(one.astimezone(BERLIN).hour, one.minute) for one in bench.world.started] == [
        (22, 0),
        (23, 0),
        (23, 30),
    ]
    assert any("was refused (exit code 3)" in one for one in bench.listener.status())


async def test_a_night_that_crashes_is_tried_again_with_growing_pauses(bench: Bench) -> None:
    """A killed night, a fault of the machine, a child that cannot be started: each waits longer; then all is well."""
    bench.world.enqueue()
    bench.world.hours = 0.0
    bench.world.codes = [-9, 4, 99, 0]
    await bench.run(at(23))
    pauses = [b - a for a, b in zip(bench.world.started, bench.world.started[1:], strict=False)]
    assert [one // timedelta(minutes=1) for one in pauses] == [1, 2, 4]
    assert ("trouble", "no such program") in bench.said


async def test_a_window_that_passed_unseen_is_told_and_left(bench: Bench) -> None:
    """The daemon was off from Wednesday on: it says which window was missed and that its work waits."""
    bench.memory.seen = at(12, day=19)
    bench.world.enqueue(3)
    await bench.run(at(21, 30))
    [text] = bench.events("missed")
    assert "missed the window 2026-11-19 21:00-05:00 UTC" in text
    assert "3 tasks wait; left for the next window, because catch_up = false" in text
    assert bench.world.started == []


async def test_a_window_that_passed_unseen_is_caught_up_by_policy(bench: Bench) -> None:
    """With catch_up it is worked at once, and the window that follows is none the worse for it."""
    bench.rules = Rules(WINDOW.model_copy(update={"catch_up": True}), BERLIN)
    bench.memory.seen = at(12, day=19)
    bench.world.enqueue(3)
    await bench.run(at(23), (at(22, 30), lambda _: bench.world.enqueue()))
    assert len(bench.world.started) == 2
    assert bench.world.started[0] < EVENING + timedelta(minutes=2)
    assert bench.world.last_starts[0] == at(22)
    assert "caught up now" in bench.events("missed")[0]


async def test_a_machine_that_slept_through_the_window_says_so(bench: Bench) -> None:
    """The clock jumps over the night while the daemon runs."""
    bench.world.enqueue()
    await bench.run(at(12, day=21), (at(21), lambda _: bench.clock.advance(11 * 3_600)))
    assert len(bench.events("missed")) == 1
    assert bench.world.started == []


async def test_the_first_start_has_missed_nothing(bench: Bench) -> None:
    """Without a memory there is nothing to reproach; with one of a minute ago neither."""
    await bench.run(at(21))
    assert bench.memory.seen is not None
    await bench.run(at(21, 30))
    assert bench.events("missed") == []


async def test_reload_takes_a_new_window_at_once_and_keeps_the_old_one_when_the_new_is_wrong(
    bench: Bench,
) -> None:
    """No restart is needed, and no mistake in a file stops the service."""
    bench.world.enqueue()

    def wrong(daemon: Daemon) -> None:
        bench.wrong = True
        daemon.reload()

    def right(daemon: Daemon) -> None:
        bench.wrong, bench.rules = False, Rules(None, BERLIN)
        daemon.reload()

    await bench.run(at(21, 30), (at(20, 30), wrong), (at(21), right))
    assert bench.events("trouble") == ["the old policy stays in force: policies/night.toml: wrong"]
    [started] = bench.world.started
    assert at(21) <= started <= at(21, 1)
    assert bench.world.last_starts == [None]
    before = bench.listener.status()[: bench.listener.status().index("the policy was read again")]
    assert before[-1] == "waiting for the window, until 2026-11-20 22:00 CET", (
        "it says again what it waits for"
    )
    facts = [next(iter(one)) for one in bench.listener.facts]
    assert facts.count("RELOADING") == 2
    assert facts.count("READY") == 3


async def test_a_store_that_cannot_be_read_is_looked_at_again(bench: Bench) -> None:
    """A damaged store is told, costs no night and no loop, and is tried again each minute."""
    bench.world.enqueue()
    bench.world.broken = True

    def mend(_: Daemon) -> None:
        bench.world.broken = False

    await bench.run(at(23), (at(22, 10), mend))
    assert 8 <= len(bench.events("trouble")) <= 12
    assert len(bench.world.started) == 1


async def test_a_daemon_that_died_in_the_window_catches_up_or_says_why_not(bench: Bench) -> None:
    """Dead from 22:01 to 07:00 with five tasks waiting: by policy they are worked at once, else they are told of."""
    bench.memory.seen = at(22, 1)
    bench.clock.advance((at(7, day=21) - bench.clock.now()).total_seconds())
    bench.world.enqueue(5)
    bench.world.leaves = Work(tasks=5)
    bench.world.hours = 0.5
    await bench.run(at(7, 30, day=21))
    assert bench.world.started == []
    [said] = bench.events("missed")
    assert said == (
        "missed the rest of the window, 2026-11-20 21:01-05:00 UTC: not running from 2026-11-20 21:01 UTC on; "
        "5 tasks wait; left for the next window, because catch_up = false in policies/night.toml"
    )
    bench.said.clear()
    bench.memory.seen = at(22, 1)
    bench.rules = Rules(WINDOW.model_copy(update={"catch_up": True}), BERLIN)
    bench.world.leaves = Work()
    await bench.run(at(8, 30, day=21))
    [started] = bench.world.started
    assert at(7, 30, day=21) <= started <= at(7, 31, day=21)
    assert "caught up now" in bench.events("missed")[0]


@pytest.mark.parametrize("catch_up", [False, True])
async def test_a_spent_budget_is_not_caught_up(bench: Bench, catch_up: bool) -> None:
    """What a night of the same window has left is the next window's, whoever slept since: no night, and not a word."""
    bench.rules = Rules(WINDOW.model_copy(update={"catch_up": catch_up}), BERLIN)
    bench.memory.seen = at(2, day=21)
    bench.clock.advance((at(7, day=21) - bench.clock.now()).total_seconds())
    bench.world.work = Work(left=(Left(at(22), 2),))
    await bench.run(at(8, day=21))
    assert bench.world.started == []
    assert bench.events("missed") == []


async def test_what_is_caught_up_leaves_what_a_night_of_that_window_has_left(bench: Bench) -> None:
    """A batch that waited is worked by day; the night is told to leave the rest, and the sentence says so."""
    bench.rules = Rules(WINDOW.model_copy(update={"catch_up": True}), BERLIN)
    bench.memory.seen = at(2, day=21)
    bench.clock.advance((at(7, day=21) - bench.clock.now()).total_seconds())
    bench.world.work = Work(tasks=1, left=(Left(at(22), 2), Left(at(22, day=19), 3)))
    bench.world.leaves = Work(left=(Left(at(22), 2),))
    await bench.run(at(8, 30, day=21))
    assert bench.world.left_before == [at(22)]
    [said] = bench.events("missed")
    assert said.endswith(
        "; 4 tasks wait, 2 that a night has not reached wait for the next window; caught up now (catch_up = true)"
    )


async def test_a_window_that_left_only_what_waits_anyway_blames_no_policy(bench: Bench) -> None:
    """A night by hand spent its budget while the daemon was off: nothing is caught up, and it does not say so."""
    bench.rules = Rules(WINDOW.model_copy(update={"catch_up": True}), BERLIN)
    bench.memory.seen = at(21)
    bench.clock.advance((at(7, day=21) - bench.clock.now()).total_seconds())
    bench.world.work = Work(left=(Left(at(23), 2),))
    await bench.run(at(8, day=21))
    [said] = bench.events("missed")
    assert said.endswith("; 2 that a night has not reached wait for the next window")
    assert bench.world.started == []


async def test_a_clock_that_was_set_back_ends_what_it_had_missed(bench: Bench) -> None:
    """What a wrong clock made the daemon catch up ends with it: the window that is open then has its own last start."""
    bench.rules = Rules(WINDOW.model_copy(update={"catch_up": True}), BERLIN)
    bench.memory.seen = at(21)
    bench.clock.advance((at(7, day=21) - bench.clock.now()).total_seconds())
    bench.world.enqueue()
    back = (at(23) - at(9, day=21)).total_seconds()

    def set_back(_: Daemon) -> None:
        bench.clock.advance(back)
        bench.world.enqueue()

    steps = [(at(9, day=21), set_back)]
    await bench.run(at(9, 1, day=21), *steps)
    assert bench.world.last_starts == [at(15, day=21), at(5, 45, day=21)]


async def test_a_daemon_that_comes_back_after_the_last_start_tells_of_the_window_too(bench: Bench) -> None:
    """At 05:50 the window is open still, and nothing may start in it any more."""
    bench.memory.seen = at(21)
    bench.clock.advance((at(5, 50, day=21) - bench.clock.now()).total_seconds())
    bench.world.enqueue()
    await bench.run(at(7, day=21))
    assert len(bench.events("missed")) == 1
    assert bench.world.started == []


@pytest.mark.parametrize("seen", [at(22, 1), at(5, 41, day=21), at(5, 59, day=21)])
async def test_a_window_that_left_nothing_undone_is_not_missed(bench: Bench, seen: datetime) -> None:
    """Stopped when all was done, or so shortly before the last start that nothing was lost: not a word."""
    bench.memory.seen = seen
    bench.clock.advance((at(7, day=21) - bench.clock.now()).total_seconds())
    if seen > at(22, 1):
        bench.world.enqueue()
    await bench.run(at(8, day=21))
    assert bench.events("missed") == []


async def test_a_shorter_window_reaches_the_night_that_runs(bench: Bench) -> None:
    """At 23:30 the end becomes 01:00: from 00:45 on it finishes what runs, and at 01:00 the rest is cancelled."""
    bench.world.enqueue(3)
    bench.world.hours, bench.world.obeys = 10, 2
    bench.world.leaves = Work(open_night="n1")

    def shorten(daemon: Daemon) -> None:
        bench.rules = Rules(WINDOW.model_copy(update={"end": time_of(1)}), BERLIN)
        daemon.reload()

    await bench.run(at(2, day=21), (at(23, 30), shorten))
    [child] = bench.world.ended
    first, second = child.asked
    assert at(0, 45, day=21) <= first <= at(0, 46, day=21)
    assert at(1, day=21) <= second <= at(1, 1, day=21)
    assert bench.events("night")[-1] == (
        "the night that runs starts nothing after 2026-11-21 00:45 CET, and has to be over at 2026-11-21 01:00 CET"
    )
    assert bench.events("press") == [
        "the window ends sooner than it did: the night finishes what runs",
        "the window has ended: the night is cancelled",
    ]


async def test_a_longer_window_lets_the_night_that_runs_go_on(bench: Bench) -> None:
    """At 23:30 the end becomes 08:00: nobody asks it at 06:00, and what it may not start any more the next one does."""
    bench.world.enqueue(3)
    bench.world.hours = 9.0
    bench.world.leaves = Work(tasks=1)

    def lengthen(daemon: Daemon) -> None:
        bench.rules = Rules(WINDOW.model_copy(update={"end": time_of(8)}), BERLIN)
        daemon.reload()

    await bench.run(at(7, 30, day=21), (at(23, 30), lengthen))
    first, second = bench.world.ended
    assert first.asked == []
    assert (
        "the night that runs starts nothing after 2026-11-21 05:45 CET, and has to be over at 2026-11-21 08:00 CET"
    ) in bench.events("night")
    assert second.clock.now() >= at(7, day=21)
    assert bench.world.last_starts == [at(5, 45, day=21), at(7, 45, day=21)]
    assert bench.world.ends == [at(6, day=21), at(8, day=21)]


async def test_a_window_that_is_over_under_the_new_policy_ends_its_night_at_once(bench: Bench) -> None:
    """At 03:00 the end becomes 01:00; and a policy without a window bounds nothing any more."""
    bench.world.enqueue(3)
    bench.world.hours = 10

    def shorten(daemon: Daemon) -> None:
        bench.rules = Rules(WINDOW.model_copy(update={"end": time_of(1)}), BERLIN)
        daemon.reload()

    await bench.run(at(4, day=21), (at(3, day=21), shorten))
    [child] = bench.world.ended
    assert at(3, day=21) <= child.asked[0] <= at(3, 1, day=21)


async def test_a_model_server_that_loads_when_the_window_opens_costs_minutes(bench: Bench) -> None:
    """Refused at 22:00, tried again after 1, 2 and 4 minutes, then it works; the record has the night's own words."""
    bench.world.enqueue()
    bench.world.hours = 0.0
    bench.world.codes = [3, 3, 3, 0]
    bench.world.words = {7: Refusal("server_away", "the model server does not answer", "Start it.")}
    await bench.run(at(23))
    pauses = [b - a for a, b in zip(bench.world.started, bench.world.started[1:], strict=False)]
    assert [one // timedelta(minutes=1) for one in pauses] == [1, 2, 4]
    assert (
        bench.events("refused")
        == ["a night was refused (exit code 3): the model server does not answer. Start it."] * 3
    )
    assert [text for _, text in bench.kept] == bench.events("refused")
    assert bench.kept[0][0].startswith("2026-11-20 22:0")


LANDING = LandingHours(MergeWindowPolicy(start=time_of(5), end=time_of(7)), BERLIN)


async def test_what_waits_to_land_is_landed_when_the_merge_window_opens(bench: Bench) -> None:
    """The night ends with allowed changes; the daemon says until when they wait, and starts no night before."""
    bench.rules = replace(bench.rules, landing=LANDING)
    bench.world.enqueue()
    bench.world.leaves = Work(to_land=2)

    def landed(_: Daemon) -> None:
        bench.world.leaves = Work()

    await bench.run(at(12, day=21), (at(4, day=21), landed))
    first, second = bench.world.started
    assert first < at(22, 1)
    assert at(5, day=21) <= second <= at(5, 1, day=21)
    assert bench.world.landings == [False, False], (
        "the night's own window is still open: new tasks may begin as well"
    )


async def test_where_the_nights_window_has_ended_only_landing_is_started(bench: Bench) -> None:
    """A merge window from 06:30 on, after the night's: one process that lands, until its end, and no new task."""
    bench.rules = replace(
        bench.rules,
        landing=LandingHours(MergeWindowPolicy(start=time_of(6, 30), end=time_of(7)), BERLIN),
    )
    bench.world.enqueue()
    bench.world.leaves = Work(to_land=2)

    def more(_: Daemon) -> None:
        bench.world.work, bench.world.leaves = Work(tasks=3, to_land=2), Work(tasks=3)
        bench.world.changes += 1

    await bench.run(at(12, day=21), (at(6, 10, day=21), more))
    _, second = bench.world.started
    assert at(6, 30, day=21) <= second <= at(6, 31, day=21)
    assert bench.world.landings == [False, True]
    assert bench.world.last_starts[1] == at(7, day=21)
    assert any(
        line.startswith("waiting for the window, until 2026-11-21 06:30") for line in bench.listener.status()
    )


async def test_landing_that_fails_is_not_repeated_in_a_hot_loop(bench: Bench) -> None:
    """A landing that is refused waits for a change, an hour, or the next window."""
    bench.rules = replace(
        bench.rules,
        landing=LandingHours(MergeWindowPolicy(start=time_of(6, 30), end=time_of(7)), BERLIN),
    )
    bench.world.work = Work(to_land=2)
    bench.world.codes, bench.world.hours = [3] * 50, 0.001
    await bench.run(at(12, day=21))
    assert len(bench.world.started) == 1


def test_a_loop_that_is_blocked_gives_no_sign_of_life() -> None:
    """The watchdog is fed while the daemon idles, and starves while anything holds the loop."""
    world = World(FakeClock(EVENING))
    listener = Listener(watchdog_s=0.3)
    bench = Bench(LoopClock(), world, Memory(), listener, Rules(None, BERLIN))
    daemon = bench.make()

    async def block() -> None:
        await asyncio.sleep(0.6)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        # The fault: time goes by and nobody else's turn comes.
        loop._now += 0.9
        await asyncio.sleep(0.5)
        daemon.stop()

    async def serve() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(block(), name="block")
            await daemon.run()

    run_virtually(serve())
    gaps = [later - earlier for earlier, later in zip(listener.beats, listener.beats[1:], strict=False)]
    assert sum(gap > 0.8 for gap in gaps) == 1
    assert sum(gap < 0.3 for gap in gaps) == len(gaps) - 1 >= 8


class LoopClock(FakeClock):
    """The time of the loop."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
