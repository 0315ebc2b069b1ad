"""The merge queue as a whole, over random changes, batches and suites: what lands was reviewed, and it passes."""

import asyncio
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from pantheon.core.records import NodeState
from pantheon.testing.merging import BRANCH, Files, MergeBench
from pantheon.testing.repository import FakeRepository

PATHS = ("a.txt", "b.txt")
PLACES = 6
LINES = b"".join(b"%d\n" % n for n in range(2 * PLACES))
CHANGES = st.lists(st.tuples(st.sampled_from(PATHS), st.integers(0, PLACES - 1)), min_size=1, max_size=7)


def word(number: int) -> bytes:
    return b"word-%d." % number


def there(files: Files) -> frozenset[int]:
    """Return the changes that are in a tree."""
    text = b"".join(files.values())
    return frozenset(n for n in range(8) if word(n) in text)


async def play(
    changes: list[tuple[str, int]], batch: int, bad: list[frozenset[int]]
) -> tuple[tuple[int, ...], Mapping[str, bytes]]:
    """Land changes that were all made on one base; return who landed, in order, and the branch."""

    def good(files: Files) -> bool:
        return not any(one <= there(files) for one in bad)

    repository = FakeRepository(dict.fromkeys(PATHS, LINES))
    bench = MergeBench(repository, repository.head, judge=lambda files: {"t": good(files)}, batch=batch)
    contexts = [
        await bench.change(f"t{n}", path, 2 * place, word(n).decode())
        for n, (path, place) in enumerate(changes)
    ]
    results = await bench.land_all(contexts)
    landed = tuple(int(key.removeprefix("b/t")) for key in await bench.landed())
    assert len(set(landed)) == len(landed)
    said = tuple(n for n, one in enumerate(results) if one.state is NodeState.SUCCEEDED)
    assert said == landed
    files = repository.commits[repository.branches[BRANCH]].files
    expected = {path: LINES.splitlines(keepends=True) for path in PATHS}
    for n in landed:
        path, place = changes[n]
        expected[path][2 * place] = word(n) + b"\n"
    assert files == {path: b"".join(lines) for path, lines in expected.items()}
    for n in set(range(len(changes))) - set(landed):
        left = bench.sinks[f"t{n}"].files
        assert ("conflict.json" in left) != ("merge_tests.json" in left), (
            "refused for one reason, which is told"
        )
    return landed, files


# The first change lands as it was reviewed and tested: a suite that it breaks is not asked.
BAD = st.lists(st.frozensets(st.integers(1, 6), min_size=1, max_size=3), max_size=3)


@settings(max_examples=60, deadline=None)
@given(CHANGES, BAD)
def test_batches_land_what_one_at_a_time_lands(
    changes: list[tuple[str, int]], bad: list[frozenset[int]]
) -> None:
    """Changes of one line or of two, suites that fail for one, for pairs, for threes: the batch makes no difference."""
    one = asyncio.run(play(changes, 1, bad))
    for batch in (2, 3, 8):
        assert asyncio.run(play(changes, batch, bad)) == one
    landed = set(one[0])
    assert not any(several <= landed for several in bad)
