"""The merge queue lands what was reviewed, tests again what moved, blames only who is to blame, and loses nobody."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import ceil, log2

import pytest

from pantheon.core.dsse import parse_envelope, peek_payload
from pantheon.core.errors import GitError, SandboxError, SignatureError
from pantheon.core.records import AttemptOutcome, NodeState
from pantheon.core.statement import MERGE_PREDICATE, parse_statement
from pantheon.engine.results import NodeResult
from pantheon.engine.services import NodeContext
from pantheon.testing.artifacts import FakeSink
from pantheon.testing.merging import BRANCH, Files, Judge, MergeBench
from pantheon.testing.repository import FakeRepository

LINES = b"".join(b"%d\n" % n for n in range(40))


def bench(judge: Judge | None = None, batch: int = 1, repository: FakeRepository | None = None) -> MergeBench:
    repository = repository or FakeRepository({"a.txt": LINES, "b.txt": LINES})
    return MergeBench(repository, repository.head, judge=judge, batch=batch)


def without(*words: str) -> Judge:
    """A suite with a test that fails where all of these words are in the tree."""
    return lambda files: {"steady": True, "apart": not all(word.encode() in _text(files) for word in words)}


def _text(files: Files) -> bytes:
    return b"".join(files.values())


async def changes(bench: MergeBench, count: int) -> list[NodeContext]:
    """Changes of lines that are far from each other."""
    return [await bench.change(f"t{n}", "a.txt", 3 * n, f"word{n}.") for n in range(count)]


def merges(bench: MergeBench) -> list[dict[str, object]]:
    """What was attested of merges, the oldest first."""
    said = [parse_statement(peek_payload(parse_envelope(line))) for line in bench.ledger.file.lines]  # type: ignore[attr-defined]
    return [dict(one.predicate) for one in said if one.predicate_type == MERGE_PREDICATE]


async def test_an_unmoved_branch_takes_the_reviewed_tree() -> None:
    """Nothing is tested again, and the tree that lands is the one that was reviewed."""
    queue = bench(without("never"))
    change = await queue.change("t", "a.txt", 3, "x")
    result = await queue.land(change)
    assert result.outcome is AttemptOutcome.SUCCEEDED and result.output is not None
    assert queue.sandbox.runs == 0
    assert (
        result.output["merged"]
        == result.output["tree"]
        == await queue.repository.tree_of(change.input_commit)
    )
    assert (result.output["checks"], result.output["tests"], result.output["previous"]) == (
        False,
        False,
        None,
    )


async def test_a_moved_branch_has_the_tests_run_again() -> None:
    """Two changes that only fail together: the later is refused with what the tests said, and the branch is sound."""
    queue = bench(without("word0.", "word1."))
    results = await queue.land_all(await changes(queue, 3))
    assert [one.state for one in results] == [NodeState.SUCCEEDED, NodeState.FAILED, NodeState.SUCCEEDED]
    assert results[1].cause == "after the merge: tests: fails, and did not on the base: apart"
    assert await queue.landed() == ("b/t0", "b/t2")
    told = json.loads(queue.sinks["t1"].files["merge_tests.json"])
    assert told["comparison"]["introduced"] == ["apart"]
    assert "merge_tests.json" not in queue.sinks["t0"].files
    # The branch as it was, twice a merged tree: what landed is the next one's base, and is not run again.
    assert queue.sandbox.runs == 3


async def test_without_tests_the_checks_alone_run_again() -> None:
    """A flow without a test node asks for no run, and what was passed again is told."""
    queue = bench()
    results = await queue.land_all(await changes(queue, 2))
    assert [one.state for one in results] == [NodeState.SUCCEEDED] * 2
    assert results[1].output is not None
    assert (results[1].output["checks"], results[1].output["tests"]) == (True, False)
    assert results[1].output["shared"] == ["a.txt"]


@pytest.mark.parametrize("batch", [1, 2, 3, 8])
@pytest.mark.parametrize("guilty", [(), (0,), (7,), (2, 3), (0, 4, 7), tuple(range(8))])
async def test_only_the_guilty_of_a_batch_fail(batch: int, guilty: tuple[int, ...]) -> None:
    """Whoever breaks the tests, in batches of any size: exactly those are refused; each of the others lands once."""
    bad = [b"word%d." % n for n in guilty]
    queue = bench(lambda files: {"t": not any(word in _text(files) for word in bad)}, batch)
    first = await queue.change("first", "b.txt", 0, "moved")
    waiting = await changes(queue, 8)
    results = await queue.land_all([first, *waiting])
    failed = tuple(n for n, one in enumerate(results[1:]) if one.state is NodeState.FAILED)
    assert failed == guilty
    assert await queue.landed() == ("b/first", *(f"b/t{n}" for n in range(8) if n not in guilty))
    rounds = ceil(8 / batch) + 1
    assert queue.sandbox.runs <= 1 + rounds + len(guilty) * (1 + ceil(log2(max(batch, 2))))


async def test_a_batch_costs_one_run() -> None:
    """Eight changes that are fine are tested once, beside the branch that they are compared with."""
    queue = bench(without("never"), 8)
    await queue.land(await queue.change("first", "b.txt", 0, "moved"))
    results = await queue.land_all(await changes(queue, 8))
    assert all(one.state is NodeState.SUCCEEDED for one in results)
    assert queue.sandbox.runs == 2
    assert [one["tests"] for one in merges(queue)] == [False, *[True] * 8]


async def test_a_replay_that_comes_to_something_else_is_a_conflict() -> None:
    """The line that was reviewed was changed meanwhile: no verdict is for what would land."""
    queue = bench()
    mine, other = (
        await queue.change("mine", "a.txt", 3, "mine"),
        await queue.change("other", "a.txt", 3, "other"),
    )
    await queue.land(other)
    result = await queue.land(mine)
    assert result.state is NodeState.FAILED
    assert result.cause == "on the night's branch it is another change than the one that was reviewed: a.txt"
    files = queue.sinks["mine"].files
    told = json.loads(files["conflict.json"])
    assert told["files"] == [{"path": "a.txt", "wanted": "changed", "now": "changed"}]
    assert (told["base"], told["head"]) == (queue.base, mine.input_commit)
    assert told["parent"] == await queue.repository.branch(BRANCH)
    patch = files["conflict.patch"]
    assert b"# a.txt: wanted, changed\n" in patch and b"+mine\n" in patch
    assert b"# a.txt: now, changed\n" in patch and b"+other\n" in patch
    assert await queue.landed() == ("b/other",)


async def test_a_replay_on_other_surroundings_is_a_conflict() -> None:
    """The tool does as it is told and sets line 3; but that is another line now than the one that was reviewed."""
    repository = FakeRepository({"a.txt": LINES})
    queue = bench(repository=repository)
    mine = await queue.change("mine", "a.txt", 3, "mine")
    repository.branches[BRANCH] = repository.add({"a.txt": b"new\n" + LINES}, (repository.head,), "else\n")
    result = await queue.land(mine)
    assert result.state is NodeState.FAILED and "another change" in result.cause
    assert await queue.landed() == ()


async def test_a_change_that_clashes_with_a_refused_one_lands() -> None:
    """It does not fit on one of its batch that is to blame for a failure; on the branch without that one it does."""
    queue = bench(without("bad"), 4)
    await queue.land(await queue.change("first", "b.txt", 0, "moved"))
    bad = await queue.change("bad", "a.txt", 3, "bad")
    good = await queue.change("good", "a.txt", 3, "good")
    results = await queue.land_all([bad, good])
    assert [one.state for one in results] == [NodeState.FAILED, NodeState.SUCCEEDED]
    assert await queue.landed() == ("b/first", "b/good")


async def test_a_target_that_is_gone_is_a_conflict() -> None:
    """What the branch has deleted cannot be changed, and the conflict says so."""
    repository = FakeRepository({"a.txt": LINES, "b.txt": LINES})
    queue = bench(repository=repository)
    mine = await queue.change("mine", "a.txt", 3, "mine")
    repository.branches[BRANCH] = repository.add({"b.txt": LINES}, (repository.head,), "else\n")
    result = await queue.land(mine)
    assert result.cause == "a.txt is gone from the night's branch"
    told = json.loads(queue.sinks["mine"].files["conflict.json"])
    assert told["files"] == [{"path": "a.txt", "wanted": "changed", "now": "deleted"}]


async def test_a_merge_is_attested_before_the_branch_moves() -> None:
    """Base, head and tree that were reviewed; parent, commit and tree that land; and what was passed again."""
    repository = Watched({"a.txt": LINES, "b.txt": LINES})
    queue = bench(without("never"), repository=repository)
    repository.before = lambda: repository.seen.append(len(merges(queue)))
    waiting = await changes(queue, 2)
    await queue.land_all(waiting)
    assert repository.seen == [1, 2]
    first, second = merges(queue)
    assert (first["checks"], first["tests"], second["checks"], second["tests"]) == (False, False, True, True)
    assert (second["base"], second["head"]) == (queue.base, waiting[1].input_commit)
    assert second["parent"] == first["commit"] and second["commit"] == await repository.branch(BRANCH)
    assert second["merged"] == await repository.tree_of(str(second["commit"]))
    assert second["tree"] == await repository.tree_of(waiting[1].input_commit)
    assert (second["task"], second["shared"]) == ("b/t1", ["a.txt"])


class Watched(FakeRepository):
    """A repository in which something happens before each move of the branch."""

    before: Callable[[], None] | None = None
    waits: asyncio.Event | None = None
    moving: asyncio.Event | None = None

    def __init__(self, files: Files) -> None:
        super().__init__(files)
        self.seen: list[int] = []

    async def publish(self, branch: str, new: str, *, old: str | None, base: str) -> None:
        if self.before is not None:
            self.before()
        if self.moving is not None and self.waits is not None:
            self.moving.set()
            await self.waits.wait()
        await super().publish(branch, new, old=old, base=base)


@asynccontextmanager
async def batch_under_test(queue: MergeBench) -> AsyncIterator[list["asyncio.Task[NodeResult]"]]:
    """The landing of three changes, whose suite runs until the end of the context."""
    await queue.land(await queue.change("first", "b.txt", 0, "moved"))
    queue.sandbox.waits, waiting = asyncio.Event(), await changes(queue, 3)
    queue.sandbox.started.clear()
    async with asyncio.TaskGroup() as group:
        landing = [group.create_task(queue.land(one)) for one in waiting]
        await queue.sandbox.started.wait()
        yield landing
        queue.sandbox.waits.set()


async def test_a_change_that_is_called_off_in_time_does_not_land() -> None:
    """Whoever is cancelled while his batch is tested leaves it; the others land."""
    queue = bench(without("never"), 4)
    async with batch_under_test(queue) as landing:
        landing[1].cancel()
        await asyncio.sleep(0)
    assert landing[1].cancelled()
    assert await queue.landed() == ("b/first", "b/t0", "b/t2")
    assert queue.sinks["t1"].files == {}


async def test_what_is_not_allowed_any_more_does_not_land() -> None:
    """A reviewer is disqualified while a batch is tested: the change that had his word stays out, the others land."""
    queue = bench(without("never"), 4)
    async with batch_under_test(queue) as landing:
        queue.against["t1"] = "peer: passed a canary"
    assert [one.result().state for one in landing].count(NodeState.SUCCEEDED) == 2
    assert landing[1].result().cause == "peer: passed a canary"
    assert await queue.landed() == ("b/first", "b/t0", "b/t2")


async def test_whoevers_turn_it_is_may_be_called_off() -> None:
    """The one that works for all is cancelled in the middle: the next one takes over."""
    queue = bench(without("never"), 4)
    async with batch_under_test(queue) as landing:
        landing[0].cancel()
    assert landing[0].cancelled()
    assert await queue.landed() == ("b/first", "b/t1", "b/t2")


@pytest.mark.parametrize("who", [0, 1])
async def test_a_landing_that_was_begun_is_told(who: int) -> None:
    """Cancelled while the branch is moved for it, a change has landed and says so, whoever's turn it was."""
    repository = Watched({"a.txt": LINES, "b.txt": LINES})
    queue = bench(None, 4, repository)
    waiting = await changes(queue, 2)
    repository.moving, repository.waits = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        landing = [group.create_task(queue.land(one)) for one in waiting]
        await repository.moving.wait()
        landing[who].cancel()
        await asyncio.sleep(0)
        repository.waits.set()
    assert [one.result().state for one in landing] == [NodeState.SUCCEEDED] * 2
    assert await queue.landed() == ("b/t0", "b/t1")


