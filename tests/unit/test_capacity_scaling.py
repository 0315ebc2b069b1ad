"""What more at once is worth: the curve against measured throughput, and what is said where nothing was measured."""

import pytest

from pantheon.core.capacity import mmc
from pantheon.core.capacity_figures import Experience, Gain, Outlook, Waiting
from pantheon.core.capacity_outlook import foresee
from pantheon.core.capacity_scaling import SAME, Pace, Scaling, fit_scaling, mean_in_flight, stretch
from pantheon.core.flow import Flow
from pantheon.report.capacity_plot import plot_svg, plot_text

TOKENS = 6190
MEASURED = {1: 34.2, 2: 61.5, 4: 102.1, 8: 140.0, 16: 165.8}
"""Nights at 1 to 16 at once: output tokens per second of 48 tasks (benchmarks/NOTES.md, third set of runs)."""
FLOW = Flow.model_validate(
    {
        "name": "docs",
        "accepts": ["docs"],
        "node": [{"id": "write", "agent": "writer", "writes": True, "resources": {"model": 1}}],
    }
)


def paces(*at_once: int) -> tuple[Pace, ...]:
    """The table's nights: ``c`` calls at once take ``c`` times the wall time of the night together."""
    return tuple(Pace("writer", c, 48, c * TOKENS / MEASURED[c], TOKENS) for c in at_once)


def outlook(*at_once: int, slots: int = 16, tasks: int = 48, window_s: float = 8 * 3600) -> Outlook:
    """The outlook on the table's 48 tasks after nights at so many at once."""
    seconds = tuple(one.seconds / 48 for one in paces(*at_once) for _ in range(48))
    known = Experience(
        nights=len(at_once),
        durations={"writer": seconds},
        paces={"model": paces(*at_once)},
        tasks={"writer": (24, 48)},
    )
    waiting = [Waiting(f"b/t{n}", FLOW) for n in range(tasks)]
    return foresee(waiting, known, slots={"model": slots}, window_s=window_s)


def rate(known: tuple[int, ...], slots: int) -> float:
    """Output tokens per second that are forecast."""
    took = sum(one.seconds for one in paces(*known)) / sum(one.units for one in paces(*known))
    return slots / took / stretch(fit_scaling(paces(*known)), paces(*known), slots).likely


@pytest.mark.parametrize(("slots", "within"), [(1, 0.01), (2, 0.01), (4, 0.01), (8, 0.10), (16, 0.25)])
def test_eight_and_sixteen_follow_from_one_two_and_four(slots: int, within: float) -> None:
    """Within 10 % at 8 and 25 % at 16, where linear scaling from the mean would be off by 95 and by 230 %."""
    assert rate((1, 2, 4), slots) == pytest.approx(MEASURED[slots], rel=within)


@pytest.mark.parametrize("slots", MEASURED)
def test_what_was_measured_is_met(slots: int) -> None:
    """With all five numbers at once known, each is met within 6 %, in their order."""
    assert rate(tuple(MEASURED), slots) == pytest.approx(MEASURED[slots], rel=0.06)
    forecast = [rate(tuple(MEASURED), c) for c in MEASURED]
    assert forecast == sorted(forecast)


def test_an_exact_line_gives_back_its_slope() -> None:
    """Times of ``2 (1 + 0.2 (c - 1))`` for each unit give 0.2, for two kinds of work of which one is harder."""
    exact = [
        Pace(work, c, 5, alone * (1 + 0.2 * (c - 1)) * 70, 70)
        for work, alone in (("a", 2.0), ("b", 9.0))
        for c in (1, 3, 6)
    ]
    found = fit_scaling(exact)
    assert found.slowing == pytest.approx(0.2, rel=1e-6)
    assert (found.low, found.high, found.attempts) == (1, 6, 30)
    assert found.rms == pytest.approx(0, abs=1e-6)
    assert (found.seconds(6), found.throughput(6)) == pytest.approx((2.0, 3.0))


def test_hard_work_at_many_at_once_is_no_slow_server() -> None:
    """Two kinds of work, each at one number at once, say nothing of what more at once do."""
    found = fit_scaling([Pace("easy", 1, 40, 40.0, 40), Pace("hard", 8, 40, 4000.0, 40)])
    assert found.slowing is None
    assert (found.low, found.high) == (1, 8)


def test_work_that_does_not_slow_down_scales_as_far_as_it_was_measured() -> None:
    """Where 8 at once each took as long as one alone, 8 slots are 8 times one; 16 are between that and twice it."""
    even = [Pace("a", 1, 5, 50.0, 5), Pace("a", 8, 5, 50.0, 5)]
    found = fit_scaling(even)
    assert found.slowing == 0
    assert stretch(found, even, 8) == SAME
    assert stretch(found, even, 16) == (1.0, 1.0, 2.0)


def test_a_server_that_gets_slower_with_more_is_not_made_better() -> None:
    """Four at once that do less together than one alone are forecast as that."""
    worse = [Pace("a", 1, 5, 5.0, 5), Pace("a", 4, 5, 30.0, 5)]
    found = fit_scaling(worse)
    assert found.throughput(4) == pytest.approx(4 / 6, rel=1e-6)
    far = stretch(found, worse, 16)
    assert far.low < far.likely == far.high


def test_fewer_slots_than_nights_had_are_bounded_too() -> None:
    """After nights at 8 at once only, one slot does between an eighth of their work and all of it."""
    known = [Pace("a", 8, 20, 160.0, 20)]
    assert stretch(fit_scaling(known), known, 1) == (1.0, 1 / 8, 1.0)


