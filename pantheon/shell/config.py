"""The configuration: ``pantheon.toml``, the environment and flags, merged once into one frozen value.

Invariants:
- every field has a default, and its unit in its name or its sentence;
- precedence is flags, then ``PANTHEON_SECTION_FIELD``, then the file, then defaults;
- an error names where the wrong value came from (file, variable or flag) and its key;
- folders lie inside the project, also after symbolic links are followed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from pantheon.core.errors import ConfigError
from pantheon.core.model import Frozen
from pantheon.core.task import RelativePath
from pantheon.shell.environment import PREFIX, base_folder, environment
from pantheon.shell.pool_config import OWN_ENDPOINT, PoolConfig, Slots, check_socket
from pantheon.shell.settings import merge_settings

FILE = "pantheon.toml"


class Folders(Frozen):
    """Folders, relative to the project's root."""

    agents: RelativePath = "agents"
    flows: RelativePath = "flows"
    policies: RelativePath = "policies"
    queue: RelativePath = "queue"
    artifacts: RelativePath = "artifacts"
    state: RelativePath = ".pantheon"
    """Database, work trees and locks; never committed."""


class EndpointConfig(Frozen):
    """The model server that the night talks to."""

    kind: Literal["embedded", "openai"] = "embedded"
    """``embedded`` starts llama.cpp in a child process; ``openai`` uses a server that runs already."""
    url: str = "http://127.0.0.1:8000"
    """For ``openai``: the address before ``/v1``; must be local."""
    uds: str = ""
    """For ``openai``: absolute path of the server's Unix socket; wins over ``url``."""
    model: str = ""
    """For ``openai``: the name the server knows the model by; empty asks the server."""
    context_tokens: int = Field(default=8_192, ge=512, le=1_048_576)
    """For ``openai``: context of one request, in tokens."""
    slots: Slots = 16
    """For ``openai``: requests that are in flight at once, at most."""

    @model_validator(mode="after")
    def _absolute_socket(self) -> "EndpointConfig":
        check_socket(self.uds)
        return self


class ServerConfig(Frozen):
    """The embedded server."""

    threads: int = Field(default=0, ge=0, le=1024)
    """Threads; 0 takes one per physical core."""
    slots: Slots = 1
    """Requests that are decoded at once; each slot computes a shared prefix anew (docs/models.md)."""
    context_tokens: int = Field(default=8_192, ge=512, le=1_048_576)
    """Context that the slots share, in tokens."""
    cache_ram_mib: int = Field(default=512, ge=0, le=1_048_576)
    """Memory for prompt prefixes that left their slot, in MiB; 0 keeps none."""


