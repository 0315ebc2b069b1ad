"""Every error that Pantheon raises on purpose, in one tree ordered by who must act.

Invariants:
- each class has a stable ``code`` and an ``exit_code`` (README, "Exit codes");
- a message says what was wrong, where, and what to do next;
- an error round-trips as data through ``as_dict``.

An expected "no" is a value (a verdict, a decision), never an exception.
"""

from typing import Any, ClassVar

INTERRUPTED = 130
"""Exit code of a command that somebody stopped: no error, and what shells make of an interrupt."""


class PantheonError(Exception):
    """Base of every deliberate error.

    Args:
        message: one sentence: what was wrong and where.
        hint: what the reader can do about it; empty when the message already says it.
        details: typed fields for ``--json`` and the event log; JSON values only.
    """

    code: ClassVar[str] = "pantheon"
    exit_code: ClassVar[int] = 4

    def __init__(self, message: str, *, hint: str = "", **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message

    def as_dict(self) -> dict[str, Any]:
        """Return the error as JSON-ready data: ``code``, ``message``, ``hint``, ``details``."""
        return {"code": self.code, "message": self.message, "hint": self.hint, "details": self.details}


class ConfigError(PantheonError):
    """A file the user wrote (configuration, policy, agent, command line) is wrong."""

    code = "config"
    exit_code = 2


class QueueError(ConfigError):
    """A task file has errors; ``problems`` lists all of them as ``file:line: field: why``."""

    code = "queue"

    def __init__(self, message: str, problems: tuple[str, ...] = (), *, hint: str = "") -> None:
        super().__init__(message, hint=hint, problems=list(problems))
        self.problems = problems


class FlowError(ConfigError):
    """A flow or the graph over the tasks is wrong: a cycle, an unknown node, no flow for a kind."""

    code = "flow"


class LocalityError(ConfigError):
    """Something would leave this machine: an agent that is not local, an endpoint off the machine."""

    code = "locality"
    exit_code = 3


class PreflightError(PantheonError):
    """The night cannot start: no model, an altered queue, drift, a missing primitive."""

    code = "preflight"
    exit_code = 3


class ServerAwayError(PreflightError):
    """The night cannot start because its model server does not answer, or not yet: nothing is wrong with the night."""

    code = "server_away"


class TransitionError(PantheonError):
    """A lifecycle was asked for a step that its table does not have. Always our own bug."""

    code = "transition"


class StoreError(PantheonError):
    """The database cannot be read or written."""

    code = "store"


class LeaseLostError(StoreError):
    """The attempt's lease was taken over; its result must be dropped."""

    code = "lease_lost"


class ModelError(PantheonError):
    """A model server did not give a usable answer."""

    code = "model"
    by_server: ClassVar[bool] = True
    """Whether it is the server's fault, so that whoever asked may ask again once the server is well."""


class ModelTimeoutError(ModelError):
    """The deadline of a model call passed."""

    code = "model_timeout"
    by_server = False


class ModelOverloadedError(ModelError):
    """The server said that it has too much to do (429, 503)."""

    code = "model_overloaded"


class ModelLostError(ModelError):
    """The server cannot be reached or broke off in mid-answer."""

    code = "model_lost"


class ModelGoneError(ModelLostError):
    """A server that Pantheon runs itself has ended and was started again as often as it may be."""

    code = "model_gone"


class ModelOutputError(ModelError):
    """The server answered something that is no answer, such as what is not its protocol."""

    code = "model_output"


class ModelRefusedError(ModelOutputError):
    """The server is well and refused this one request; sent again, it would be refused again."""

    code = "model_refused"
    by_server = False


class ModelChangedError(ModelOutputError):
    """What answers is not the model, or not the server, that the night began with."""

    code = "model_changed"


class SandboxError(PantheonError):
    """A tool could not be run in the way the policy demands."""

    code = "sandbox"


class ToolError(PantheonError):
    """A tool refused its arguments or could not do its work; the message goes back to the model."""

    code = "tool"


class GitError(PantheonError):
    """git refused an operation."""

    code = "git"


class MergeConflictError(GitError):
    """Two changes cannot both be applied; the conflict is evidence, the node fails."""

    code = "merge_conflict"


class CommitLostError(GitError):
    """A commit of the night is gone: its git directory was deleted or damaged. No fault of the work."""

    code = "commit_lost"


class ArtifactError(PantheonError):
    """An artifact cannot be written or read."""

    code = "artifact"


class DigestMismatchError(ArtifactError):
    """Bytes do not have the digest they were announced with."""

    code = "digest_mismatch"


class SignatureError(PantheonError):
    """A signature is wrong."""

    code = "signature"
    exit_code = 3


class VerificationError(SignatureError):
    """Whether a signature is right could not be told (no key, unreadable envelope)."""

    code = "verification"


class LimitExceededError(PantheonError):
    """A ceiling on time, tokens, steps or bytes was reached where reaching it is an error."""

    code = "limit"
