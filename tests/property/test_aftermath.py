"""What became of a change: laws of the classification, and of reverts of reverts."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.aftermath import (
    ChangeFate,
    Fate,
    FileTrace,
    Trace,
    classify,
    find_merged,
    lines_left,
    tally,
)
from pantheon.core.history import Commit, find_reverts, standing

FILES = st.lists(
    st.builds(
        FileTrace,
        path=st.sampled_from("ab"),
        now=st.sampled_from(("a", "b", None)),
        same=st.booleans(),
        added=st.integers(0, 5),
        left=st.integers(0, 9),
    ),
    max_size=4,
).map(tuple)
TRACES = st.builds(
    Trace,
    taken_back=st.booleans(),
    merged=st.sampled_from((None, "m" * 40)),
    reverted_by=st.sampled_from((None, "r" * 40)),
    files=FILES,
)
RANK = {Fate.KEPT: 2, Fate.CHANGED: 1, Fate.REVERTED: 0}


@given(TRACES)
def test_what_is_not_merged_is_open_or_was_taken_back(trace: Trace) -> None:
    """Nothing else makes a change open; every fate says how one sees it."""
    fate, how = classify(trace)
    assert (fate is Fate.OPEN) == (trace.merged is None and not trace.taken_back)
    assert how


@given(TRACES)
def test_a_revert_is_a_revert(trace: Trace) -> None:
    """Whatever is left of its lines."""
    if trace.merged is not None and trace.reverted_by is not None:
        assert classify(trace)[0] is Fate.REVERTED


@given(TRACES, st.integers(0, 3))
def test_losing_something_never_makes_it_better(trace: Trace, place: int) -> None:
    """Neither a line nor a file that goes away."""
    if trace.merged is None or place >= len(trace.files):
        return
    before = RANK[classify(trace)[0]]
    one = trace.files[place]
    for worse in (one.model_copy(update={"now": None}), one.model_copy(update={"same": False, "left": 0})):
        files = (*trace.files[:place], worse, *trace.files[place + 1 :])
        after = trace.model_copy(update={"files": files})
        assert RANK[classify(after)[0]] <= before
        assert lines_left(after) <= lines_left(trace)


@given(TRACES, st.randoms())
def test_the_order_of_files_does_not_matter(trace: Trace, random: object) -> None:
    """A fate is not read off the first file."""
    files = list(trace.files)
    random.shuffle(files)  # type: ignore[attr-defined]
    assert classify(trace.model_copy(update={"files": tuple(files)}))[0] is classify(trace)[0]


def commit(name: int, message: str) -> Commit:
    return Commit(f"{name:040x}", (f"{name - 1:040x}",), "t", datetime(2026, 1, 1, tzinfo=UTC), message)


@given(st.integers(0, 9))
def test_reverts_of_reverts_cancel(depth: int) -> None:
    """A change under an even number of reverts stands, under an odd number it does not."""
    chain = [commit(1, "change")]
    for place in range(depth):
        chain.append(commit(place + 2, f"Revert\n\nThis reverts commit {chain[-1].id}."))
    assert (chain[0].id in find_reverts(chain)) == (depth % 2 == 1)
    assert (chain[0] in standing(chain)) == (depth % 2 == 0)


def test_lines_in_a_message_count_wherever_they_stand() -> None:
    """Squashed messages are indented, and hold several changes."""
    squashed = commit(
        1,
        "All\n\n    one\n\n    Pantheon-Task: b/1\n    Pantheon-Night: n1\n\n"
        "    two\n\n    Pantheon-Task: b/2\n    Pantheon-Night: n1\n",
    )
    assert find_merged([squashed], "n1", "b/2", "none") is squashed
    assert find_merged([squashed], "n2", "b/2", "none") is None
    undone = squashed._replace(message=f"{squashed.message}\n    Undo two\n\n    Pantheon-Undone-Task: b/2\n")
    assert find_merged([undone], "n1", "b/2", "none") is None, "taken back before it was squashed"
    assert find_merged([undone], "n1", "b/1", "none") is undone


@given(st.lists(st.tuples(st.sampled_from(list(Fate)), st.sampled_from(("1", "2"))), max_size=20))
def test_each_change_is_counted_once_for_each_that_had_a_hand_in_it(found: list[tuple[Fate, str]]) -> None:
    """Twice named is once counted; the share is of the settled ones."""
    changes = [
        ChangeFate(
            night="n", task=f"b/{n}", package="", commit="c", merged=None, fate=fate, how="h", lines_added=0,
            lines_left=0, agents=(("a", version), ("a", version)), reviewers=(("r", "1"),),
        )
        for n, (fate, version) in enumerate(found)
    ]  # fmt: skip
    rows = tally(changes)
    for role in ("agent", "reviewer"):
        assert sum(sum(row.fates.values()) for row in rows if row.role == role) == len(changes)
    for row in rows:
        assert row.kept_share.total == sum(row.fates.values()) - row.fates[Fate.OPEN]
