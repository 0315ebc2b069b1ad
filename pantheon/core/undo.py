"""Taking back what a night landed: one commit that says so, signed with the user's key.

A night's own keys are gone when it has ended, and its ledger is closed. So the commit carries its evidence itself: a
DSSE envelope in its message, over a statement that binds the night, the commit that is taken back, the commit before
and the tree that comes out. It fits one commit and no other.
"""

from datetime import datetime

from pydantic import ValidationError

from pantheon.core.dsse import open_envelope, parse_envelope
from pantheon.core.errors import SignatureError, VerificationError
from pantheon.core.model import Frozen
from pantheon.core.operation import operation_message
from pantheon.core.statement import make_statement, parse_statement

UNDO_PREDICATE = "https://pantheon.local/attestation/undo/v1"
ATTESTATION_TRAILER = "Pantheon-Undo-Attestation"


class Undo(Frozen):
    """One change that is taken back."""

    night: str
    task: str
    commit: str
    """The commit that is taken back."""
    parent: str
    """The commit that it is taken back on top of."""
    tree: str
    """The tree that comes out."""
    reason: str
    by: str
    at: datetime


def undo_statement(undo: Undo) -> bytes:
    """Return the bytes that are signed."""
    said = undo.model_dump(mode="json", exclude={"commit", "parent", "tree"})
    return make_statement(
        {
            "undone": {"gitCommit": undo.commit},
            "parent": {"gitCommit": undo.parent},
            "result": {"gitTree": undo.tree},
        },
        UNDO_PREDICATE,
        said,
    )


def undo_message(undo: Undo, subject: str, envelope: bytes | None) -> str:
    """Return the commit's message.

    Args:
        undo: what is taken back.
        subject: first line of the commit that is taken back.
        envelope: the signed statement; None where there is no key.
    """
    trailers = {
        "pantheon_undo": undo.commit,
        "pantheon_undone_task": undo.task,
        "pantheon_undone_night": undo.night,
        "pantheon_undo_reason": undo.reason,
        "pantheon_undo_by": undo.by,
    }
    if envelope is not None:
        trailers["pantheon_undo_attestation"] = envelope.decode()
    return operation_message(f"Undo {subject}", (), **trailers)


def read_undo(envelope: str, user_key: bytes) -> Undo:
    """Return what an envelope says, when the user's key signed it.

    Raises:
        SignatureError: it was not signed with that key.
        VerificationError: it is no statement about an undo.
    """
    statement = parse_statement(open_envelope(parse_envelope(envelope.encode()), [user_key]))
    if statement.predicate_type != UNDO_PREDICATE:
        raise VerificationError(f"a statement of type {statement.predicate_type} is no undo")
    named = {one.name: one.digest for one in statement.subject}
    try:
        return Undo(
            **statement.predicate,
            commit=named["undone"]["gitCommit"],
            parent=named["parent"]["gitCommit"],
            tree=named["result"]["gitTree"],
        )
    except (KeyError, TypeError, ValidationError) as error:
        raise VerificationError(f"the statement about an undo is incomplete: {error}") from error


def why_no_undo(envelope: str, user_key: bytes, *, night: str, undone: str, parent: str, tree: str) -> str:
    """Return why a commit that says it takes back another is not believed; empty when it is.

    Args:
        envelope: what its message carries; empty where it carries none.
        user_key: raw public key of the user.
        night: whose branch it is on.
        undone: the commit that it names.
        parent: its parent.
        tree: its tree.
    """
    if not envelope:
        return "nobody has signed that it takes back a change"
    try:
        said = read_undo(envelope, user_key)
    except (SignatureError, VerificationError) as error:
        return f"its word that it takes back a change does not count: {error.message}"
    wanted = {"night": night, "commit": undone, "parent": parent, "tree": tree}
    other = [name for name, value in wanted.items() if getattr(said, name) != value]
    return f"what was signed is about another {other[0]}" if other else ""
