"""The merge queue blames only who is to blame, in few runs, whoever the guilty ones are."""

from collections.abc import Callable, Collection
from math import ceil, log2

from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.merge_queue import Bisection, MergePolicy, decide_retest, widen_slots

PATHS = st.frozensets(st.sampled_from("abcdef"))


def work_off(size: int, good: Callable[[Collection[int]], bool]) -> tuple[list[int], list[int], int]:
    """Land a batch as the engine does: (landed, blamed, runs)."""
    landed: list[int] = []
    blamed: list[int] = []
    rest, runs = list(range(size)), 0
    while rest:
        search = Bisection(len(rest))
        while (probe := search.probe) is not None:
            runs += 1
            search = search.learn(probe, passed=good([*landed, *rest[:probe]]))
        landed += rest[: search.passing]
        if search.guilty is not None:
            assert search.guilty == search.passing
            blamed.append(rest[search.guilty])
            rest = rest[search.guilty + 1 :]
        else:
            rest = []
    return landed, blamed, runs


def in_order(size: int, good: Callable[[Collection[int]], bool]) -> list[int]:
    """Return who lands when one after the other is tested on top of what has landed."""
    landed: list[int] = []
    for one in range(size):
        if good([*landed, one]):
            landed.append(one)
    return landed


def most_runs(size: int, blamed: int) -> int:
    return blamed * (1 + ceil(log2(max(size, 1)))) + 1


@given(st.integers(1, 40), st.data())
def test_only_the_guilty_fail(size: int, data: st.DataObject) -> None:
    """Any set of changes that fail by themselves: exactly those are blamed, in few runs."""
    guilty = data.draw(st.frozensets(st.integers(0, size - 1)))
    landed, blamed, runs = work_off(size, lambda chosen: not guilty & set(chosen))
    assert blamed == sorted(guilty)
    assert landed == [one for one in range(size) if one not in guilty]
    assert runs <= most_runs(size, len(blamed))


@given(st.integers(2, 24), st.data())
def test_changes_that_only_fail_together(size: int, data: st.DataObject) -> None:
    """Sets of two and three that fail together only: what lands is what lands one by one, and it passes."""
    sets = data.draw(
        st.lists(st.frozensets(st.integers(0, size - 1), min_size=1, max_size=3), min_size=1, max_size=5)
    )

    def good(chosen: Collection[int]) -> bool:
        return not any(one <= set(chosen) for one in sets)

    landed, blamed, runs = work_off(size, good)
    assert landed == in_order(size, good)
    assert good(landed)
    assert runs <= most_runs(size, len(blamed))


@given(st.integers(1, 16), st.randoms(use_true_random=False))
def test_whatever_lands_was_seen_to_pass(size: int, random: object) -> None:
    """Also where adding a change mends what another broke: every landed prefix, and none blamed without a failure."""
    seen: dict[tuple[int, ...], bool] = {}

    def good(chosen: Collection[int]) -> bool:
        return seen.setdefault(tuple(chosen), random.random() < 0.6)  # type: ignore[attr-defined]

    landed, blamed, runs = work_off(size, good)
    assert sorted([*landed, *blamed]) == list(range(size))
    assert (
        not landed or seen[tuple(landed)] or any(seen[tuple(landed[:n])] for n in range(1, len(landed) + 1))
    )
    for one in blamed:
        before = [other for other in landed if other < one]
        assert seen[(*before, one)] is False
        assert not before or seen.get(tuple(before)) is True
    assert runs <= most_runs(size, len(blamed))


@given(st.integers(0, 40), st.integers(0, 40))
def test_what_needs_no_test_is_not_tested(size: int, free: int) -> None:
    """A prefix that is what was reviewed passes without a run."""
    free = min(free, size)
    search = Bisection(size, passing=free)
    assert search.probe == (None if free == size else size)
    assert search.guilty is None


@given(PATHS, PATHS, st.booleans())
def test_nothing_is_tested_again_where_nothing_moved(
    own: frozenset[str], moved: frozenset[str], tested: bool
) -> None:
    """An unmoved branch asks for nothing; a moved one for the checks, and for the tests where the flow has them."""
    again = decide_retest(own, moved, tested=tested)
    assert again.checks == bool(moved)
    assert again.tests == (tested and bool(moved))
    assert again.shared == tuple(sorted(own & moved))


@given(PATHS, PATHS, PATHS)
def test_more_movement_never_asks_for_less(
    own: frozenset[str], moved: frozenset[str], more: frozenset[str]
) -> None:
    """What has to be passed again only grows with what the branch has seen."""
    less, much = (decide_retest(own, paths, tested=True) for paths in (moved, moved | more))
    assert (less.checks, less.tests) <= (much.checks, much.tests)
    assert set(less.shared) <= set(much.shared)


@given(st.integers(1, 64), st.integers(1, 64))
def test_a_batch_can_wait_together(git: int, batch: int) -> None:
    """There is room for as many merges as a batch holds, never less than was configured, and nothing else changes."""
    slots = widen_slots({"model": 1, "git": git}, MergePolicy(batch=batch))
    assert slots == {"model": 1, "git": max(git, batch)}
    assert widen_slots({"model": 1}, MergePolicy(batch=batch)) == {"model": 1}
