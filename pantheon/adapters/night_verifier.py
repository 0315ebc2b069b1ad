"""Verifies the folder of a night, wherever it was copied: reads it without trusting it, and lets the core judge.

Invariants:
- nothing is written, nothing outside the folder is read, and no link is followed;
- a pipe or a device in the folder cannot hold it up, and no file is held in memory as a whole;
- what cannot be read is a defect, never an error.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from pantheon.core.checkpoint import MAX_NOTE_BYTES
from pantheon.core.dsse import MAX_ENVELOPE_BYTES
from pantheon.core.verify import Flaw, NightVerdict
from pantheon.core.verify_claims import AttestedAttempt
from pantheon.core.verify_ledger import LedgerAudit
from pantheon.core.verify_outside import LandedCommit, check_landed, check_witness

LEDGER, CHECKPOINT, ATTESTATION = "ledger.jsonl", "checkpoint", "attestation.json"
UNSIGNED = frozenset(
    {"report.html", "report.json", ".report.html.new", ".report.json.new", ".checkpoint.new"}
)
"""Files of a night that are written anew whenever somebody asks, and what a crash leaves of them."""
DEPTH = 3
"""Folders between the night's and a file of an attempt."""
CHUNK = 1 << 20
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
Progress = Callable[[int, int, str], None]
"""Told how much of how much was looked at, and what is looked at now: bytes of the ledger, then attempts."""


def verify_night(
    folder: Path,
    user_key: bytes,
    *,
    witness: Sequence[bytes] | None = None,
    landed: Callable[[str, str], Sequence[LandedCommit] | None] | None = None,
    progress: Progress = lambda _done, _total, _what: None,
) -> NightVerdict:
    """Verify one night.

    Args:
        folder: the night's artifacts.
        user_key: the raw public key that it must stand on.
        witness: checkpoints that were remembered elsewhere; None when nobody asked for that.
        landed: returns the commits of a branch since a base, None where the repository has no such branch; None
            when nobody asked for that.
        progress: told how far it is.
    """
    audit = LedgerAudit(user_key)
    checked = [
        "signatures and places of all records",
        "the tree over them against the signed checkpoint",
        "the proof of every process that it could not leave the machine",
    ]
    _read_ledger(folder, audit, progress)
    if (foreign := audit.foreign) is not None:
        return NightVerdict(
            night="",
            records=audit.tree.size,
            notes=("nothing else was looked at",),
            defects=(foreign,),
        )
    point = audit.finish(_read_note(folder, audit))
    files = _check_attempts(folder, audit, progress)
    checked.append("every file of every attempt against its attestation")
    if witness is not None:
        check_witness(audit, witness)
        checked.append("what the witness remembers")
    if landed is not None:
        check_landed(audit, landed)
        checked.append("the commits of the night's branch")
    claims, closing = audit.claims, audit.claims.closing
    outcomes = {} if closing is None else closing.predicate.get("outcomes", {})
    if closing is None and claims.delegations:
        claims.notes.append("the night is not closed: it was left open, or it is still running")
    return NightVerdict(
        night=audit.night,
        origin=audit.origin,
        records=audit.tree.size,
        checkpoint=point,
        attempts=len(claims.attempts),
        files=files,
        closed=closing is not None,
        previous=claims.delegations[0].previous if claims.delegations else None,
        outcomes={k: v for k, v in outcomes.items() if isinstance(v, int)}
        if isinstance(outcomes, dict)
        else {},
        sandboxes=tuple(claims.contained.sandboxes),
        checked=tuple(checked),
        notes=tuple(claims.notes),
        defects=tuple(audit.faults.found),
        defects_left_out=audit.faults.left_out,
    )


def find_nights(path: Path) -> tuple[Path, ...]:
    """Return the nights' folders: ``path`` itself when it is one, else those right below it, in order."""
    if os.path.lexists(path / LEDGER) or os.path.lexists(path / CHECKPOINT):
        return (path,)
    return tuple(
        one for one in sorted(path.iterdir()) if one.is_dir() and not one.is_symlink() and one.name[:1] != "."
    )


def _read_ledger(folder: Path, audit: LedgerAudit, progress: Progress) -> None:
    try:
        handle = os.open(folder / LEDGER, _FILE)
    except OSError as error:
        audit.faults.add(Flaw.MISSING, LEDGER, f"cannot be opened: {error.strerror}")
        return
    with os.fdopen(handle, "rb") as file:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            audit.faults.add(Flaw.MALFORMED, LEDGER, "is not a regular file")
            return
        done = 0
        while line := file.readline(MAX_ENVELOPE_BYTES + 2):
            if not line.endswith(b"\n"):
                if len(line) > MAX_ENVELOPE_BYTES:
                    audit.faults.add(Flaw.MALFORMED, f"record {audit.tree.size}", "the line is too long")
                    return
                audit.claims.notes.append(
                    f"{len(line)} bytes behind the last whole record, as a crash leaves them"
                )
                if audit.claims.closing is not None:
                    audit.faults.add(Flaw.EXTRA, LEDGER, "there is half a record behind the end of the night")
                return
            audit.take(line[:-1])
            done += len(line)
            progress(done, facts.st_size, LEDGER)


