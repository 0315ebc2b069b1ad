"""Signers whose keys live and die with the test, ledgers in memory, and what every signer must do."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.night_keys import HeldKeys
from pantheon.core.checkpoint import Checkpoint, write_note
from pantheon.core.delegation import (
    NIGHT_ROLE,
    Place,
    night_origin,
    read_delegation,
    reviewer_role,
    with_place,
)
from pantheon.core.dsse import PAYLOAD_TYPE, key_id, open_envelope, pae, parse_envelope, seal
from pantheon.core.errors import SignatureError
from pantheon.core.ledger_index import LedgerIndex
from pantheon.core.statement import DELEGATION_PREDICATE, make_statement, parse_statement
from pantheon.core.verify_ledger import LedgerAudit
from pantheon.engine.ledger import Entry, NightLedger, Subjects
from pantheon.ports.clock import Clock
from pantheon.ports.ledger import OpenedLedger
from pantheon.ports.signer import DelegationRequest, SignedBatch, Signer, SigningRequest


class FakeSigner:
    """``ports.signer.Signer`` with a key made from a number, so that signatures repeat.

    Args:
        seed: another number, another key.
    """

    def __init__(self, seed: int = 1) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed.to_bytes(32, "big"))

    @property
    def key_id(self) -> str:
        return key_id(self.public_key)

    @property
    def public_key(self) -> bytes:
        return self._key.public_key().public_bytes_raw()

    async def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)


class InProcessSigner:
    """``ports.signer.NightSigner`` without a process of its own.

    Args:
        user_key: the user's private key.
        clock: the signer's own time.
    """

    def __init__(self, user_key: Ed25519PrivateKey | None = None, clock: Clock | None = None) -> None:
        key = user_key or Ed25519PrivateKey.from_private_bytes((1).to_bytes(32, "big"))
        self.held = HeldKeys(key, clock or SystemClock())

    @property
    def public_key(self) -> bytes:
        return self.held.public_key

    async def delegate(self, request: DelegationRequest) -> bytes:
        return self.held.delegate(request)

    async def sign_statements(self, requests: Sequence[SigningRequest]) -> SignedBatch:
        return self.held.sign_statements(requests)

    async def sign_checkpoint(self, text: str, proof: Sequence[bytes]) -> bytes:
        return self.held.sign_checkpoint(text, proof)


class FakeLedgerFile:
    """``ports.ledger.LedgerFile`` and ``LedgerStore`` in memory: the ledger of one night."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.checkpoint: bytes | None = None

    async def append(self, lines: Sequence[bytes]) -> None:
        self.lines.extend(lines)

    async def put_checkpoint(self, note: bytes) -> None:
        self.checkpoint = note

    async def aclose(self) -> None:
        """Keep what there is."""

    async def open_night(self, night: str, take: Callable[[bytes], bool]) -> OpenedLedger:  # noqa: ARG002 (port)
        whole = next((n for n, line in enumerate(self.lines) if not take(line)), len(self.lines))
        cut = b"".join(self.lines[whole:])
        del self.lines[whole:]
        return OpenedLedger(self, self.checkpoint, cut, len(cut))


def audit_of(user_key: bytes, ledger: FakeLedgerFile) -> LedgerAudit:
    """Return what a verifier makes of a ledger, up to its checkpoint."""
    audit = LedgerAudit(user_key)
    for line in ledger.lines:
        audit.take(line)
    audit.finish(ledger.checkpoint)
    return audit


class FakeWitness:
    """``ports.ledger.Witness`` in memory."""

    def __init__(self) -> None:
        self.remembered: list[bytes] = []

    async def remember(self, note: bytes) -> None:
        self.remembered.append(note)

    async def notes(self) -> Sequence[bytes]:
        return tuple(self.remembered)


def delegated_key(ledger: Path, user_key: bytes, role: str = NIGHT_ROLE) -> bytes:
    """Return the public key that the first record of a ledger delegates to a role."""
    with ledger.open("rb") as file:
        line = file.readline()
    statement = parse_statement(open_envelope(parse_envelope(line), [user_key]))
    key = read_delegation(statement).key(role)
    assert key is not None, f"the ledger delegates no key to {role}"
    return key


class InlineLedger(NightLedger):
    """A ledger without a writer: what is entered is signed at once, and kept in memory."""

    def enter(
        self, kind: str, subjects: Subjects, predicate: Mapping[str, Any], *, role: str = NIGHT_ROLE
    ) -> "asyncio.Future[Entry]":
        done: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()
        place = Place(night=self.delegation.night, seq=self.index.size, at=self.clock.now().isoformat())
        payload = make_statement(subjects, kind, with_place(predicate, place))
        assert isinstance(self.signer, InProcessSigner)
        signed = self.signer.held.sign_statements([SigningRequest(role, payload)])
        if signed.refusal:
            done.set_exception(SignatureError(signed.refusal))
            return done
        line = seal(payload, [(key_id(self.delegation.key(role) or b""), signed.signatures[0])]).to_bytes()
        done.set_result(Entry(self.index.size, line))
        self.index.add(line, kind, payload)
        self.lines.append(line)
        return done

    @property
    def lines(self) -> list[bytes]:
        """Every line, as a file would hold it."""
        assert isinstance(self.file, FakeLedgerFile)
        return self.file.lines

    def close(self) -> bytes:
        """Return a signed checkpoint over everything."""
        assert isinstance(self.signer, InProcessSigner)
        tree, key = self.index.tree, self.delegation.key(NIGHT_ROLE)
        assert key is not None
        point = Checkpoint(origin=self.delegation.origin, size=tree.size, root=tree.root().hex())
        return write_note(point.text(), point.origin, key, self.signer.held.sign_checkpoint(point.text(), ()))

    async def checkpoint(self) -> Checkpoint:
        tree = self.index.tree
        return Checkpoint(origin=self.delegation.origin, size=tree.size, root=tree.root().hex())


def inline_ledger(
    night: str, base_commit: str, reviewers: Sequence[str] = (), clock: Clock | None = None
) -> InlineLedger:
    """Return the ledger of a night in memory, for tests that need one and are not about it."""
    clock = clock or SystemClock()
    signer = InProcessSigner(clock=clock)
    roles = (NIGHT_ROLE, *map(reviewer_role, reviewers))
    request = DelegationRequest(night, night_origin(night, base_commit), roles, 0, None, 3_600.0)
    line = signer.held.delegate(request)
    payload = open_envelope(parse_envelope(line), [signer.public_key])
    index = LedgerIndex(night, signer.public_key)
    index.add(line, DELEGATION_PREDICATE, payload)
    file = FakeLedgerFile()
    file.lines.append(line)
    return InlineLedger(
        file=file,
        witness=FakeWitness(),
        signer=signer,
        clock=clock,
        delegation=read_delegation(parse_statement(payload)),
        index=index,
    )


async def check_signer(signer: Signer) -> None:
    """Hold a signer to the port's contract. Raises ``AssertionError``."""
    assert signer.key_id == key_id(signer.public_key)
    assert len(signer.public_key) == 32
    payload = b"{}"
    signature = await signer.sign(pae(PAYLOAD_TYPE, payload))
    assert len(signature) == 64
    assert signature == await signer.sign(pae(PAYLOAD_TYPE, payload)), "Ed25519 is deterministic"
    envelope = seal(payload, [(signer.key_id, signature)])
    assert open_envelope(envelope, [signer.public_key]) == payload
    try:
        open_envelope(envelope, [FakeSigner(2**200).public_key])
    except SignatureError:
        return
    raise AssertionError("a signature held under another key")
