"""No ledger but the one that was written verifies, and nothing that is thrown at a reader makes it crash."""

import asyncio
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantheon.adapters.signer_wire import parse_answer, parse_message
from pantheon.core.attestations import parse_review, read_verdict
from pantheon.core.delegation import read_delegation, read_place
from pantheon.core.dsse import open_envelope, parse_envelope
from pantheon.core.errors import SignatureError, VerificationError
from pantheon.core.statement import parse_statement
from pantheon.core.verify_ledger import LedgerAudit
from pantheon.testing.signing import inline_ledger

KIND, SUBJECT = "https://pantheon.local/test", {"x": "0" * 64}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@cache
def written() -> tuple[bytes, tuple[bytes, ...], bytes]:
    """Return the user's key, the lines of a small ledger, and its checkpoint."""

    async def write() -> tuple[bytes, tuple[bytes, ...], bytes]:
        ledger = inline_ledger("n1", "c" * 40)
        for number in range(6):
            await ledger.enter(KIND, SUBJECT, {"n": number})
        return ledger.signer.public_key, tuple(ledger.lines), ledger.close()

    return asyncio.run(write())


def audit(lines: list[bytes], note: bytes) -> LedgerAudit:
    found = LedgerAudit(written()[0])
    for line in lines:
        found.take(line)
    found.finish(note)
    return found


def test_control_the_ledger_as_it_was_written_verifies() -> None:
    """Nothing is said against it."""
    _, lines, note = written()
    assert audit(list(lines), note).faults.found == []


@given(st.data())
def test_no_other_sequence_of_its_own_records_verifies(data: st.DataObject) -> None:
    """Any choice of its records, in any order, with any repeated, is told from the whole."""
    _, lines, note = written()
    other = data.draw(st.lists(st.sampled_from(lines), max_size=9))
    if other != list(lines):
        assert audit(other, note).faults.found != []


@given(st.data())
def test_no_byte_of_it_can_change(data: st.DataObject) -> None:
    """One byte anywhere, of a record or of the checkpoint, is told."""
    _, lines, note = written()
    place = data.draw(st.integers(0, len(lines)))
    changed = [bytearray(line) for line in (*lines, note)]
    at = data.draw(st.integers(0, len(changed[place]) - 1))
    changed[place][at] ^= data.draw(st.integers(1, 255))
    *other, other_note = map(bytes, changed)
    assert audit(other, other_note).faults.found != []


@given(st.lists(st.binary(max_size=200), max_size=4), st.binary(max_size=200))
def test_garbage_is_told_and_never_crashes(lines: list[bytes], note: bytes) -> None:
    """Whatever stands in the files, the answer is a list of defects."""
    assert audit(lines, note).faults.found != []


@given(st.data())
def test_garbage_between_records_is_told(data: st.DataObject) -> None:
    """So is what is put in among sound records, and the sound ones are still read."""
    _, lines, note = written()
    other = list(lines)
    other.insert(data.draw(st.integers(0, len(lines))), data.draw(st.binary(max_size=100)))
    found = audit(other, note)
    assert found.faults.found != []
    assert found.night == "n1"


@given(JSON)
def test_no_predicate_makes_a_reader_crash(value: object) -> None:
    """A signed statement may say anything; readers answer with an error of ours."""

    async def enter() -> None:
        ledger = inline_ledger("n1", "c" * 40)
        predicate = value if isinstance(value, dict) else {"value": value}
        try:
            line = (await ledger.enter(KIND, SUBJECT, predicate)).line
        except (ValueError, RecursionError, SignatureError):
            return
        statement = parse_statement(
            open_envelope(parse_envelope(line), [ledger.delegation.key("night") or b""])
        )
        assert read_place(statement).seq == 1
        for reader in (read_delegation, parse_review):
            with pytest.raises(VerificationError):
                reader(statement)
        with pytest.raises(SignatureError):
            read_verdict(line, ledger.index.delegations)

    asyncio.run(enter())


@given(st.binary(max_size=300))
def test_garbage_on_the_signers_wire_is_an_error_of_ours(data: bytes) -> None:
    """Both ends of the socket refuse what is no message."""
    for reader in (parse_message, parse_answer):
        try:
            reader(data)
        except SignatureError:
            continue
