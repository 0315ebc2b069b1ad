"""Dispatch decisions: no slot is given twice, nothing that fits waits, and the order is the declared one."""

from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.dispatch import Candidate, plan_dispatch

names = st.sampled_from(["model", "cpu", "git"])
frees = st.dictionaries(names, st.integers(0, 4))


@st.composite
def candidates(draw: st.DrawFn) -> list[Candidate]:
    """Ready nodes with different places in the plan."""
    count = draw(st.integers(0, 10))
    return [
        Candidate(
            key=f"t{place}#n",
            task=f"t{place}",
            priority=draw(st.integers(-2, 2)),
            rank=draw(st.integers(0, 4)),
            order=place,
            resources=draw(st.dictionaries(names, st.integers(1, 3))),
            begun=draw(st.booleans()),
        )
        for place in range(count)
    ]


def urgency(one: Candidate) -> tuple[int, int, float, int]:
    """Priority, begun tasks, the longest remaining path, the queue."""
    return (one.priority, int(one.begun), one.rank, -one.order)


@given(candidates(), frees)
def test_slots_are_never_given_twice(ready: list[Candidate], free: dict[str, int]) -> None:
    """Together the chosen nodes take no more than is free, and each is chosen once and was ready."""
    chosen = plan_dispatch(ready, free)
    known = {one.key: one for one in ready}
    assert len(set(chosen)) == len(chosen)
    for name, slots in free.items():
        assert sum(known[key].resources.get(name, 0) for key in chosen) <= slots


@given(candidates(), frees)
def test_nothing_that_fits_waits(ready: list[Candidate], free: dict[str, int]) -> None:
    """What was not chosen does not fit beside what was: the night is never idle for nothing."""
    chosen = set(plan_dispatch(ready, free))
    left = {
        name: slots - sum(one.resources.get(name, 0) for one in ready if one.key in chosen)
        for name, slots in free.items()
    }
    for one in ready:
        if one.key not in chosen:
            assert any(left.get(name, cost) < cost for name, cost in one.resources.items())


@given(candidates(), frees)
def test_the_most_urgent_go_first(ready: list[Candidate], free: dict[str, int]) -> None:
    """The chosen come in order of urgency, and no node gives way to a less urgent one that needs as much."""
    known = {one.key: one for one in ready}
    chosen = [known[key] for key in plan_dispatch(ready, free)]
    assert [urgency(one) for one in chosen] == sorted((urgency(one) for one in chosen), reverse=True)
    for waiting in ready:
        for started in chosen:
            if waiting not in chosen and waiting.resources == started.resources:
                assert urgency(started) > urgency(waiting)


@given(candidates(), frees, st.randoms(use_true_random=False))
def test_the_order_of_the_snapshot_does_not_matter(
    ready: list[Candidate], free: dict[str, int], random: object
) -> None:
    """The same ready nodes in another order give the same decision, and the snapshot is left as it was."""
    before = dict(free)
    shuffled = list(ready)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert plan_dispatch(ready, free) == plan_dispatch(shuffled, free)
    assert free == before


@given(candidates())
def test_resources_that_are_not_named_are_unlimited(ready: list[Candidate]) -> None:
    """Without slots everything that is ready starts."""
    assert len(plan_dispatch(ready, {})) == len(ready)
