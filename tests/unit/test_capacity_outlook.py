"""The outlook on tonight's queue, its parts and its picture."""

import math
import xml.etree.ElementTree as ET

import pytest

from pantheon.core.capacity_figures import Basis, Experience, NightResult, Waiting
from pantheon.core.capacity_fit import CallCost, fit_call, measure_service
from pantheon.core.capacity_outlook import foresee
from pantheon.core.capacity_scaling import Pace
from pantheon.core.errors import FlowError
from pantheon.core.flow import Flow
from pantheon.report.capacity_plot import plot_svg, plot_text

FLOW = Flow.model_validate(
    {
        "name": "docs",
        "accepts": ["docs"],
        "node": [
            {"id": "write", "agent": "writer", "writes": True, "resources": {"model": 1}},
            {"id": "check", "gate": "check", "needs": ["write"], "expected_s": 5, "resources": {"cpu": 1}},
            {"id": "merge", "gate": "merge", "needs": ["check"]},
        ],
    }
)
SLOTS = {"model": 1, "cpu": 2}


def queue(count: int, **needs: tuple[str, ...]) -> list[Waiting]:
    return [Waiting(f"b/t{n}", FLOW, needs.get(f"t{n}", ())) for n in range(count)]


def test_the_sentence_names_hours_and_load():
    """10 tasks of 1,872 s on one slot are 5.2 of 8 hours: rho 0.65."""
    known = Experience(nights=1, durations={"writer": (1872.0,) * 4, "check": (5.0,), "merge": (0.1,)})
    found = foresee(queue(10), known, slots=SLOTS, window_s=8 * 3600)
    assert found.sentence == "tonight's queue needs 5.2 h of the 8 h window; rho 0.65 for model"
    assert found.resources[0].queue.load == pytest.approx(0.65)
    assert not found.guessed


def test_what_was_not_measured_says_so():
    """Durations come from measurements, else from the flow's author, else they are guesses."""
    found = foresee(queue(3), Experience(), slots=SLOTS, window_s=3600)
    assert {one.work: one.basis for one in found.work} == {
        "writer": Basis.GUESSED,
        "check": Basis.EXPECTED,
        "merge": Basis.GUESSED,
    }
    assert "nothing was measured yet" in found.sentence
    partly = foresee(queue(3), Experience(nights=1, durations={"writer": (9.0,)}), slots=SLOTS, window_s=3600)
    assert "partly by guesses" in partly.sentence


def test_more_than_fits_is_said():
    """A load above 1 has no waiting time, and the sentence says that work will be left."""
    known = Experience(nights=1, durations={"writer": (3600.0,)})
    found = foresee(queue(10), known, slots=SLOTS, window_s=3600)
    assert "it will not be finished" in found.sentence
    assert found.resources[0].queue.wait_s is None
    more = {**SLOTS, "model": 20}
    assert foresee(queue(10), known, slots=more, window_s=3600).resources[0].load_low == 0.5
    assert foresee(queue(10), known, slots=more, window_s=3600).resources[0].queue.load == 10
    as_fast = known.model_copy(update={"paces": {"model": (Pace("writer", 20, 40, 144_000.0, 40),)}})
    assert foresee(queue(10), as_fast, slots=more, window_s=3600).resources[0].queue.load == 0.5


def test_a_chain_of_tasks_cannot_be_shortened_by_slots():
    """Tasks that need each other take as long as they take, whatever the slots; what does not wait is no need."""
    known = Experience(nights=1, durations={"writer": (100.0,), "check": (10.0,), "merge": (10.0,)})
    chain = queue(3, t1=("b/t0",), t2=("b/t1", "b/gone"))
    found = foresee(chain, known, slots={"model": 50, "cpu": 50}, window_s=3600)
    assert found.needed_h == found.longest_path_h == pytest.approx(360 / 3600)


def test_a_circle_is_refused():
    """Tasks that need each other in a circle are an error, not an endless night."""
    with pytest.raises(FlowError, match="circle"):
        foresee(queue(2, t0=("b/t1",), t1=("b/t0",)), Experience(), slots=SLOTS, window_s=60)


def test_expected_changes_follow_the_share_that_was_accepted():
    """All of a queue that fits is served: half of it lands when half always did, and the interval is around that."""
    known = Experience(nights=2, durations={"writer": (10.0,) * 50}, tasks={"writer": (20, 40)})
    found = foresee(queue(30), known, slots=SLOTS, window_s=3600)
    assert found.accepted == pytest.approx(15)
    assert 0 < found.accepted_low < 15 < found.accepted_high <= 30


def test_a_window_too_short_lands_less():
    """Half the needed hours land half as much."""
    known = Experience(nights=2, durations={"writer": (100.0,) * 50}, tasks={"writer": (20, 40)})
    whole = foresee(queue(36), known, slots=SLOTS, window_s=3600)
    half = foresee(queue(36), known, slots=SLOTS, window_s=1800)
    assert half.accepted == pytest.approx(whole.accepted / 2)