class CallingOff(FakeSink):
    """Calls off whoever writes an artifact, while it is written."""

    writer: "asyncio.Task[NodeResult] | None" = None

    async def put(self, name: str, data: bytes) -> None:
        await super().put(name, data)
        assert self.writer is not None
        self.writer.cancel()
        await asyncio.sleep(0)


@pytest.mark.parametrize("fits", [True, False])
async def test_called_off_while_its_artifacts_are_written(*, fits: bool) -> None:
    """What has landed says so, what has not is called off; the artifacts are there whole in both cases."""
    queue, sink = bench(), CallingOff("attempt")
    change = await queue.change("t", "a.txt", 3, "x")
    if not fits:
        await queue.land(await queue.change("other", "a.txt", 3, "y"))
    queue.make_sink = lambda _: sink
    sink.writer = landing = asyncio.create_task(queue.land(change))
    await asyncio.wait([landing])
    assert landing.cancelled() == (not fits)
    assert ("b/t" in await queue.landed()) == fits
    names = {"diff.patch", "stdout.log"} if fits else {"conflict.json", "conflict.patch"}
    assert names <= set(sink.files)


async def test_a_move_that_fails_when_called_off_is_called_off() -> None:
    """Where the branch was not moved after all, the cancellation stands."""
    repository = Watched({"a.txt": LINES})
    queue = bench(None, 1, repository)
    change = await queue.change("t", "a.txt", 3, "x")
    repository.moving, repository.waits = asyncio.Event(), asyncio.Event()
    repository.checked_out.add(BRANCH)
    landing = asyncio.create_task(queue.land(change))
    await repository.moving.wait()
    landing.cancel()
    await asyncio.sleep(0)
    repository.waits.set()
    with pytest.raises(asyncio.CancelledError):
        await landing
    assert await queue.landed() == ()