def _read_note(folder: Path, audit: LedgerAudit) -> bytes | None:
    try:
        handle = os.open(folder / CHECKPOINT, _FILE)
        with os.fdopen(handle, "rb") as file:
            if stat.S_ISREG(os.fstat(handle).st_mode):
                return file.read(MAX_NOTE_BYTES + 1)
    except OSError:
        return None
    audit.faults.add(Flaw.MALFORMED, CHECKPOINT, "is not a regular file")
    return None


def _check_attempts(folder: Path, audit: LedgerAudit, progress: Progress) -> int:
    """Compare what is in the attempts' folders with what was attested; returns the number of files."""
    count, seen = 0, set()
    for place, names, handle in _walk(folder, audit):
        seen.add(place)
        count += len(names)
        attested = audit.claims.attempts.get(place)
        progress(len(seen), len(audit.claims.attempts), place)
        if attested is None:
            _tell_unattested(audit, place, names)
            continue
        _check_files(audit, folder, place, names, attested, handle)
    for place in audit.claims.attempts:
        if place not in seen:
            audit.faults.add(Flaw.MISSING, place, "the attempt was attested, its folder is not there")
    return count


def _tell_unattested(audit: LedgerAudit, place: str, names: Sequence[str]) -> None:
    if not names:
        return
    if place in audit.claims.interrupted:
        audit.claims.notes.append(f"{place}: was under way when a process died; nothing attests what it left")
    elif audit.claims.closing is None and ATTESTATION not in names:
        audit.claims.notes.append(f"{place}: nothing attests what is here; the night is open")
    else:
        audit.faults.add(Flaw.EXTRA, place, "no record attests this attempt")


def _check_files(
    audit: LedgerAudit,
    folder: Path,
    place: str,
    names: Sequence[str],
    attested: AttestedAttempt,
    handle: int,
) -> None:
    for name in names:
        where = f"{place}/{name}"
        problem, digest, line = _digest(handle, name)
        if problem:
            audit.faults.add(Flaw.MALFORMED, where, problem)
        elif name == ATTESTATION:
            if line == attested.digest:
                continue
            unsettled = place in audit.claims.interrupted or audit.claims.closing is None
            if unsettled and _is_cut_copy(folder, attested.record, handle):
                audit.claims.notes.append(f"{place}: its copy of record {attested.record} was cut by a crash")
            else:
                audit.faults.add(Flaw.ALTERED, where, f"it is not record {attested.record} of the ledger")
        elif name not in attested.files:
            audit.faults.add(Flaw.EXTRA, where, f"record {attested.record} does not name it")
        elif digest != attested.files[name]:
            audit.faults.add(Flaw.ALTERED, where, f"it is not what record {attested.record} names")
    for name in sorted(set(attested.files) - set(names)):
        audit.faults.add(Flaw.MISSING, f"{place}/{name}", f"record {attested.record} names it")
    if ATTESTATION not in names and place not in audit.claims.interrupted:
        audit.claims.notes.append(f"{place}: has no copy of record {attested.record}, which attests it")


def _is_cut_copy(folder: Path, record: int, handle: int) -> bool:
    """Whether an attestation is the beginning of its record: what a process that died in the middle leaves."""
    try:
        with os.fdopen(os.open(ATTESTATION, _FILE, dir_fd=handle), "rb") as file:
            copy = file.read(MAX_ENVELOPE_BYTES + 2)
        with os.fdopen(os.open(folder / LEDGER, _FILE), "rb") as ledger:
            line = next(islice(ledger, record, None), b"")
    except OSError:
        return False
    return len(copy) < len(line) and line.startswith(copy)


def _digest(folder: int, name: str) -> tuple[str, str, str]:
    """Return what is wrong with a file, its SHA-256, and that of its bytes without the end of its only line."""
    try:
        handle = os.open(name, _FILE, dir_fd=folder)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return "is not a regular file", "", ""
            if name == ATTESTATION:
                data = file.read(MAX_ENVELOPE_BYTES + 2)
                return "", "", hashlib.sha256(data.removesuffix(b"\n")).hexdigest()
            digest = hashlib.sha256()
            while chunk := file.read(CHUNK):
                digest.update(chunk)
            return "", digest.hexdigest(), ""
    except OSError as error:
        return f"cannot be read: {error.strerror}", "", ""


def _walk(folder: Path, audit: LedgerAudit) -> Iterator[tuple[str, Sequence[str], int]]:
    """Yield (folder of an attempt, its names, open descriptor); whatever stands elsewhere is a defect."""

    def look(handle: int, parts: tuple[str, ...]) -> Iterator[tuple[str, Sequence[str], int]]:
        place = "/".join(parts)
        names = sorted(os.listdir(handle))
        if len(parts) == DEPTH:
            yield place, names, handle
            return
        for name in names:
            if not parts and (name in UNSIGNED or name in (LEDGER, CHECKPOINT)):
                continue
            where = "/".join((*parts, name))
            try:
                inner = os.open(name, _FOLDER, dir_fd=handle)
            except OSError:
                audit.faults.add(Flaw.EXTRA, where, "no record attests it")
                continue
            try:
                yield from look(inner, (*parts, name))
            finally:
                os.close(inner)

    try:
        top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        audit.faults.add(Flaw.MISSING, ".", f"cannot be opened: {error.strerror}")
        return
    try:
        yield from look(top, ())
    finally:
        os.close(top)