def test_a_few_attempts_are_no_point() -> None:
    """Two attempts that ran beside seven others make no curve."""
    found = fit_scaling([Pace("a", 1, 40, 40.0, 40), Pace("a", 8, 2, 9.0, 2)])
    assert (found.slowing, found.high) == (None, 1.0)
    assert fit_scaling([]) == Scaling()


def test_overlaps_are_averaged_over_an_attempts_own_time() -> None:
    """One that is alone for half of its time and beside two others for the rest had two in flight."""
    assert mean_in_flight([(0, 10, 1), (5, 10, 1), (5, 10, 1)]) == [2.0, 3.0, 3.0]
    assert mean_in_flight([(0, 5, 1), (5, 9, 2)]) == [1.0, 2.0]
    assert mean_in_flight([(3, 3, 1), (4, 2, 1)]) == [1.0, 1.0]
    assert mean_in_flight([]) == []


def test_nights_at_one_at_once_promise_nothing_for_sixteen() -> None:
    """The 48 calls took 37.3 s at 16; from nights at 1 follows 11 to 181 s, said as that, never 11 s alone."""
    found = outlook(1)
    assert found.resources[0].gain is Gain.UNKNOWN
    assert found.needed_low_h * 3600 == pytest.approx(11.3, abs=0.1)
    assert found.needed_h == found.needed_high_h == pytest.approx(181 / 3600, rel=0.01)
    assert found.sentence == (
        "tonight's queue needs 11 s to 3 min of the 8 h window; rho 0.00 to 0.01 for model; "
        "nights had at most 1 slot of model in use, what 16 gain was not measured"
    )


def test_nights_at_one_two_and_four_forecast_sixteen_with_an_interval() -> None:
    """The likely time is by the curve, within 25 % of the 37.3 s that were measured; the interval holds them."""
    found = outlook(1, 2, 4)
    row = found.resources[0]
    assert row.gain is Gain.FORECAST
    assert found.needed_h * 3600 == pytest.approx(37.3, rel=0.25)
    assert found.needed_low_h * 3600 < 37.3 < found.needed_high_h * 3600
    assert "about 31 s (15 s to 1 min)" in found.sentence
    assert "at most 4 slots of model in use, what 16 gain was not measured" in found.sentence


def test_nights_at_sixteen_are_taken_at_their_word() -> None:
    """What was measured at sixteen is what sixteen slots do: within 6 %, without an interval."""
    found = outlook(1, 2, 4, 8, 16)
    assert found.resources[0].gain is Gain.MEASURED
    assert found.needed_low_h == found.needed_h == found.needed_high_h
    assert found.needed_h * 3600 == pytest.approx(37.3, rel=0.06)
    assert found.sentence == "tonight's queue needs 36 s of the 8 h window; rho 0.00 for model"


@pytest.mark.parametrize("known", [(1,), (1, 2, 4), (1, 2, 4, 8, 16)])
def test_every_figure_is_of_the_same_service_rate(known: tuple[int, ...]) -> None:
    """Load, waiting time, the work's own rate, the bar and the picture go by one ``mu`` of a slot among sixteen."""
    found = outlook(*known, tasks=4800, window_s=3600)
    row, work = found.resources[0], found.work[0]
    assert row.queue.served_per_s == pytest.approx(1 / work.mean_s) == pytest.approx(work.per_hour / 3600)
    expected = mmc(4800 / 3600, 1 / work.mean_s, 16)
    assert row.queue.model_dump() == pytest.approx(expected.model_dump())
    assert row.queue.load == pytest.approx(row.hours) == pytest.approx(found.needed_h)
    assert row.load_low <= row.queue.load <= row.load_high
    ends = "" if row.gain is Gain.MEASURED else f" ({row.load_low:.2f} to {row.load_high:.2f})"
    assert plot_text(found)[0].endswith(f"rho {row.queue.load:.2f}{ends}")
    assert f"16 slots: rho {row.queue.load:.2f}{ends}" in plot_svg(found)


def test_a_short_queue_does_not_fill_sixteen_slots() -> None:
    """Four tasks on sixteen slots take as long as four at once do, not a sixteenth of their time."""
    found = outlook(1, 2, 4, tasks=4)
    assert (found.resources[0].in_use, found.resources[0].hours) == (4, pytest.approx(found.needed_h))
    assert found.needed_h * 3600 == pytest.approx(4 * TOKENS / 48 / MEASURED[4], rel=0.01)
    assert found.needed_low_h == found.needed_high_h


def test_what_lands_is_as_unsure_as_the_gain() -> None:
    """In a window that only a gain makes long enough, the interval of what lands reaches from none to all of it."""
    sure, unsure = outlook(16, tasks=480, window_s=360), outlook(1, tasks=480, window_s=360)
    assert sure.accepted_low > unsure.accepted_low
    assert unsure.accepted < sure.accepted <= unsure.accepted_high


@pytest.mark.parametrize(
    ("known", "slots", "window_s", "said"),
    [
        (
            (1,),
            16,
            600,
            "it may not be finished: at worst about 321 of 480 tasks are not reached and all of it takes 4",
        ),
        ((8,), 1, 1200, "it may not be finished: at worst about 318 of 480 tasks are not reached"),
        ((1, 2, 4), 16, 250, "it may not be finished: most likely about 87 of 480 tasks are not reached"),
        ((1, 2, 4), 16, 400, "; it may not be finished; nights had at most 4"),
        ((1, 2, 4), 16, 100, "it will not be finished: about "),
    ],
)
def test_whether_it_is_finished_is_as_unsure_as_the_gain(
    known: tuple[int, ...], slots: int, window_s: float, said: str
) -> None:
    """A window between the ends of the interval is told as that, for more slots and for fewer."""
    assert said in outlook(*known, slots=slots, tasks=480, window_s=window_s).sentence