def test_nobody_judged_means_no_expectation():
    """Without a judged task there is no number, rather than a made-up one."""
    found = foresee(queue(3), Experience(), slots=SLOTS, window_s=3600)
    assert (found.accepted, found.accepted_low, found.accepted_high) == (None, None, None)


def test_an_empty_queue_needs_nothing():
    """Nothing waits: no load, no hours, no guesses."""
    found = foresee((), Experience(), slots=SLOTS, window_s=3600)
    assert (found.tasks, found.needed_h, found.resources, found.guessed) == (0, 0.0, (), False)


def test_the_curve_is_over_the_changes_landed_before_each_night():
    """Examples of a night are the changes that earlier nights landed; nights without a verdict are left out."""
    results = (*(NightResult(20, accepted) for accepted in (8, 11, 13, 14)), NightResult(0, 0))
    found = foresee((), Experience(nights=5, results=results), slots=SLOTS, window_s=3600)
    assert found.learning is not None
    assert (found.learning.points, found.learned) == (4, 46)
    assert 0.4 <= found.next_pass_rate <= 0.8


def test_a_mean_of_few_is_wide_and_of_many_narrow():
    """One duration allows 0.27 to 39.5 times it, as a closed form says; a thousand about 6 %; both rules meet at 50."""
    one, many = measure_service([10.0]), measure_service([10.0] * 1000)
    assert (one.low_s, one.high_s) == pytest.approx((-10 / math.log(0.025), -10 / math.log(0.975)))
    near, next_to_it = measure_service([10.0] * 50), measure_service([10.0] * 51)
    assert (near.low_s, near.high_s) == pytest.approx((next_to_it.low_s, next_to_it.high_s), rel=0.01)
    assert (many.low_s, many.high_s) == pytest.approx((9.41, 10.65), rel=0.01)
    assert measure_service([]) is measure_service([0.0]) is None


def test_calls_are_taken_apart_when_they_differ():
    """Exact costs give back their parts; and what a shared prefix saves follows from them."""
    costs = tuple(
        CallCost(c, p, o, 0.5 * c + 0.002 * p + 0.05 * o)
        for c, p, o in ((1, 900, 40), (2, 1100, 90), (1, 300, 10), (3, 2000, 20), (1, 50, 80), (2, 10, 15))
    )
    parts = fit_call(costs)
    assert (parts.tau_s, parts.prefill_s, parts.decode_s) == pytest.approx((0.5, 0.002, 0.05))
    known = Experience(nights=1, costs=costs, mean_prompt_tokens=1000, mean_completion_tokens=20)
    rows = foresee((), known, slots=SLOTS, window_s=60).batching
    assert [(row.batch, round(row.seconds, 3)) for row in rows][:2] == [(1, 3.5), (2, 2.5)]


@pytest.mark.parametrize(
    "costs",
    [
        (),
        (CallCost(1, 100, 10, 2.0),) * 20,
        tuple(CallCost(1, 100 * n, 10 * n, 5.0 - 0.3 * n) for n in range(1, 10)),
        tuple(CallCost(0, 10, 1, 1.0) for _ in range(20)),
    ],
)
def test_calls_that_say_nothing_are_not_taken_apart(costs):
    """Too few, all alike, or costing less the more there is to do: no parts."""
    assert fit_call(costs) is None


def test_bars_are_as_long_as_the_load():
    """The mark in the middle is a full window; more than twice the window does not run over."""
    known = Experience(
        nights=1,
        durations={"writer": (3600.0,), "check": (1800.0,)},
        paces={"cpu": (Pace("check", 2, 4, 7200.0, 4),)},
    )
    lines = plot_text(foresee(queue(4), known, slots=SLOTS, window_s=3600))
    assert lines[0] == f"model [{'#' * 20}|{'#' * 20}] rho 4.00"
    assert lines[1] == f"cpu   [{'#' * 20}|{'.' * 20}] rho 1.00"


def test_the_picture_stands_alone_and_is_escaped():
    """A hostile resource name is text, and there is nothing to fetch or to run."""
    flow = FLOW.model_copy(
        update={"node": (FLOW.node[0].model_copy(update={"resources": {'<script x="&\x1b': 1}}),)}
    )
    slots = {'<script x="&\x1b': 1}
    picture = plot_svg(foresee([Waiting("b/t", flow)], Experience(), slots=slots, window_s=60))
    tree = ET.fromstring(picture)
    assert {node.tag.rpartition("}")[2] for node in tree.iter()} <= {
        "svg",
        "title",
        "rect",
        "text",
        "line",
        "polyline",
    }
    assert not [
        name for node in tree.iter() for name in node.attrib if name.startswith("on") or "href" in name
    ]
    assert "\x1b" not in picture
    assert ET.fromstring(plot_svg(foresee((), Experience(), slots={}, window_s=60))) is not None
