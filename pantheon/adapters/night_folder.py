"""Compares what stands in a night's folder with what the night attested, name by name.

Invariants:
- the type of whatever stands there is looked at before its name: only folders are entered, only regular files are read;
- no link is followed, nothing is written, and no file is held in memory as a whole.
"""

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from pantheon.core.dsse import MAX_ENVELOPE_BYTES
from pantheon.core.verify import Flaw
from pantheon.core.verify_claims import AttestedAttempt
from pantheon.core.verify_ledger import LedgerAudit

LEDGER, CHECKPOINT, ATTESTATION = "ledger.jsonl", "checkpoint", "attestation.json"
_REPORT = re.compile(r"report\.(?:html|json)|\.report\.(?:html|json)\.new|\.checkpoint\.new")
"""Files of a night that are written anew whenever somebody asks, and what a crash leaves of them."""
_SERVER_LOG = re.compile(r"server-\d{8}-\d{6}\.log|\.server-\d{8}-\d{6}\.log\.new")
"""What the model server printed, kept with the night when it has ended."""
DEPTH = 3
"""Folders between the night's and a file of an attempt."""
CHUNK = 1 << 20
MAX_FILE_BYTES = 1 << 30
"""What is larger is not read: replies, calls and output of an attempt are bounded far below that."""
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
Progress = Callable[[int, int, str], None]
"""Told how much of how much was looked at, and what is looked at now: bytes of the ledger, then attempts."""


def check_attempts(folder: Path, audit: LedgerAudit, progress: Progress) -> int:
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
        # A claim that is cut by a cancellation leaves its folder, and nothing in it.
        audit.claims.notes.append(f"{place}: an empty folder, which nothing attests")
    elif place in audit.claims.interrupted:
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
        problem, digest, line = _digest(handle, name, read=name in attested.files)
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
    if ATTESTATION not in names:
        told = f"no copy of record {attested.record}, which attests it"
        if place in audit.claims.interrupted or audit.claims.closing is None:
            audit.claims.notes.append(f"{place}: has {told}")
        else:
            audit.faults.add(Flaw.MISSING, f"{place}/{ATTESTATION}", told)


def _is_cut_copy(folder: Path, record: int, handle: int) -> bool:
    """Whether an attestation is the beginning of its record: what a process that died in the middle leaves."""
    try:
        with os.fdopen(os.open(ATTESTATION, READ, dir_fd=handle), "rb") as file:
            copy = file.read(MAX_ENVELOPE_BYTES + 2)
        with os.fdopen(os.open(folder / LEDGER, READ), "rb") as ledger:
            line = next(islice(ledger, record, None), b"")
    except OSError:
        return False
    return len(copy) < len(line) and line.startswith(copy)


def _digest(folder: int, name: str, *, read: bool) -> tuple[str, str, str]:
    """Return what is wrong with a file, its SHA-256, and that of its bytes without the end of its only line.

    Args:
        folder: descriptor of its folder.
        name: its name there.
        read: whether its content matters; a copy of the record is read in any case.
    """
    try:
        handle = os.open(name, READ, dir_fd=folder)
        with os.fdopen(handle, "rb") as file:
            facts = os.fstat(handle)
            if not stat.S_ISREG(facts.st_mode):
                return "is not a regular file", "", ""
            if facts.st_size > MAX_FILE_BYTES:
                return f"has {facts.st_size} bytes, more than any attempt leaves", "", ""
            if name == ATTESTATION:
                data = file.read(MAX_ENVELOPE_BYTES + 2)
                return "", "", hashlib.sha256(data.removesuffix(b"\n")).hexdigest()
            if not read:
                return "", "", ""
            digest = hashlib.sha256()
            while chunk := file.read(CHUNK):
                digest.update(chunk)
            return "", digest.hexdigest(), ""
    except OSError as error:
        return f"cannot be read: {error.strerror}", "", ""


def _tell_unsigned(audit: LedgerAudit, folder: int, name: str) -> None:
    try:
        regular = stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError as error:
        audit.faults.add(Flaw.MALFORMED, name, f"cannot be looked at: {error.strerror}")
        return
    if regular:
        why = (
            "it is what the model server printed"
            if _SERVER_LOG.fullmatch(name)
            else "it is written anew whenever somebody asks for it"
        )
        audit.claims.notes.append(f"{name} is signed by nobody: {why}")
    else:
        audit.faults.add(Flaw.MALFORMED, name, "is not a regular file")


def _tell_empty(audit: LedgerAudit, place: str) -> None:
    """Tell of a folder above the attempts' that holds nothing."""
    if audit.claims.closing is None or any(one.startswith(f"{place}/") for one in audit.claims.interrupted):
        audit.claims.notes.append(f"{place}: an empty folder, as a process that dies leaves it")
    else:
        audit.faults.add(Flaw.EXTRA, place, "an empty folder, which no record attests")


def _walk(folder: Path, audit: LedgerAudit) -> Iterator[tuple[str, Sequence[str], int]]:
    """Yield (folder of an attempt, its names, open descriptor); whatever stands elsewhere is a defect."""

    def look(handle: int, parts: tuple[str, ...]) -> Iterator[tuple[str, Sequence[str], int]]:
        place = "/".join(parts)
        names = sorted(os.listdir(handle))
        if len(parts) == DEPTH:
            yield place, names, handle
            return
        if not names and parts:
            _tell_empty(audit, place)
        for name in names:
            if not parts and name in (LEDGER, CHECKPOINT):
                continue
            if not parts and (_REPORT.fullmatch(name) or _SERVER_LOG.fullmatch(name)):
                _tell_unsigned(audit, handle, name)
                continue
            where = "/".join((*parts, name))
            try:
                inner = os.open(name, ENTER, dir_fd=handle)
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
