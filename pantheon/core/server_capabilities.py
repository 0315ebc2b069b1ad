"""What a model server can do, and what becomes of a night on one that cannot: a fallback that is said, or a refusal.

Invariant: nothing that is missing is passed over in silence; each has a sentence in ``describe``.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from pydantic import Field

from pantheon.core.model import Frozen


class Capability(StrEnum):
    """One thing a server may be able to do."""

    JSON_SCHEMA = "json_schema"
    """Constrain an answer to a JSON Schema."""
    LOGPROBS = "logprobs"
    """Report the log-probabilities of the likeliest tokens."""
    TOOLS = "tools"
    """Take and answer native tool calls."""
    STREAM_USAGE = "stream_usage"
    """Count tokens in a streamed answer."""
    CACHED_TOKENS = "cached_tokens"
    """Count the prompt tokens that came from its prefix cache."""


FALLBACKS: Mapping[Capability, str] = MappingProxyType(
    {
        Capability.JSON_SCHEMA: "the schema goes into the prompt, and what does not fit it costs a failure",
        Capability.LOGPROBS: "no reviewer can judge: a night whose flows have reviewers is refused",
        Capability.TOOLS: "nothing is lost: agents call their tools through the schema of the answer",
        Capability.STREAM_USAGE: "output tokens are counted by the pieces of the stream, prompt tokens not at all",
        Capability.CACHED_TOKENS: "the reuse of prompt prefixes cannot be shown",
    }
)
"""What a night does without."""


HARMLESS = frozenset({Capability.TOOLS, Capability.CACHED_TOKENS})
"""Without which a night works as well, and only shows less."""


class ServerCapabilities(Frozen):
    """What one server was found to be able to do."""

    endpoint: str
    model: str
    """Name of the model, as the server gave it."""
    identity: str
    """SHA-256 over what its listings say of that model."""
    found: tuple[Capability, ...] = Field(default=())
    asked_at: datetime

    def has(self, capability: Capability) -> bool:
        """Whether the server can do this."""
        return capability in self.found

    @property
    def missing(self) -> tuple[Capability, ...]:
        """What it cannot do."""
        return tuple(one for one in Capability if one not in self.found)

    @property
    def worse(self) -> bool:
        """Whether something is missing without which a night works less well."""
        return any(one not in HARMLESS for one in self.missing)

    def describe(self) -> tuple[str, ...]:
        """Return one sentence for each thing it cannot do: what a night does without."""
        return tuple(f"no {one.value.replace('_', ' ')}: {FALLBACKS[one]}" for one in self.missing)


def refuse_without(capabilities: ServerCapabilities, reviewers: Sequence[str]) -> str:
    """Return why a night cannot be worked with a server; empty when it can.

    Args:
        capabilities: of the server.
        reviewers: names of the agents in the night's flows that read verdicts from log-probabilities.
    """
    if reviewers and not capabilities.has(Capability.LOGPROBS):
        return (
            f"endpoint {capabilities.endpoint} reports no log-probabilities, from which "
            f"{', '.join(sorted(reviewers))} would read their verdicts"
        )
    return ""
