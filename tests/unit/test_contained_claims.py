"""A night verifies only where each of its processes proved its containment before it worked."""

from datetime import timedelta
from typing import Any

import pytest

from pantheon.core.attestations import Whose
from pantheon.core.contained import Contained, contained_predicate
from pantheon.core.containment import Probe
from pantheon.core.records import NightRecord
from pantheon.core.sandbox import SandboxKind
from pantheon.core.statement import ATTEMPT_PREDICATE, CONTAINMENT_PREDICATE
from pantheon.core.verify import Flaw
from pantheon.core.verify_ledger import LedgerAudit
from pantheon.engine.ledger import NightLedger
from pantheon.engine.ledger_opening import open_ledger, record_containment
from pantheon.testing.clock import FakeClock
from pantheon.testing.contained_night import contained
from pantheon.testing.signing import FakeLedgerFile, FakeWitness, InProcessSigner, audit_of

NIGHT = "n1"
SUBJECT = {"x": "0" * 64}


class Nights:
    """A night of as many processes as a test wants, and what verifying it says."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.file, self.witness = FakeLedgerFile(), FakeWitness()
        self.signer = InProcessSigner(clock=self.clock)
        self.attempts = 0
        self.events: list[tuple[object, ...]] = []

    async def process(self, said: Contained | None, attempts: int = 1, *, pause_s: float = 0.0) -> None:
        record = NightRecord(id=NIGHT, base_commit="c" * 40, branch="b", started_at=self.clock.now())
        async with open_ledger(
            record,
            (),
            store=self.file,
            witness=self.witness,
            signer=self.signer,
            clock=self.clock,
            valid_s=3_600,
        ) as ledger:
            if said is not None:
                await record_containment(ledger, self, record, said)
            for _ in range(attempts):
                await self.attempt(ledger)
                self.clock.advance(pause_s)

    async def add_event(
        self, night: str, subject: str, name: str, details: dict[str, Any] | None = None
    ) -> None:
        """Take the store's note."""
        self.events.append((night, subject, name, details))

    async def attempt(self, ledger: NightLedger) -> None:
        self.attempts += 1
        whose = Whose(night=NIGHT, task="t", node="n", attempt=self.attempts)
        await ledger.state(ATTEMPT_PREDICATE, SUBJECT, whose.model_dump())

    def audit(self) -> LedgerAudit:
        return audit_of(self.signer.public_key, self.file)

    def flaws(self) -> list[tuple[Flaw, str]]:
        return [(one.flaw, one.where) for one in self.audit().faults.found]


@pytest.fixture
def nights() -> Nights:
    return Nights()


async def test_control_two_contained_processes(nights: Nights) -> None:
    """Each says it for itself, and what its code ran in is told."""
    await nights.process(contained())
    await nights.process(contained(SandboxKind.NONE))
    assert nights.flaws() == []
    assert list(nights.audit().claims.contained.sandboxes) == ["bubblewrap", "none"]


async def test_a_process_that_proved_nothing_is_told_once(nights: Nights) -> None:
    """The proof of the process before it does not count for the next; a process that did no work needs none."""
    await nights.process(contained())
    await nights.process(None, attempts=0)
    await nights.process(None, attempts=3)
    (found,) = nights.flaws()
    assert found == (Flaw.UNCONTAINED, f"record {len(nights.file.lines) - 3}")


@pytest.mark.parametrize(
    "changes",
    [
        {"interfaces": ("lo", "eth0")},
        {"outside": (Probe(target="udp 192.0.2.1:53", outcome="routed"),)},
        {"namespace": None},
        {"dumpable": True},
    ],
)
async def test_what_was_observed_is_judged_again(changes: dict[str, Any]) -> None:
    """A statement that calls itself proven over observations that prove nothing is a defect of its own."""
    said = contained(**changes)
    bold = said.model_copy(
        update={"containment": said.containment.model_copy(update={"proven": True, "reasons": ()})}
    )
    for one in (said, bold):
        fresh = Nights()
        await fresh.process(one)
        assert [flaw for flaw, _ in fresh.flaws()] == [Flaw.UNCONTAINED, Flaw.UNCONTAINED]


@pytest.mark.parametrize(
    "changes", [{"night": "n2"}, {"sandbox": None}, {"model": None}, {"more": 1}, {"observed": {}}], ids=str
)
async def test_a_malformed_proof_is_none(nights: Nights, changes: dict[str, object]) -> None:
    """Of another night, without its sandbox, or saying more than it may."""
    record = NightRecord(id=NIGHT, base_commit="c" * 40, branch="b", started_at=nights.clock.now())
    async with open_ledger(
        record, (), store=nights.file, witness=nights.witness, signer=nights.signer, clock=nights.clock
    ) as ledger:
        await ledger.state(CONTAINMENT_PREDICATE, SUBJECT, contained_predicate(contained(), NIGHT) | changes)
        await nights.attempt(ledger)
    assert [flaw for flaw, _ in nights.flaws()] == [Flaw.MALFORMED, Flaw.UNCONTAINED]


async def test_a_renewed_delegation_is_followed_by_the_same_proof(nights: Nights) -> None:
    """A night that outlasts its keys says again how it is contained, before it goes on."""
    await nights.process(contained(), attempts=4, pause_s=timedelta(minutes=50).total_seconds())
    audit = nights.audit()
    assert len(audit.claims.delegations) >= 2
    assert audit.faults.found == []