async def test_a_lost_commit_is_its_own_changes_trouble() -> None:
    """A change whose commits are gone raises in its own attempt; whoever shared its batch lands."""
    repository = FakeRepository({"a.txt": LINES, "b.txt": LINES})
    queue = bench(None, 4, repository)
    waiting = await changes(queue, 3)
    contexts = iter(waiting)
    landing = [asyncio.create_task(queue.land(one)) for one in contexts]
    await asyncio.sleep(0)
    lost = repository.commits.pop(waiting[1].input_commit)
    results = await asyncio.wait_for(asyncio.gather(*landing, return_exceptions=True), 5)
    assert isinstance(results[1], GitError), (results, lost)
    assert await queue.landed() == ("b/t0", "b/t2")


async def test_what_cannot_be_asked_again_does_not_land() -> None:
    """Whether a change is still allowed cannot be found out: it raises in its own attempt, and the others land."""
    queue = bench(None, 4)
    waiting = await changes(queue, 3)
    queue.against["t2"] = SignatureError("the ledger is closed")
    results = await asyncio.gather(*map(queue.land, waiting), return_exceptions=True)
    assert results[2] is queue.against["t2"]
    assert await queue.landed() == ("b/t0", "b/t1")


async def test_a_branch_whose_tests_cannot_run_blames_nobody() -> None:
    """A suite that breaks on the branch itself is no fault of the change: the attempt may be made again."""
    repository = FakeRepository({"a.txt": LINES, "b.txt": LINES})
    queue = bench(lambda files: {} if b"word1." not in _text(files) else {"t": True}, repository=repository)
    first, second = await changes(queue, 2)
    await queue.land(first)
    with pytest.raises(SandboxError, match="the tests on the night's branch"):
        await queue.land(second)


async def test_landing_twice_lands_once() -> None:
    """A change that is on the branch already is told so, with the commit it has there."""
    queue = bench()
    change = await queue.change("t", "a.txt", 3, "x")
    first = await queue.land(change)
    again = await queue.land(change)
    assert again.commit == first.commit
    assert await queue.landed() == ("b/t",)
    assert len(merges(queue)) == 1
