"""The specification of an agent: who it is, what it may call, its limits and its contracts.

Invariants:
- ``runtime.origin`` is exactly ``"local"``; anything else is refused by the agent's name;
- contracts are JSON Schemas that are checked when the specification is read;
- a specification has one digest over spec, prompt and examples: the agent's version in evidence.

Source: DESIGN.md, section 5 ("An agent").
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError, model_validator

from pantheon.core.canonical import digest_bytes
from pantheon.core.contract import Contract
from pantheon.core.decoys import Metadata
from pantheon.core.errors import ConfigError, LocalityError
from pantheon.core.model import Frozen
from pantheon.core.strict_json import parse_json
from pantheon.core.toml import parse_text, parse_toml
from pantheon.core.validation import explain

NAME_PATTERN = r"^[a-z][A-Za-z0-9._-]{0,63}$"
SPEC_FILE, PROMPT_FILE = "agent.toml", "prompt.md"
EXAMPLES_FILE, DECOYS_FILE = "examples.jsonl", "decoys.jsonl"

M = TypeVar("M", bound=Frozen)


class Runtime(Frozen):
    """Where the agent's model runs."""

    origin: Literal["local"]
    """The only value there is; the word is a promise that the loader enforces."""
    model: str = Field(default="", max_length=200)
    """Name of the model that must answer the agent, where it is not the night's own; some endpoint must serve it."""
    adapter: str = Field(default="", max_length=200)
    """Name of the LoRA adapter on top of that model; an endpoint serves it as a model of that name."""

    @property
    def asks(self) -> str:
        """The name that the agent's calls ask for; empty for the night's own model."""
        return self.adapter or self.model


class Limits(Frozen):
    """The agent's own ceilings; a task's budget can only lower them."""

    max_steps: int = Field(default=6, ge=1, le=100)
    max_failures: int = Field(default=2, ge=0, le=20)
    timeout_s: int = Field(default=300, ge=1)
    max_tokens: int = Field(default=4_000, ge=16)
    """Output tokens of one attempt."""
    step_tokens: int = Field(default=512, ge=16)
    """Output tokens of one step."""
    keep_results: int = Field(default=3, ge=0, le=50)
    """Tool results that stay in the prompt."""
    call_timeout_s: int = Field(default=180, ge=1)
    """Seconds until one model call is given up."""


