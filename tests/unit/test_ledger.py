"""The ledger under way: groups, refusals in the middle of one, cancellation, a disk or a signer that gives out."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from pantheon.core.checkpoint import note_text, parse_checkpoint
from pantheon.core.delegation import reviewer_role
from pantheon.core.errors import ArtifactError, SignatureError, TransitionError
from pantheon.core.records import NightRecord
from pantheon.core.statement import BATCH_PREDICATE, REVIEW_PREDICATE
from pantheon.core.verify_ledger import LedgerAudit
from pantheon.engine.ledger import CHECKPOINT_EVERY_S, Entry, NightLedger
from pantheon.engine.ledger_opening import open_ledger
from pantheon.ports.signer import SignedBatch, SigningRequest
from pantheon.testing.clock import FakeClock
from pantheon.testing.signing import FakeLedgerFile, FakeWitness, InProcessSigner, audit_of
from pantheon.testing.steps import Steps

KIND, SUBJECT = "https://pantheon.local/test", {"x": "0" * 64}
MAYBE = {"reviewer": "peerA", "verdict": "maybe"}
CLOCK = FakeClock()
RECORD = NightRecord(id="n1", base_commit="c" * 40, branch="b", started_at=CLOCK.now())


class CountingSigner(InProcessSigner):
    """Remembers how many statements came at a time."""

    def __init__(self) -> None:
        super().__init__(clock=CLOCK)
        self.batches: list[int] = []
        self.gone = False

    async def sign_statements(self, requests: Sequence[SigningRequest]) -> SignedBatch:
        self.batches.append(len(requests))
        await asyncio.sleep(0)
        if self.gone:
            raise SignatureError("the signer has gone")
        return await super().sign_statements(requests)


class Disk(FakeLedgerFile):
    """A ledger on a disk that may be full."""

    full = False

    async def append(self, lines: Sequence[bytes]) -> None:
        if self.full:
            raise ArtifactError("the disk is full")
        await super().append(lines)


class Desk:
    """A ledger with what it works with."""

    def __init__(self) -> None:
        self.file, self.witness, self.signer = Disk(), FakeWitness(), CountingSigner()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[NightLedger]:
        async with open_ledger(
            RECORD, ("peerA",), store=self.file, witness=self.witness, signer=self.signer, clock=CLOCK
        ) as ledger:
            yield ledger

    def audit(self) -> LedgerAudit:
        return audit_of(self.signer.public_key, self.file)


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_what_comes_together_is_signed_together(desk: Desk) -> None:
    """Many at once take few exchanges with the signer, and stand in the order they came in."""
    async with desk.opened() as ledger:
        entries = await asyncio.gather(*(ledger.state(KIND, SUBJECT, {"n": n}) for n in range(300)))
    assert [one.seq for one in entries] == list(range(1, 301))
    assert [one.line for one in entries] == desk.file.lines[1:]
    assert len(desk.signer.batches) <= 3
    assert desk.audit().faults.found == []


async def test_one_that_is_refused_does_not_take_the_others_with_it(desk: Desk) -> None:
    """Refused by the signer or impossible to write down: the rest of the group has no gap."""
    async with desk.opened() as ledger:
        wishes = [
            ledger.enter(KIND, SUBJECT, {"n": 1}),
            ledger.enter(BATCH_PREDICATE, SUBJECT, {"n": 2}),
            ledger.enter(KIND, SUBJECT, {"n": 0.5}),
            ledger.enter(KIND, SUBJECT, {"n": 2**60}),
            ledger.enter(REVIEW_PREDICATE, SUBJECT, MAYBE, role=reviewer_role("peerA")),
            ledger.enter(KIND, SUBJECT, {"n": 3}, role="reviewer/nobody"),
            ledger.enter(KIND, SUBJECT, {"n": 4}),
        ]  # fmt: skip
        found = await asyncio.gather(*wishes, return_exceptions=True)
    assert [getattr(one, "seq", None) for one in found] == [1, None, None, None, None, None, 2]
    assert all(isinstance(one, SignatureError) for one in found[1:6])
    assert desk.audit().faults.found == []


async def test_who_stops_waiting_does_not_take_back(desk: Desk) -> None:
    """A cancelled waiter's statement is entered once; waiting again for the same answer gets it."""
    async with desk.opened() as ledger:
        entry = ledger.enter(KIND, SUBJECT, {"n": 1})

        async def wait() -> None:
            await asyncio.shield(entry)

        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await asyncio.shield(entry)).seq == 1
    assert len(desk.file.lines) == 2


@pytest.mark.parametrize("late", [False, True])
async def test_who_waits_for_a_ledger_that_is_cancelled_is_told(desk: Desk, late: bool) -> None:
    """Wherever the writing is cancelled: every statement and every checkpoint that somebody waits for has an answer."""
    async with desk.opened() as opened:
        for at in range(1, 40):
            ledger = replace(opened, _wishes=[], _points=[], _woken=asyncio.Event())
            entered = [ledger.enter(KIND, SUBJECT, {"n": n}) for n in range(3)]
            waiting = asyncio.create_task(ledger.checkpoint())
            steps = Steps(at, late=late)
            writing = steps.start(ledger.run(), name="ledger")
            await asyncio.sleep(0)
            ledger.stop()
            async with asyncio.timeout(5):
                await asyncio.wait([writing, waiting, *entered])
            assert waiting.exception() is not None or waiting.result().size
            if steps.count < at:
                assert at > 2, "the signer is waited for"
                return
    pytest.fail("the ledger was never written")