class VllmConfig(Frozen):
    """The vLLM that ``pantheon server`` starts, at the address of ``[endpoint]``."""

    python: str = "python3"
    """The interpreter that vLLM is installed for."""
    model: str = ""
    """Folder of the model, absolute or relative to the project; empty: no vLLM is started here."""
    dtype: Literal["auto", "float16", "bfloat16", "float32"] = "auto"
    """Type of the weights while they are computed with."""
    max_num_seqs: Slots = 16
    """Requests that are decoded at once."""
    gpu_memory_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the GPU's memory that is taken; 0 leaves it to vLLM."""
    cpu_cache_gib: int = Field(default=0, ge=0, le=4_096)
    """Where there is no GPU: memory for the cache, in GiB."""
    cpu_threads: int = Field(default=0, ge=0, le=1_024)
    """Where there is no GPU: cores that compute; 0 leaves it to vLLM, which keeps one of them free."""
    eager: bool = False
    """Compile nothing: slower, but up sooner."""
    adapters: dict[str, str] = Field(default_factory=dict)
    """LoRA adapters: name -> folder."""
    ready_timeout_s: int = Field(default=900, ge=1, le=7_200)
    """Seconds that loading may take."""
    log: str = ""
    """What a server says that is started elsewhere, for nights to keep; empty: that of ``pantheon-llm.service``."""

    @field_validator("adapters", mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return _pairs(value)


class ReviewConfig(Frozen):
    """Who reviews."""

    models: dict[str, str] = Field(default_factory=dict)
    """For ``embedded``: reviewer -> the model of the catalogue that answers it, where it is not the night's own."""


class NightConfig(Frozen):
    """How a night is run."""

    slots: dict[str, Slots] = Field(default_factory=lambda: {"cpu": 2, "git": 1})
    """Resource -> how many nodes may hold it at once. Without ``model`` its slots follow the server."""
    lease_s: int = Field(default=120, ge=10, le=3_600)
    """Seconds a running node stays claimed without a sign of life."""
    dispatch: Literal["readiness", "levels"] = "readiness"
    """``readiness`` starts a node the moment its needs are done; ``levels`` waits for each level, to compare."""
    branch_prefix: str = Field(default="pantheon/night-", pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,80}$")
    """The night's branch is this plus the night's id."""
    signer: str = Field(default="", max_length=100)
    """Unix socket of a signer that runs as a service; empty starts one for the night."""
    signer_user: str = Field(default="pantheon-signer", pattern=r"^[a-z_][a-z0-9_-]{0,31}$")
    """The user that such a service runs as; root and the night's own user may run it as well."""

    @field_validator("slots", mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return _pairs(value)


def _pairs(value: Any) -> Any:
    """Return a table that was given as text, ``a=1,b=2``, and everything else as it is."""
    if not isinstance(value, str):
        return value
    pairs = (pair.partition("=") for pair in value.split(","))
    return {name.strip(): text for name, _, text in pairs}


class Config(Frozen):
    """All of ``pantheon.toml``."""

    model: str = Field(default="qwen2.5-coder-1.5b", pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    """For ``embedded``: the model's name in the catalogue (``pantheon models``)."""
    folders: Folders = Field(default_factory=Folders)
    endpoint: EndpointConfig = Field(default_factory=EndpointConfig)
    server: ServerConfig = Field(default_factory=ServerConfig)
    vllm: VllmConfig = Field(default_factory=VllmConfig)
    review: ReviewConfig = Field(default_factory=ReviewConfig)
    night: NightConfig = Field(default_factory=NightConfig)
    pool: list[PoolConfig] = Field(default_factory=list)
    """For ``openai``: further endpoints; calls go to all of them."""

    @model_validator(mode="after")
    def _pool_fits(self) -> "Config":
        names = [one.name for one in self.pool]
        if len(set(names)) < len(names):
            raise ValueError("pool: two endpoints have one name")
        if self.pool and self.endpoint.kind == "embedded":
            raise ValueError('pool: only with endpoint.kind = "openai"')
        return self

    @property
    def slots(self) -> dict[str, int]:
        """Resource -> slots of a night; those of the model, where ``night.slots`` has none, are the server's."""
        further = sum(one.slots for one in self.pool if one.name != OWN_ENDPOINT)
        served = self.server.slots if self.endpoint.kind == "embedded" else self.endpoint.slots + further
        return {"model": served, **self.night.slots}

    @property
    def paced(self) -> bool:
        """Whether the model's slots follow what the server can take, up to what it has."""
        return "model" not in self.night.slots and self.slots["model"] > 1


@dataclass(frozen=True)
class Project:
    """A configured repository: the resolved configuration and absolute paths."""

    root: Path
    config: Config
    agents: Path
    flows: Path
    policies: Path
    queue: Path
    artifacts: Path
    state: Path
    written: Config
    """What the file alone says, without variables and flags."""

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.state / "pantheon.db"


@dataclass(frozen=True)
class UserPaths:
    """What belongs to the user and not to a project."""

    keys: Path
    """Folder of the signing key; outside every repository."""
    models: Path
    """Folder of the verified model files."""
    witness: Path
    """Folder of the files that remember the checkpoints of nights; outside every repository."""
    machine_key: Path = Path("/etc/pantheon/night.ed25519.pub.pem")
    """Public key that the machine's administrator trusts, for nights whose user has no key of its own."""

    @property
    def signing_key(self) -> Path:
        """The private key that signs batches and attempts."""
        return self.keys / "night.ed25519"


def find_user_paths(env: Mapping[str, str] | None = None) -> UserPaths:
    """Return the user's folders by the XDG rules; ``PANTHEON_MODELS_DIR`` overrides the models' folder."""
    variables = environment() if env is None else env
    models = variables.get("PANTHEON_MODELS_DIR", "")
    return UserPaths(
        keys=base_folder("XDG_CONFIG_HOME", ".config") / "pantheon" / "keys",
        witness=base_folder("XDG_STATE_HOME", ".local/state") / "pantheon" / "witness",
        models=Path(models).absolute()
        if models
        else base_folder("XDG_CACHE_HOME", ".cache") / "pantheon" / "models",
    )


MAX_FILE_BYTES = 1_048_576
"""Most bytes that ``pantheon.toml`` may have."""


def find_root(start: Path) -> Path:
    """Return the nearest folder, from ``start`` upwards, that holds ``pantheon.toml``.

    Raises:
        ConfigError: there is none.
    """
    here = start.resolve()
    for folder in (here, *here.parents):
        if (folder / FILE).is_file():
            return folder
    raise ConfigError(f"no {FILE} in {here} or above it", hint="Make one with: pantheon init")


def load_project(
    start: Path, overrides: Mapping[str, str] | None = None, env: Mapping[str, str] | None = None
) -> Project:
    """Read the configuration that holds for a folder.

    Args:
        start: where to begin to look for ``pantheon.toml``.
        overrides: dotted key -> text, from flags.
        env: the environment; None reads the process's own.

    Raises:
        ConfigError: no project, or a wrong value; the message names its source and key.
    """
    root = find_root(start)
    try:
        with (root / FILE).open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{root / FILE}: cannot be read: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{root / FILE}: larger than {MAX_FILE_BYTES} bytes")
    variables = environment() if env is None else env
    config = merge_settings(Config, FILE, data, variables, overrides or {}, prefix=PREFIX)
    places = {name: _inside(root, name, path) for name, path in config.folders.model_dump().items()}
    written = merge_settings(Config, FILE, data, {}, {}, prefix=PREFIX)
    return Project(root=root, config=config, written=written, **places)


def _inside(root: Path, name: str, path: str) -> Path:
    place = root / path
    if not place.resolve().is_relative_to(root):
        raise ConfigError(
            f"{FILE}: folders.{name}: {path} leads out of {root}",
            hint="A folder of the project may not be a symbolic link to somewhere else.",
        )
    if name == "state" and place.is_symlink():
        raise ConfigError(
            f"{FILE}: folders.state: {place} is a symbolic link, and what nights keep is opened through none",
            hint="Name the folder that it leads to, as folders.state; or put that folder into the link's place.",
        )
    if place.exists() and not place.is_dir():
        raise ConfigError(
            f"{FILE}: folders.{name}: {place} is not a folder",
            hint="Move it aside: pantheon init makes the folder.",
        )
    return place
