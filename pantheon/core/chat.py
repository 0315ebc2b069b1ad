"""What goes to a model server and what comes back, independent of any driver."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from pantheon.core.model import Frozen


class Message(Frozen):
    """One chat turn."""

    role: Literal["system", "user", "assistant"]
    content: str


class Sampling(Frozen):
    """How tokens are drawn. The defaults make a call reproducible."""

    temperature: float = Field(default=0.0, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    seed: int = Field(default=1, ge=0)
    max_tokens: int = Field(default=512, ge=1)
    """Ceiling on output tokens of this call."""


class ChatRequest(Frozen):
    """One chat completion."""

    messages: tuple[Message, ...] = Field(min_length=1)
    sampling: Sampling = Field(default_factory=Sampling)
    response_schema: Mapping[str, Any] | None = None
    """JSON Schema that the server must constrain the answer to."""
    top_logprobs: int = Field(default=0, ge=0, le=20)
    """Alternatives to report for each output token; 0 asks for none."""
    model: str = ""
    """Name of the model or adapter that must answer; empty leaves it to the night's own."""


class Usage(Frozen):
    """Token counts of one call."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Of the prompt tokens, those the server took from its prefix cache."""
    completion_tokens: int = 0

    @property
    def computed_tokens(self) -> int:
        """Prompt tokens that the server had to compute."""
        return self.prompt_tokens - self.cached_tokens


class Timings(Frozen):
    """Durations of one call, in seconds."""

    queued_s: float = 0.0
    """From the request being wanted to being sent."""
    first_token_s: float | None = None
    """From being sent to the first piece of content."""
    total_s: float = 0.0
    """From being sent to the last byte."""


class TokenAlternatives(Frozen):
    """One output token and the log-probabilities of the likeliest tokens at its place."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()
    """(token, natural log-probability), likeliest first."""


class ChatReply(Frozen):
    """One answer."""

    text: str
    finish_reason: str
    """``stop``, ``length``, or what the server called it."""
    model: str
    """The model's name as the server gave it."""
    usage: Usage = Field(default_factory=Usage)
    timings: Timings = Field(default_factory=Timings)
    tokens: tuple[TokenAlternatives, ...] = ()
    tries: int = Field(default=1, ge=1)
    """HTTP requests it took, transient faults included."""
    endpoint: str = ""
    """Which endpoint of several answered; empty where there is one."""


class CallRecord(Frozen):
    """Everything about one model call, kept with the attempt that made it."""

    call: int = Field(ge=1)
    """Number of the call within its attempt, from 1."""
    purpose: str
    """What the call was for: ``step 2``, ``question title decoy 1 order AB``."""
    endpoint: str
    request: ChatRequest
    reply: ChatReply | None = None
    error: str | None = None
    """Code and message of the error, when there was no reply."""
