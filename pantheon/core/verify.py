"""What verifying a night comes to: each defect by name, and what was looked at."""

from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Any

from pydantic import Field

from pantheon.core.checkpoint import Checkpoint, note_text, parse_checkpoint
from pantheon.core.errors import VerificationError
from pantheon.core.model import Frozen

MAX_DEFECTS = 1_000
"""Told one by one; the rest are counted."""


class Flaw(StrEnum):
    """Kinds of defects."""

    ALTERED = "altered"
    """Bytes are not those that were signed."""
    MALFORMED = "malformed"
    """Bytes that no night writes."""
    MISSING = "missing"
    EXTRA = "extra"
    """Something that nobody attested."""
    OUT_OF_ORDER = "out_of_order"
    DUPLICATE = "duplicate"
    TRUNCATED = "truncated"
    """The end is missing."""
    ROLLED_BACK = "rolled_back"
    """An earlier state stands where a later one was witnessed."""
    WRONG_KEY = "wrong_key"
    WRONG_NIGHT = "wrong_night"
    """Signed for another night, or for another place in this one."""
    WRONG_COMMIT = "wrong_commit"
    """The repository does not hold what the night landed."""
    EXPIRED_DELEGATION = "expired_delegation"
    CONFLICTING_VERDICT = "conflicting_verdict"
    UNSUPPORTED_DECISION = "unsupported_decision"
    """Something was allowed without what allows it."""
    UNCONTAINED = "uncontained"
    """Work without a proof before it that the night could not leave the machine."""


class Defect(Frozen):
    """One thing that is wrong."""

    flaw: Flaw
    where: str
    """A record's number, or a path in the night's folder."""
    what: str


class NightVerdict(Frozen):
    """What verifying one night came to."""

    night: str
    """Empty when the folder does not even say."""
    origin: str = ""
    records: int = 0
    checkpoint: Checkpoint | None = None
    previous: Checkpoint | None = None
    """The last checkpoint of the night before, as this one's first record binds it."""
    attempts: int = 0
    files: int = 0
    closed: bool = False
    outcomes: dict[str, int] = Field(default_factory=dict)
    """What became of the tasks, as the night attested at its end."""
    sandboxes: tuple[str, ...] = ()
    """What code of the repository ran in, as each process of the night attested."""
    models: tuple[str, ...] = ()
    """Name and digest of each model that answered, as attested."""
    checked: tuple[str, ...] = ()
    """What was looked at, in words."""
    notes: tuple[str, ...] = ()
    """What is no defect and worth knowing."""
    defects: tuple[Defect, ...] = ()
    defects_left_out: int = 0

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.defects


class Faults:
    """Gathers defects up to a ceiling."""

    def __init__(self) -> None:
        self.found: list[Defect] = []
        self.left_out = 0

    def add(self, flaw: Flaw, where: str, what: str) -> None:
        """Note a defect."""
        if len(self.found) < MAX_DEFECTS:
            self.found.append(Defect(flaw=flaw, where=where[:300], what=what[:500]))
        else:
            self.left_out += 1


def read_text(value: Any, limit: int = 300) -> str:
    """Return a field that should be text; empty when it is not."""
    return value[:limit] if isinstance(value, str) else ""


def check_chain(verdicts: Sequence[NightVerdict], witness: Sequence[bytes]) -> tuple[NightVerdict, ...]:
    """Return the verdicts with what is wrong between nights: each binds the last checkpoint of the one before it.

    Args:
        verdicts: of all nights of one repository that are there, the oldest first.
        witness: signed notes that were remembered elsewhere.
    """
    if not any(one.origin for one in verdicts):
        return tuple(verdicts)
    known = {one.origin: one for one in verdicts}
    found = []
    seen: set[str] = set()
    for number, one in enumerate(verdicts):
        faults = Faults()
        faults.found.extend(one.defects)
        if one.origin and one.origin in seen:
            faults.add(Flaw.DUPLICATE, one.origin, "this night stands here in two folders")
        seen.add(one.origin)
        notes = list(one.notes)
        if (before := one.previous) is not None and before.origin in known:
            _check_previous(faults, known[before.origin], before)
        elif before is not None and number:
            faults.add(Flaw.MISSING, before.origin, "the night before this one is not here")
        elif before is not None:
            notes.append(f"the night before this one, {before.origin}, is not here")
        if not number:
            for origin in sorted(_witnessed(witness) - set(known)):
                faults.add(Flaw.MISSING, origin, "the witness remembers this night, and it is not here")
        found.append(one.model_copy(update={"defects": tuple(faults.found), "notes": tuple(notes)}))
    return tuple(found)


def _check_previous(faults: Faults, earlier: NightVerdict, bound: Checkpoint) -> None:
    if earlier.records < bound.size:
        told = f"this night binds {bound.size} records of it, it has {earlier.records}"
        faults.add(Flaw.ROLLED_BACK, bound.origin, told)
        return
    last = earlier.checkpoint
    if last is not None and last.size == bound.size and last.root != bound.root:
        faults.add(Flaw.ALTERED, bound.origin, "this night binds another root of it")


def _witnessed(notes: Sequence[bytes]) -> set[str]:
    found = set()
    for note in notes:
        with suppress(VerificationError):
            found.add(parse_checkpoint(note_text(note)).origin)
    return found
