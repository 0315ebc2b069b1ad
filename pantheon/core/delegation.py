"""What a night's signatures stand on: the user's key names the keys of one night, and for how long they count.

Every statement of a night carries its place in the night's ledger, so that none can stand anywhere else.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import Field, ValidationError

from pantheon.core.checkpoint import Checkpoint
from pantheon.core.dsse import key_id
from pantheon.core.errors import VerificationError
from pantheon.core.model import Frozen
from pantheon.core.statement import DELEGATION_PREDICATE, Statement, make_statement

NIGHT_ROLE = "night"
REVIEWER_ROLES = "reviewer/"
PLACE = "ledger"
"""Field of every predicate that holds the statement's place."""
_TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?\+00:00$"


def reviewer_role(reviewer: str) -> str:
    """Return the role whose key signs the verdicts of a reviewer."""
    return f"{REVIEWER_ROLES}{reviewer}"


def night_origin(night: str, base_commit: str) -> str:
    """Return the name of a night's log: its id, and the commit it starts from, which tells repositories apart."""
    return f"pantheon.local/night/{night}/{base_commit[:12]}"


class Place(Frozen):
    """Where and when a statement was entered."""

    night: str = Field(min_length=1, max_length=200)
    seq: int = Field(ge=0, lt=2**53)
    """Number of records before it."""
    at: str = Field(pattern=_TIME)
    """RFC 3339, UTC."""

    @property
    def moment(self) -> datetime:
        """When, as an aware time."""
        return _moment(self.at)


class Delegation(Frozen):
    """The user's word on whose signatures count in one night."""

    night: str = Field(min_length=1, max_length=200)
    origin: str = Field(min_length=1, max_length=200)
    """Name of the night's log."""
    keys: Mapping[str, str] = Field(min_length=1, max_length=100)
    """Role -> public key, 32 bytes in hexadecimal."""
    not_before: str = Field(alias="notBefore", pattern=_TIME)
    not_after: str = Field(alias="notAfter", pattern=_TIME)
    previous: Checkpoint | None
    """The last checkpoint before this: of the night before, or of this one when it is resumed."""

    def key(self, role: str) -> bytes | None:
        """Return the public key of a role; None when it has none."""
        found = self.keys.get(role)
        return None if found is None else bytes.fromhex(found)

    def covers(self, moment: datetime) -> bool:
        """Tell whether its keys count at a moment."""
        return _moment(self.not_before) <= moment <= _moment(self.not_after)


def delegation_statement(delegation: Delegation, place: Place) -> bytes:
    """Return the statement that the user's key signs."""
    subjects = {role: key_id(bytes.fromhex(key)) for role, key in delegation.keys.items()}
    predicate = delegation.model_dump(mode="json", by_alias=True)
    return make_statement(subjects, DELEGATION_PREDICATE, with_place(predicate, place))


def read_delegation(statement: Statement) -> Delegation:
    """Read a delegation back.

    Raises:
        VerificationError: it is none, its subjects are not its keys, or two roles share a key.
    """
    if statement.predicate_type != DELEGATION_PREDICATE:
        raise VerificationError("not a delegation")
    fields = {name: value for name, value in statement.predicate.items() if name != PLACE}
    try:
        found = Delegation.model_validate(fields)
        _moment(found.not_before), _moment(found.not_after)
        named = {role: key_id(_public(key)) for role, key in found.keys.items()}
    except (ValidationError, ValueError) as error:
        raise VerificationError(f"the delegation is malformed: {error}") from error
    if named != {one.name: one.digest.get("sha256") for one in statement.subject}:
        raise VerificationError("the delegation's subjects are not its keys")
    if len(set(found.keys.values())) != len(found.keys):
        raise VerificationError("two roles of the delegation share one key")
    if NIGHT_ROLE not in found.keys:
        raise VerificationError("the delegation has no key for the night")
    return found


def with_place(predicate: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Return a predicate that says where it stands."""
    return {**predicate, PLACE: {"night": place.night, "seq": place.seq, "at": place.at}}


def read_place(statement: Statement) -> Place:
    """Return where a statement says that it stands. Raises ``VerificationError`` when it does not."""
    try:
        return Place.model_validate(statement.predicate.get(PLACE))
    except (ValidationError, ValueError) as error:
        raise VerificationError("the statement does not say where in the ledger it stands") from error


def keys_at(delegations: Sequence[Delegation], role: str, moment: datetime) -> tuple[bytes, ...]:
    """Return the keys whose signature for a role counts at a moment."""
    found = [one.key(role) for one in delegations if one.covers(moment)]
    return tuple(key for key in found if key is not None)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _public(text: str) -> bytes:
    if len(text) != 64 or text != text.lower():
        raise ValueError("a public key is 64 lower-case hexadecimal digits")
    return bytes.fromhex(text)
