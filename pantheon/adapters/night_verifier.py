"""Verifies the folder of a night, wherever it was copied: reads it without trusting it, and lets the core judge.

Invariants:
- nothing is written, nothing outside the folder is read, and no link is followed;
- a pipe or a device in the folder cannot hold it up, and no file is held in memory as a whole;
- what cannot be read is a defect, never an error.
"""

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from pantheon.adapters.night_folder import CHECKPOINT, LEDGER, READ, Progress, check_attempts
from pantheon.core.checkpoint import MAX_NOTE_BYTES, Checkpoint
from pantheon.core.dsse import MAX_ENVELOPE_BYTES
from pantheon.core.verify import Defect, Flaw, NightVerdict
from pantheon.core.verify_ledger import LedgerAudit
from pantheon.core.verify_outside import LandedCommit, check_landed, check_named, check_witness

MAX_LEFT_OUT = 50_000
"""Defects that nobody is told one by one, after which a ledger is not read on: somebody made it to be long."""


def verify_night(
    folder: Path,
    user_key: bytes,
    *,
    witness: Sequence[bytes] | None = None,
    landed: Callable[[str, str], Sequence[LandedCommit] | None] | None = None,
    named: Callable[[str], Sequence[LandedCommit]] | None = None,
    progress: Progress = lambda _done, _total, _what: None,
) -> NightVerdict:
    """Verify one night.

    Args:
        folder: the night's artifacts.
        user_key: the raw public key that it must stand on.
        witness: checkpoints that were remembered elsewhere; None when nobody asked for that.
        landed: returns the commits of a branch since a base, None where the repository has no such branch; None
            when nobody asked for that.
        named: returns the commits that name a night which is not closed; None when nobody asked for that.
        progress: told how far it is.
    """
    audit = LedgerAudit(user_key)
    checked = [
        "signatures and places of all records",
        "the tree over them against the signed checkpoint",
        "the proof of every process that it could not leave the machine",
    ]
    _read_ledger(folder, audit, progress)
    commits: Sequence[LandedCommit] = ()
    if named is not None and audit.night and audit.claims.closing is None:
        # The ledger is read again behind the commits, so that a night that runs is not behind its branch.
        commits = named(audit.night)
        audit = LedgerAudit(user_key)
        _read_ledger(folder, audit, progress)
    if (foreign := audit.foreign) is not None:
        return NightVerdict(
            night="",
            records=audit.tree.size,
            notes=("nothing else was looked at",),
            defects=(foreign,),
        )
    point = audit.finish(_read_note(folder, audit))
    files = check_attempts(folder, audit, progress)
    checked.append("every file of every attempt against its attestation")
    if witness is not None:
        check_witness(audit, witness)
        checked.append("what the witness remembers")
    if landed is not None:
        check_landed(audit, landed)
        check_named(audit, commits)
        checked.append("the commits of the night's branch")
    return _verdict(folder, audit, point, files, checked)


def find_nights(path: Path) -> tuple[Path, ...]:
    """Return the nights' folders: ``path`` itself when it is one, else those right below it, in order."""
    if os.path.lexists(path / LEDGER) or os.path.lexists(path / CHECKPOINT):
        return (path,)
    return tuple(one for one in sorted(path.iterdir()) if one.is_dir() and one.name[:1] != ".")


def verify_found(top: Path, night: Path, verify: Callable[[Path], NightVerdict]) -> NightVerdict:
    """Verify a night that was found; a link in the place of one is a defect, and is not followed.

    Args:
        top: where nights were looked for.
        night: one of ``find_nights``.
        verify: verifies a folder.
    """
    if night != top and night.is_symlink():
        told = "is a symbolic link; a night's folder stands here itself"
        return NightVerdict(night="", defects=(Defect(flaw=Flaw.MALFORMED, where=night.name, what=told),))
    return verify(night)


def _verdict(
    folder: Path, audit: LedgerAudit, point: Checkpoint | None, files: int, checked: Sequence[str]
) -> NightVerdict:
    """Return what the audit came to, once everything was looked at."""
    claims, closing = audit.claims, audit.claims.closing
    if audit.night and folder.resolve().name != audit.night:
        claims.notes.append(f"the folder is called {folder.resolve().name}, the night {audit.night}")
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
        models=tuple(claims.contained.models),
        checked=tuple(checked),
        notes=tuple(claims.notes),
        defects=tuple(audit.faults.found),
        defects_left_out=audit.faults.left_out,
    )


def _read_ledger(folder: Path, audit: LedgerAudit, progress: Progress) -> None:
    try:
        handle = os.open(folder / LEDGER, READ)
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
            if audit.faults.left_out >= MAX_LEFT_OUT:
                told = (
                    f"{LEDGER}: was not read behind record {audit.tree.size - 1}; too much before it is wrong"
                )
                audit.claims.notes.append(told)
                return
            done += len(line)
            progress(done, facts.st_size, LEDGER)


def _read_note(folder: Path, audit: LedgerAudit) -> bytes | None:
    try:
        handle = os.open(folder / CHECKPOINT, READ)
        with os.fdopen(handle, "rb") as file:
            if stat.S_ISREG(os.fstat(handle).st_mode):
                return file.read(MAX_NOTE_BYTES + 1)
    except OSError:
        return None
    audit.faults.add(Flaw.MALFORMED, CHECKPOINT, "is not a regular file")
    return None
