"""The exact command that serves a model with vLLM for a night, as a value.

Invariants:
- it serves on a Unix socket or on loopback, never elsewhere, and its own processes meet on loopback;
- it fetches nothing and counts nobody: the environment says so;
- what the night counts on is said, not left to defaults: prefix caching, counts of cached tokens. Metrics are on unless
  they are switched off, and no version's word for that is another's: whoever asks the server looks whether they are;
- adapters are loaded while it serves only where some are to be: whoever reaches the server could load one.

Source: the options of ``vllm.entrypoints.openai.api_server``.
"""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

from pydantic import Field, field_validator

from pantheon.core.errors import ConfigError
from pantheon.core.model import Frozen

MODULE = "vllm.entrypoints.openai.api_server"
ENVIRONMENT: Mapping[str, str] = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    # Whoever starts the rendered line stands in a repository: no package of that counts (Python 3.11 and newer).
    "PYTHONSAFEPATH": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_HOST_IP": "127.0.0.1",
    "VLLM_NO_USAGE_STATS": "1",
}
CPU_BLOCK_TOKENS = 32
"""A prefix is reused in whole blocks. vLLM's own 128 on a CPU is longer than the opening of many an agent; it computes
blocks of multiples of 32 best."""
STREAM_INTERVAL = 8
"""Tokens in a piece of a streamed answer, but for the first. vLLM's own 1 costs the server and the night a message for
every token, and nobody reads along; an answer's end is sent at once whatever its length."""
LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks of adapters that vLLM makes room for."""
RUNTIME_ADAPTERS = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"}
"""What has a server load and unload adapters for whoever reaches it."""
DROP_IN = "pantheon-llm.service.d/command.conf"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class VllmServer(Frozen):
    """A vLLM server for one model."""

    python: str
    """The interpreter that vLLM is installed for."""
    model: str
    """Absolute path of the model's folder."""
    name: str
    """What the server calls the model."""
    uds: str = ""
    """Unix socket to serve on; empty serves on ``host`` and ``port``."""
    host: str = "127.0.0.1"
    port: int = 8_000
    dtype: str = "auto"
    context_tokens: int = Field(ge=512)
    max_num_seqs: int = Field(ge=1)
    gpu_memory_share: float | None = None
    """Share of the GPU's memory; None leaves it to vLLM."""
    cpu_cache_gib: int = 0
    """Memory for the cache where there is no GPU, in GiB; 0 has a GPU."""
    cpu_threads: int = 0
    """Cores that compute where there is no GPU; 0 leaves it to vLLM, which keeps one of them free."""
    eager: bool = False
    """Compile nothing: slower, but up sooner."""
    adapters: Mapping[str, str] = Field(default_factory=dict)
    """LoRA adapters that it begins with: name -> absolute path of the folder."""
    runtime_adapters: Mapping[str, str] = Field(default_factory=dict)
    """LoRA adapters that nights have it load while it serves, in the same form."""
    max_lora_rank: int = 0
    """Highest rank of them all, as vLLM has it; 0 leaves it to vLLM."""

    @field_validator("adapters", "runtime_adapters")
    @classmethod
    def _named(cls, adapters: Mapping[str, str]) -> Mapping[str, str]:
        for name in adapters:
            if _NAME.fullmatch(name) is None:
                raise ValueError(f"{name!r}: letters, digits, dots, dashes and underscores")
        return adapters


def vllm_command(server: VllmServer) -> tuple[str, ...]:
    """Return the words that start the server."""
    where = ("--uds", server.uds) if server.uds else ("--host", server.host, "--port", str(server.port))
    words = [
        server.python, "-m", MODULE,
        "--model", server.model,
        "--served-model-name", server.name,
        *where,
        "--dtype", server.dtype,
        "--max-model-len", str(server.context_tokens),
        "--max-num-seqs", str(server.max_num_seqs),
        "--enable-prefix-caching",
        "--enable-prompt-tokens-details",
        "--stream-interval", str(STREAM_INTERVAL),
        # Who looks after it asks two pages every few seconds, and what a night keeps of its log is bounded.
        "--disable-uvicorn-access-log",
    ]  # fmt: skip
    if server.gpu_memory_share is not None:
        words += ["--gpu-memory-utilization", f"{server.gpu_memory_share:g}"]
    if server.cpu_cache_gib or server.cpu_threads:
        words += ["--block-size", str(CPU_BLOCK_TOKENS)]
    if server.cpu_threads:
        words += ["--distributed-executor-backend", "uni"]
    if server.eager:
        words.append("--enforce-eager")
    # Not without need: adapters that could come cost those agents that have none up to a fifth.
    if both := {**server.runtime_adapters, **server.adapters}:
        if server.max_lora_rank:
            words += ["--max-lora-rank", str(server.max_lora_rank)]
        words += ["--enable-lora", "--max-loras", str(len(both))]
    if server.adapters:
        words += ["--lora-modules", *(f"{name}={path}" for name, path in sorted(server.adapters.items()))]
    return tuple(words)


def fitting_rank(ranks: Iterable[int]) -> int:
    """Return the smallest rank that vLLM makes room for and all adapters fit into; 0 where there are none.

    Raises:
        ConfigError: one fits into none.
    """
    highest = max(ranks, default=0)
    if not highest:
        return 0
    found = next((one for one in LORA_RANKS if one >= highest), None)
    if found is None:
        raise ConfigError(
            f"an adapter has rank {highest}, and vLLM has room for {LORA_RANKS[-1]} at most",
            hint="Serve the model with the adapter merged into it.",
        )
    return found


def vllm_environment(server: VllmServer) -> Mapping[str, str]:
    """Return the variables that the server is started with, beside what the machine needs."""
    variables = dict(ENVIRONMENT)
    if server.cpu_cache_gib:
        variables["VLLM_CPU_KVCACHE_SPACE"] = str(server.cpu_cache_gib)
    if server.cpu_threads:
        # A worker in a process of its own is waited for by turning, which takes a core from those that compute. On a
        # CPU it is admitted to the scheduler's process only with the first of these; nothing binds its threads there.
        variables["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        variables["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
        variables["OMP_NUM_THREADS"] = str(server.cpu_threads)
    if server.runtime_adapters:
        variables |= RUNTIME_ADAPTERS
    return variables


def shell_line(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return the command as a line for a shell."""
    pairs = [f"{name}={shlex.quote(value)}" for name, value in sorted(environment.items())]
    return " ".join(["env", *pairs, shlex.join(command)])


def unit_drop_in(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return what makes the shipped ``pantheon-llm.service`` start this command.

    Raises:
        ConfigError: a word holds what systemd would read differently.
    """
    for word in (*command, *environment.values()):
        if any(mark in word for mark in '"\\\n') or not word.isprintable():
            raise ConfigError(
                f"{word!r} cannot stand in a unit of systemd", hint="Move the model to a plainer path."
            )
    quoted = " ".join('"' + word.replace("%", "%%").replace("$", "$$") + '"' for word in command)
    lines = [
        "# Made by: pantheon server render --unit",
        "[Unit]",
        "ConditionPathExists=",
        "[Service]",
        "EnvironmentFile=",
        *(f'Environment="{name}={value.replace("%", "%%")}"' for name, value in sorted(environment.items())),
        "ExecStart=",
        f"ExecStart={quoted}",
    ]
    return "\n".join(lines) + "\n"
