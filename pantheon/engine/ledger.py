"""The night's ledger under way: statements are numbered, signed, appended and made durable in groups.

Invariants:
- whoever enters a statement hears of it only when its line is durable;
- lines stand in the order of their places, and the tree over them is that of the file;
- a ledger that could not be written takes nothing more: the same command run again takes it up.

One ``asyncio.Task`` writes. It takes what has gathered while it wrote the group before, so that one exchange with
the signer and one flush of the disk serve all of it.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, NamedTuple

from pantheon.core.checkpoint import Checkpoint, write_note
from pantheon.core.delegation import NIGHT_ROLE, Delegation, Place, read_delegation, with_place
from pantheon.core.dsse import key_id, open_envelope, parse_envelope, seal_line
from pantheon.core.errors import PantheonError, SignatureError, TransitionError
from pantheon.core.ledger_index import LedgerIndex
from pantheon.core.statement import DELEGATION_PREDICATE, Digests, make_statement, parse_statement
from pantheon.ports.clock import Clock
from pantheon.ports.ledger import LedgerFile, Witness
from pantheon.ports.signer import DelegationRequest, NightSigner, SigningRequest

MOST_AT_ONCE = 256
"""Statements of one group."""
CHECKPOINT_EVERY_S = 30.0
KEPT_BACK = timedelta(seconds=5)
"""Keys are renewed so long before they end, for the signer looks at the time a little later."""
Subjects = Mapping[str, str | Digests]
"""Name -> SHA-256, or digests by algorithm."""


class Entry(NamedTuple):
    """A statement in the ledger."""

    seq: int
    line: bytes
    """The envelope, without the end of the line."""


@dataclass
class _Wish:
    role: str
    subjects: Subjects
    kind: str
    predicate: Mapping[str, Any]
    done: "asyncio.Future[Entry]"


@dataclass
class NightLedger:
    """The ledger of the night under way. Make it with ``engine.ledger_opening.open_ledger``.

    Args:
        file: where the lines go.
        witness: remembers the checkpoints elsewhere.
        signer: holds the night's keys.
        clock: for the times of the statements.
        delegation: what the signer's keys are good for.
        index: what is in the ledger so far.
        checkpointed: the last checkpoint; None when there is none.
    """

    file: LedgerFile
    witness: Witness
    signer: NightSigner
    clock: Clock
    delegation: Delegation
    index: LedgerIndex
    valid_s: float = 24 * 3600.0
    """How long renewed keys count."""
    checkpointed: Checkpoint | None = None
    note: bytes = b""
    """The signed note around it."""
    _wishes: list[_Wish] = field(default_factory=list)
    _points: list["asyncio.Future[Checkpoint]"] = field(default_factory=list)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _closing: bool = False
    _broken: PantheonError | None = None
    _pointed_at: float = 0.0
    proven: Checkpoint | None = None
    """The checkpoint that this signer takes for the last one."""
    _standing: "_Wish | None" = None
    """What is said again behind each delegation."""
    _key_ids: dict[str, str] = field(init=False)
    """Role -> id of its key."""

    def __post_init__(self) -> None:
        self._key_ids = _ids_of(self.delegation)

    def enter(
        self, kind: str, subjects: Subjects, predicate: Mapping[str, Any], *, role: str = NIGHT_ROLE
    ) -> "asyncio.Future[Entry]":
        """Have a statement signed and appended; the answer comes when its line is durable.

        Whoever stops waiting for the answer does not take the statement back: wait through ``asyncio.shield``, and
        again for the same answer where that was cut.

        Args:
            kind: URI of the predicate.
            subjects: what it is about.
            predicate: JSON values without floats; its place is added.
            role: whose key signs it.
        """
        done: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()
        if self._broken is not None or self._closing:
            _fail([done], self._broken or TransitionError("the night's ledger is closed"))
            return done
        self._wishes.append(_Wish(role, subjects, kind, predicate, done))
        self._woken.set()
        return done

    async def state(
        self, kind: str, subjects: Subjects, predicate: Mapping[str, Any], *, role: str = NIGHT_ROLE
    ) -> Entry:
        """Enter a statement and wait until it is durable.

        Raises:
            SignatureError: the signer refuses it or does not answer.
            ArtifactError: the ledger cannot be written.

        Cancellation:
            The statement may be in the ledger or not.
        """
        return await asyncio.shield(self.enter(kind, subjects, predicate, role=role))

    async def state_standing(self, kind: str, subjects: Subjects, predicate: Mapping[str, Any]) -> Entry:
        """Enter what is true of this process as long as it lives, now and behind every later delegation.

        Raises, and is cancelled, as ``state``.
        """
        entry = await self.state(kind, subjects, predicate)
        self._standing = _Wish(NIGHT_ROLE, subjects, kind, predicate, asyncio.Future())
        return entry

    async def checkpoint(self) -> Checkpoint:
        """Sign and keep a checkpoint over everything that has been entered; the same again when nothing is new.

        Raises:
            SignatureError, ArtifactError: as ``state``.
        """
        if self._broken is not None or self._closing:
            raise self._broken or TransitionError("the night's ledger is closed")
        done: asyncio.Future[Checkpoint] = asyncio.get_running_loop().create_future()
        self._points.append(done)
        self._woken.set()
        return await asyncio.shield(done)

    async def run(self) -> None:
        """Write what is entered until ``stop``. Never raises for what the signer or the disk refuse.

        Cancellation:
            Whoever waits is told that nothing is written any more.
        """
        try:
            await self._write_all()
        except BaseException:
            self._break(SignatureError("the night's ledger is written no more"))
            raise

    async def _write_all(self) -> None:
        self._pointed_at = self.clock.monotonic()
        while not self._closing or self._wishes or self._points:
            await self._woken.wait()
            self._woken.clear()
            try:
                while self._wishes and self._broken is None:
                    await self._write_group()
                if self._points or self.clock.monotonic() - self._pointed_at >= CHECKPOINT_EVERY_S:
                    await self._write_checkpoint()
            except PantheonError as error:
                self._break(error)
        if self._broken is None:
            try:
                await self._write_checkpoint()
            except PantheonError as error:
                self._break(error)

    def stop(self) -> None:
        """Take nothing more; ``run`` ends when everything is written."""
        self._closing = True
        self._woken.set()

    async def _write_group(self) -> None:
        await self._renew()
        group = self._wishes[:MOST_AT_ONCE]
        del self._wishes[: len(group)]
        try:
            await self._sign_and_append(group)
        except BaseException:
            # ``run`` tells them, with all others who wait behind them.
            self._wishes[:0] = group
            raise

    async def _sign_and_append(self, group: list[_Wish]) -> None:
        requests = self._number(group)
        signed = await self.signer.sign_statements(requests) if requests else None
        count = 0 if signed is None else len(signed.signatures)
        if signed is not None and signed.refusal and count < len(group):
            _fail([group[count].done], SignatureError(f"the signer refuses: {signed.refusal}"))
            self._wishes[:0] = group[count + 1 :]
        elif count < len(group):
            raise SignatureError(f"the signer has signed {count} of {len(group)} statements")
        if signed is None or not count:
            return
        lines = [
            seal_line(request.statement, self._key_ids[request.role], signature)
            for request, signature in zip(requests, signed.signatures, strict=False)
        ]
        await self.file.append(lines)
        for wish, request, line in zip(group, requests, lines, strict=False):
            seq = self.index.size
            self.index.add(line, wish.kind, request.statement)
            if not wish.done.done():
                wish.done.set_result(Entry(seq, line))

    def _number(self, group: list[_Wish]) -> list[SigningRequest]:
        """Give each wish its place; one that no statement can be made of is refused and leaves the group."""
        requests: list[SigningRequest] = []
        at, first = self.clock.now().isoformat(), self.index.size
        for wish in tuple(group):
            place = Place(night=self.delegation.night, seq=first + len(requests), at=at)
            try:
                statement = make_statement(wish.subjects, wish.kind, with_place(wish.predicate, place))
            except (ValueError, TypeError, RecursionError) as error:
                group.remove(wish)
                _fail([wish.done], SignatureError(f"no statement can be made of this: {error}"))
                continue
            requests.append(SigningRequest(wish.role, statement))
        return requests

    async def _write_checkpoint(self) -> None:
        tree, waiting = self.index.tree, tuple(self._points)
        if self.checkpointed is None or self.checkpointed.size != tree.size:
            await self._sign_checkpoint()
        del self._points[: len(waiting)]
        self._pointed_at = self.clock.monotonic()
        assert self.checkpointed is not None
        for one in waiting:
            if not one.done():
                one.set_result(self.checkpointed)

    async def _renew(self) -> None:
        """Have new keys delegated where the old ones do not count: a long night, a clock that was set."""
        now = self.clock.now()
        if self.delegation.covers(now) and self.delegation.covers(now + KEPT_BACK):
            return
        line = await self.signer.delegate(
            DelegationRequest(
                night=self.delegation.night,
                origin=self.delegation.origin,
                roles=tuple(self.delegation.keys),
                seq=self.index.size,
                previous=self.checkpointed,
                valid_s=self.valid_s,
            )
        )
        payload = open_envelope(parse_envelope(line), [self.signer.public_key])
        await self.file.append([line])
        self.index.add(line, DELEGATION_PREDICATE, payload)
        self.delegation, self.proven = read_delegation(parse_statement(payload)), self.checkpointed
        self._key_ids = _ids_of(self.delegation)
        if self._standing is not None:
            self._wishes.insert(0, replace(self._standing, done=asyncio.get_running_loop().create_future()))
            self._woken.set()

    async def _sign_checkpoint(self) -> None:
        await self._renew()
        tree, last = self.index.tree, self.proven
        point = Checkpoint(origin=self.delegation.origin, size=tree.size, root=tree.root().hex())
        proof = () if last is None else tree.prove_consistency(last.size)
        signature = await self.signer.sign_checkpoint(point.text(), proof)
        key = self.delegation.key(NIGHT_ROLE)
        assert key is not None
        note = write_note(point.text(), point.origin, key, signature)
        await self.file.put_checkpoint(note)
        await self.witness.remember(note)
        self.checkpointed, self.note, self.proven = point, note, point

    def _break(self, error: PantheonError) -> None:
        self._broken = error
        waiting: list[asyncio.Future[Any]] = [*(wish.done for wish in self._wishes), *self._points]
        self._wishes, self._points = [], []
        _fail(waiting, error)


def _fail(waiting: Iterable["asyncio.Future[Any]"], error: PantheonError) -> None:
    for one in waiting:
        if not one.done():
            one.set_exception(error)
            # Whoever asked may have gone before it looks at the answer.
            one.exception()


def _ids_of(delegation: Delegation) -> dict[str, str]:
    return {role: key_id(bytes.fromhex(key)) for role, key in delegation.keys.items()}
