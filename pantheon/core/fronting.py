"""Tells a server that answers from this machine from one that only passes questions on to a cloud.

A loopback address says where the bytes go first, not where the model is. Servers tell in their own listings.

Invariants:
- one remote model is enough: a server that can reach a cloud is refused, whichever model is asked for;
- a listing that is not of the shape it should be is no proof of anything and is left to who reads it for its content.
"""

from collections.abc import Iterator, Mapping
from typing import Any

CLOUD_OWNERS = frozenset({
    "amazon", "anthropic", "azure", "azure-openai", "bedrock", "cohere", "deepseek", "fireworks", "gemini", "google",
    "groq", "mistralai", "openai", "openai-internal", "openrouter", "perplexity", "together", "vertex_ai",
    "xai",
})  # fmt: skip
"""What clouds, and proxies to them, put into ``owned_by``; engines that run a model put their own name there."""
REMOTE_FIELDS = ("remote_host", "remote_model", "remote_url")
MAX_NAMED = 5


def find_fronts(models: Any, tags: Any = None, status: Any = None) -> tuple[str, ...]:
    """Return what says that a server passes questions on; empty when nothing does.

    Args:
        models: the value of ``/v1/models``.
        tags: the value of ``/api/tags``, which Ollama has; None where there is none.
        status: the value of ``/api/status``, as above.
    """
    found = [*_entries(models, "data", "id"), *_entries(tags, "models", "name"), *_status(status)]
    return tuple(dict.fromkeys(found))[:MAX_NAMED]


def is_cloud_name(name: str) -> bool:
    """Tell whether a model's name says that it runs in a cloud (``gpt-oss:120b-cloud``, ``x:cloud``)."""
    return name.strip().lower().endswith((":cloud", "-cloud"))


def _entries(listing: Any, key: str, name_key: str) -> Iterator[str]:
    entries = listing.get(key) if isinstance(listing, Mapping) else None
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, Mapping):
            continue
        names = [str(entry[one]) for one in (name_key, "model", "root") if isinstance(entry.get(one), str)]
        name = names[0] if names else "a model without a name"
        if any(map(is_cloud_name, names)):
            yield f"{name} runs in a cloud by its name"
        for field in REMOTE_FIELDS:
            if entry.get(field):
                yield f"{name} has {field} {str(entry[field])[:100]!r}"
        owner = entry.get("owned_by")
        if isinstance(owner, str) and owner.strip().lower() in CLOUD_OWNERS:
            yield f"{name} is owned by {owner!r}"


def _status(status: Any) -> Iterator[str]:
    cloud = status.get("cloud") if isinstance(status, Mapping) else None
    if cloud is None:
        return
    if not isinstance(cloud, Mapping) or cloud.get("disabled") is not True:
        yield "its cloud is not switched off (for Ollama: OLLAMA_NO_CLOUD=1)"