@pytest.mark.parametrize("late", [False, True])
async def test_a_night_that_is_cancelled_leaves_a_whole_ledger(late: bool) -> None:
    """What was entered before is written and checkpointed, wherever the night is cancelled."""
    for at in range(1, 60):
        desk, entered = Desk(), list[asyncio.Future[Entry]]()

        async def night(desk: Desk = desk, entered: list[asyncio.Future[Entry]] = entered) -> None:
            async with desk.opened() as ledger:
                entered.append(ledger.enter(KIND, SUBJECT, {"n": 1}))
                await ledger.state(KIND, SUBJECT, {"n": 2})
                entered.append(ledger.enter(KIND, SUBJECT, {"n": 3}))

        steps = Steps(at, late=late)
        await asyncio.wait([steps.start(night(), name="night")])
        assert all(one.result().line in desk.file.lines for one in entered)
        if entered:
            assert parse_checkpoint(note_text(desk.witness.remembered[-1])).size == len(desk.file.lines)
        if steps.count < at:
            return
    pytest.fail("the night never came to its end")


async def test_a_full_disk_stops_the_ledger_and_it_can_be_taken_up(desk: Desk) -> None:
    """After a write that failed nothing more is taken; opened again, it goes on where the file ends."""
    async with desk.opened() as ledger:
        await ledger.state(KIND, SUBJECT, {"n": 1})
        desk.file.full = True
        with pytest.raises(ArtifactError, match="full"):
            await ledger.state(KIND, SUBJECT, {"n": 2})
        desk.file.full = False
        with pytest.raises(ArtifactError, match="full"):
            await ledger.state(KIND, SUBJECT, {"n": 3})
        with pytest.raises(ArtifactError, match="full"):
            await ledger.checkpoint()
    async with desk.opened() as ledger:
        await ledger.state(KIND, SUBJECT, {"n": 4})
    audit = desk.audit()
    assert audit.faults.found == []
    assert audit.tree.size == 4


async def test_a_signer_that_is_gone_stops_the_ledger(desk: Desk) -> None:
    """Nothing is entered unsigned."""
    async with desk.opened() as ledger:
        desk.signer.gone = True
        with pytest.raises(SignatureError, match="gone"):
            await ledger.state(KIND, SUBJECT, {"n": 1})
        with pytest.raises(SignatureError, match="gone"):
            await ledger.state(KIND, SUBJECT, {"n": 2})
    assert len(desk.file.lines) == 1


async def test_a_ledger_that_was_left_takes_nothing(desk: Desk) -> None:
    """Behind its end nothing can be entered any more."""
    async with desk.opened() as ledger:
        pass
    with pytest.raises(TransitionError):
        await ledger.state(KIND, SUBJECT, {"n": 1})
    with pytest.raises(TransitionError):
        await ledger.checkpoint()


async def test_checkpoints_come_when_asked_for_after_a_while_and_at_the_end(desk: Desk) -> None:
    """Each covers everything before it, goes to the witness too, and none is signed twice over the same."""

    def sizes() -> list[int]:
        return [parse_checkpoint(note_text(note)).size for note in desk.witness.remembered]

    async with desk.opened() as ledger:
        assert sizes() == [1]
        await ledger.state(KIND, SUBJECT, {"n": 1})
        assert (await ledger.checkpoint()).size == 2
        assert (await ledger.checkpoint()).size == 2
        assert sizes() == [1, 2]
        CLOCK.advance(CHECKPOINT_EVERY_S)
        await ledger.state(KIND, SUBJECT, {"n": 2})
        await ledger.state(KIND, SUBJECT, {"n": 3})
        assert sizes()[:3] == [1, 2, 3]
    assert sizes()[-1] == 4
    assert desk.file.checkpoint == desk.witness.remembered[-1]


async def test_each_opening_binds_what_was_before(desk: Desk) -> None:
    """A resumed night's delegation binds the last checkpoint of its own ledger; its keys are new ones."""
    async with desk.opened() as ledger:
        await ledger.state(KIND, SUBJECT, {"n": 1})
    async with desk.opened() as ledger:
        first, second = ledger.index.delegations
    assert first.previous is None
    assert second.previous is not None
    assert second.previous.size == 2
    assert not set(first.keys.values()) & set(second.keys.values())


@pytest.mark.parametrize("days", [2, -2])
async def test_a_clock_that_is_set_costs_new_keys_and_nothing_else(desk: Desk, days: int) -> None:
    """Where the keys do not count any more, or not yet, others are delegated in the same ledger."""
    async with desk.opened() as ledger:
        await ledger.state(KIND, SUBJECT, {"n": 1})
        CLOCK.advance(days * 86_400.0)
        await ledger.state(KIND, SUBJECT, {"n": 2})
        assert len(ledger.index.delegations) == 2
        await ledger.checkpoint()
    audit = desk.audit()
    assert audit.faults.found == []
    assert audit.tree.size == 4


async def test_an_error_of_the_night_comes_out_as_itself(desk: Desk) -> None:
    """What the night raises inside is not wrapped, and the ledger is whole all the same."""
    with pytest.raises(ZeroDivisionError):
        async with desk.opened() as ledger:
            await ledger.state(KIND, SUBJECT, {"n": 1})
            raise ZeroDivisionError
    assert desk.audit().faults.found == []
    assert desk.audit().tree.size == 2
