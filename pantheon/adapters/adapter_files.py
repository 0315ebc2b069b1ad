"""Reads what a LoRA adapter's folder says of it, as PEFT writes it."""

import json
from pathlib import Path

from pantheon.adapters.own_files import read_small
from pantheon.core.errors import ConfigError

FILE = "adapter_config.json"
MAX_BYTES = 1_000_000


def read_rank(folder: Path) -> int:
    """Return the highest rank that an adapter has in any layer. Blocks.

    Raises:
        ConfigError: its folder does not tell.
    """
    path = folder / FILE
    try:
        said = json.loads(read_small(path, MAX_BYTES))
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror}",
            hint="An adapter is a folder as PEFT writes it; mend adapters in pantheon.toml.",
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: is no JSON", hint="Write the adapter anew with PEFT.") from error
    told = said if isinstance(said, dict) else {}
    layers = told.get("rank_pattern")
    found = [told.get("r"), *(layers.values() if isinstance(layers, dict) else ())]
    ranks = [rank for rank in found if type(rank) is int and rank > 0]
    if len(ranks) < len(found):
        raise ConfigError(f"{path}: r: says no rank of a LoRA adapter", hint="vLLM loads LoRA adapters only.")
    return max(ranks)