class DrawnSampling(Frozen):
    """How the agent's tokens are drawn."""

    temperature: float = Field(default=0.0, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    seed: int = Field(default=1, ge=0)


class DeclaredCall(Frozen):
    """A tool call that the specification makes, not the model.

    Argument values that start with ``$`` are references: ``$target``, ``$goal``, ``$input.NAME`` and, after
    ``finalize``, ``$output.NAME``.
    """

    tool: str
    args: dict[str, Any] = Field(default_factory=dict)


class Question(Frozen):
    """One contrastive question of a reviewer."""

    id: str
    text: str
    """Put to the model with two alternatives; never names which one is proposed."""
    field: Literal["title", "description", "tags"]
    """What is compared."""
    decoys: int = Field(default=2, ge=1, le=8)
    """Known-wrong alternatives to compare with, each in both label orders."""
    floor: float = Field(ge=0)
    """The least mean margin, in nats, that counts as preferring the proposal."""


class Example(Frozen):
    """One worked example: what the user turn holds and the ideal answer."""

    user: str
    """The target as the agent would see it."""
    answer: dict[str, Any]
    """The output that the agent should finalize with."""


class AgentSpec(Frozen):
    """A specialist, as ``agent.toml`` declares it."""

    name: str = Field(pattern=NAME_PATTERN)
    version: str = Field(min_length=1, max_length=32)
    role: Literal["worker", "reviewer"]
    runtime: Runtime
    tools: tuple[str, ...] = ()
    limits: Limits = Field(default_factory=Limits)
    sampling: DrawnSampling = Field(default_factory=DrawnSampling)
    prefetch: tuple[DeclaredCall, ...] = ()
    """Made before the first step; their results open the conversation."""
    apply: tuple[DeclaredCall, ...] = ()
    """Made on ``finalize`` with the output; an error goes back to the model as a failure."""
    question: tuple[Question, ...] = ()
    """For reviewers."""
    shares_prefix_of: str = Field(default="", pattern=r"^([a-z][A-Za-z0-9._-]{0,63})?$")
    """For reviewers: the worker whose system turn and examples open the prompt too, so that the server's prefix
    cache serves both; empty opens with the reviewer's own."""
    label_mass_floor: float = Field(default=0.5, ge=0, le=1)
    """For reviewers: below this probability on both labels together the model did not answer."""
    input: Contract = Field(default_factory=Contract)
    output: Contract = Field(default_factory=Contract)

    @model_validator(mode="after")
    def _role_fits(self) -> "AgentSpec":
        if self.role == "reviewer" and not self.question:
            raise ValueError("question: a reviewer asks at least one question")
        if self.role == "reviewer" and self.tools:
            raise ValueError("tools: a reviewer has no tools")
        return self


class Agent(Frozen):
    """A specification with its prompt template, examples and decoys."""

    spec: AgentSpec
    prompt: str
    examples: tuple[Example, ...] = ()
    decoys: tuple[Metadata, ...] = ()
    """For reviewers: metadata of things that no repository is likely to hold, to contrast with."""
    digest: str
    """SHA-256 over the folder's files."""

    @property
    def label(self) -> str:
        """``name@version``."""
        return f"{self.spec.name}@{self.spec.version}"


def load_agent(folder: str, files: Mapping[str, bytes]) -> Agent:
    """Read one agent folder.

    Args:
        folder: the folder's name, which must be the agent's.
        files: file name -> content.

    Raises:
        LocalityError: ``runtime.origin`` is not exactly ``"local"``.
        ConfigError: a file is missing or wrong; the message names file and key.
    """
    missing = [name for name in (SPEC_FILE, PROMPT_FILE) if name not in files]
    if missing:
        raise ConfigError(f"agents/{folder}: {missing[0]} is missing")
    where = f"agents/{folder}/{SPEC_FILE}"
    raw = parse_toml(where, files[SPEC_FILE])
    runtime = raw.get("runtime")
    origin = runtime.get("origin") if isinstance(runtime, dict) else None
    if origin != "local":
        raise LocalityError(
            f'{where}: runtime.origin: agent {raw.get("name", folder)!r} has {origin!r}, not "local"',
            hint='Only agents whose runtime.origin is exactly "local" may work at night.',
        )
    try:
        spec = AgentSpec.model_validate(raw)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{where}: {line}" for line in explain(error))) from error
    if spec.name != folder:
        raise ConfigError(
            f"{where}: name: {spec.name!r} is not the folder's name", hint=f"Rename it to agents/{spec.name}."
        )
    return Agent(
        spec=spec,
        prompt=parse_text(f"agents/{folder}/{PROMPT_FILE}", files[PROMPT_FILE]),
        examples=_examples(folder, files, spec.output),
        decoys=tuple(item for _, item in _lines(folder, DECOYS_FILE, files, Metadata)),
        digest=digest_bytes(b"".join(f"{n}\0{digest_bytes(b)}\n".encode() for n, b in sorted(files.items()))),
    )


def _examples(folder: str, files: Mapping[str, bytes], contract: Contract) -> tuple[Example, ...]:
    examples = []
    for number, example in _lines(folder, EXAMPLES_FILE, files, Example):
        if wrong := contract.problems(example.answer):
            raise ConfigError(f"agents/{folder}/{EXAMPLES_FILE}:{number}: answer: {wrong[0]}")
        examples.append(example)
    return tuple(examples)


def _lines(folder: str, name: str, files: Mapping[str, bytes], model: type[M]) -> Iterator[tuple[int, M]]:
    where = f"agents/{folder}/{name}"
    for number, line in enumerate(parse_text(where, files.get(name, b"")).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield number, model.model_validate(parse_json(line))
        except ValidationError as error:
            raise ConfigError(f"{where}:{number}: {explain(error)[0]}") from error
        except ValueError as error:
            raise ConfigError(f"{where}:{number}: not JSON: {error}") from error
