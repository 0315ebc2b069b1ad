"""What verifying a night comes to: each defect by name, and what was looked at."""

from enum import StrEnum
from typing import Any

from pydantic import Field

from pantheon.core.checkpoint import Checkpoint
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
    attempts: int = 0
    files: int = 0
    closed: bool = False
    outcomes: dict[str, int] = Field(default_factory=dict)
    """What became of the tasks, as the night attested at its end."""
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
