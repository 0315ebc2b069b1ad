"""Claims and settlements that share statements come to what each would have come to alone."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantheon.adapters.store import open_store
from pantheon.adapters.store.group import GroupConnection
from pantheon.adapters.store.leases import Claim, Settle
from pantheon.adapters.store.sqlite_store import SqliteStore
from pantheon.core.errors import PantheonError, TransitionError
from pantheon.core.records import (
    AttemptOutcome,
    AttemptResult,
    BatchRecord,
    Conclusion,
    NightRecord,
    NodeRecord,
    NodeState,
    TaskOutcome,
    TaskRecord,
)
from pantheon.testing.clock import FakeClock

NIGHT, BATCH, TASKS = "n1", "b" * 12, 8
COMMIT = "c" * 40


def key(number: int) -> str:
    return f"{BATCH}/{number}"


async def prepared(path: Path) -> SqliteStore:
    """Return a store with one running night of eight tasks with one node each."""
    clock = FakeClock()
    store = await open_store(path, clock, write=True)
    tasks = [TaskRecord(key=key(number), batch=BATCH, line="{}") for number in range(TASKS)]
    batch = BatchRecord(name=BATCH, digest="0" * 64, lines=TASKS, enqueued_at=clock.now(), path="q")
    await store.add_batch(batch, tasks)
    night = NightRecord(id=NIGHT, base_commit=COMMIT, branch="b", started_at=clock.now())
    await store.open_night(night, [task.key for task in tasks])
    await store.add_nodes(
        [NodeRecord(night=NIGHT, key=f"{task.key}#w", task=task.key, node="w") for task in tasks]
    )
    return store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await prepared(tmp_path / "pantheon.db")
    yield opened
    await opened.aclose()


async def claim(store: SqliteStore, number: int) -> object:
    return await store.claim(NIGHT, f"{key(number)}#w", owner="me", lease_s=60)


@pytest.mark.parametrize("kind", [Claim, Settle])
async def test_what_comes_in_numbers_shares_statements(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, kind: type[Claim] | type[Settle]
) -> None:
    """Eight claims, and eight settlements, of one group are carried out by one call."""
    sizes: list[int] = []
    together = kind.together

    def counted(db: GroupConnection, commands: list[object]) -> object:
        sizes.append(len(commands))
        return together(db, commands)  # type: ignore[arg-type]

    monkeypatch.setattr(kind, "together", counted)
    leases = await asyncio.gather(*(claim(store, number) for number in range(TASKS)))
    done = AttemptResult(outcome=AttemptOutcome.SUCCEEDED, node_state=NodeState.SUCCEEDED)
    await asyncio.gather(*(store.settle(lease, done) for lease in leases))  # type: ignore[arg-type]
    assert max(sizes) >= TASKS - 1  # the first of them may be a group of its own
    assert {node.state for node in await store.nodes(NIGHT)} == {NodeState.SUCCEEDED}


async def test_one_node_claimed_twice_in_one_group_is_claimed_once(store: SqliteStore) -> None:
    """Two claims of one node, among others, in one group: one has it, the other is refused."""
    found = await asyncio.gather(
        *(claim(store, number) for number in (0, 1, 2, 1, 3)), return_exceptions=True
    )
    refused = [one for one in found if isinstance(one, BaseException)]
    assert [type(one) for one in refused] == [TransitionError]
    assert len({one.token for one in found if not isinstance(one, BaseException)}) == 4  # type: ignore[attr-defined]


TEXTS = st.sampled_from(["", "plain", "ünï", 'quo"te\\', "new\nline", "nul\x00here", "\u2028", "[1]", "null"])
RESULTS = st.builds(
    AttemptResult,
    outcome=st.just(AttemptOutcome.FAILED),
    node_state=st.sampled_from([NodeState.FAILED, NodeState.READY]),
    cause=TEXTS,
    output_commit=st.none() | st.just(COMMIT),
    artifacts=TEXTS,
    metrics=st.dictionaries(TEXTS, TEXTS, max_size=2),
)


@settings(max_examples=40, deadline=None)
@given(results=st.lists(st.tuples(RESULTS, st.booleans(), st.booleans()), min_size=2, max_size=TASKS))
def test_a_shared_statement_writes_what_single_ones_write(
    results: list[tuple[AttemptResult, bool, bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The same settlements, at once and one after another, leave the same nodes, attempts, tasks and events."""

    async def settle_all(at_once: bool) -> object:
        store = await prepared(tmp_path_factory.mktemp("store") / "pantheon.db")
        try:
            leases = [await claim(store, number) for number in range(len(results))]
            writes = []
            for number, (lease, (result, concludes, stolen)) in enumerate(zip(leases, results, strict=True)):
                conclusion = Conclusion(task=key(number), outcome=TaskOutcome.FAILED, cause=result.cause)
                held = lease.model_copy(update={"token": 999}) if stolen else lease  # type: ignore[attr-defined]
                writes.append(store.settle(held, result, conclusion=conclusion if concludes else None))
            if at_once:
                ends = await asyncio.gather(*writes, return_exceptions=True)
            else:
                ends = [(await asyncio.gather(one, return_exceptions=True))[0] for one in writes]
            assert all(end is None or isinstance(end, PantheonError) for end in ends)
            events = sorted((e.subject, e.name, str(e.details)) for e in await store.events(NIGHT))
            return (
                [type(end) for end in ends],
                await store.nodes(NIGHT),
                await store.attempts(NIGHT),
                await store.tasks(night=NIGHT),
                events,
                await store.counts(NIGHT),
            )
        finally:
            await store.aclose()

    assert asyncio.run(settle_all(at_once=True)) == asyncio.run(settle_all(at_once=False))
