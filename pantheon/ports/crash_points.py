"""The seam at which a test may end the process: one name for every commit and every external effect.

Production code says where it is with ``reach`` and never hears of anything; without a hook that is one comparison.
Only ``pantheon.testing`` installs a hook. Points are reached from any thread.
"""

from collections.abc import Callable
from enum import StrEnum

from pantheon.core.errors import TransitionError


class CrashPoint(StrEnum):
    """A moment between two states that must both be recoverable."""

    STORE_COMMIT_BEFORE = "store-commit-before"
    """A group of writes is applied, nothing of it durable."""
    STORE_COMMIT_AFTER = "store-commit-after"
    """The group is durable; nobody has heard of it."""
    MODEL_CALL_BEFORE = "model-call-before"
    MODEL_CALL_AFTER = "model-call-after"
    CHECKOUT_BEFORE = "checkout-before"
    CHECKOUT_MIDWAY = "checkout-midway"
    """The commit's files are there, and so is what the last user of the work tree left."""
    CHECKOUT_AFTER = "checkout-after"
    TREE_WRITE_BEFORE = "tree-write-before"
    """A file of the work tree is about to take its new content."""
    TREE_WRITE_AFTER = "tree-write-after"
    TREE_COMMIT_BEFORE = "tree-commit-before"
    TREE_COMMIT_MIDWAY = "tree-commit-midway"
    """The tree is written, its commit is not."""
    TREE_COMMIT_AFTER = "tree-commit-after"
    PUBLISH_BEFORE = "publish-before"
    PUBLISH_MIDWAY = "publish-midway"
    """The user's repository has the objects, its branch is where it was."""
    PUBLISH_AFTER = "publish-after"
    """The branch has moved; the store does not know."""
    ARTIFACT_WRITE_BEFORE = "artifact-write-before"
    ARTIFACT_WRITE_MIDWAY = "artifact-write-midway"
    """The file is open and its bytes are not in it."""
    ARTIFACT_WRITE_AFTER = "artifact-write-after"
    SEAL_BEFORE = "seal-before"
    SEAL_AFTER = "seal-after"
    SIGN_BEFORE = "sign-before"
    SIGN_AFTER = "sign-after"
    ATTEST_BEFORE = "attest-before"
    ATTEST_AFTER = "attest-after"
    """The attestation is durable; the store has not heard how the attempt ended."""
    DELEGATE_BEFORE = "delegate-before"
    DELEGATE_AFTER = "delegate-after"
    """The night has keys; nothing is signed with them."""
    LEDGER_APPEND_BEFORE = "ledger-append-before"
    """Statements are signed, and in no ledger."""
    LEDGER_APPEND_MIDWAY = "ledger-append-midway"
    """A part of a line is in the file."""
    LEDGER_APPEND_AFTER = "ledger-append-after"
    """The lines are durable; no attempt has heard of it."""
    CHECKPOINT_BEFORE = "checkpoint-before"
    CHECKPOINT_AFTER = "checkpoint-after"
    """The checkpoint stands beside the ledger; the witness has not heard of it."""
    NIGHT_FILE_BEFORE = "night-file-before"
    """A file of the whole night is written beside the one that it will replace."""
    NIGHT_FILE_AFTER = "night-file-after"


Hook = Callable[[CrashPoint], None]
_hook: Hook | None = None


def reach(point: CrashPoint) -> None:
    """Tell the hook, if there is one, that a point was reached."""
    if _hook is not None:
        _hook(point)


def install_hook(hook: Hook) -> None:
    """Install the process's one hook, for tests.

    Raises:
        TransitionError: there is one already.
    """
    global _hook
    if _hook is not None:
        raise TransitionError("a hook for crash points is installed already")
    _hook = hook


def remove_hook() -> None:
    """Take the hook out; nothing happens when there is none."""
    global _hook
    _hook = None
