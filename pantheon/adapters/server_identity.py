"""Asks a model server what it serves, and whether that is here.

Invariants:
- an answer is read up to a ceiling, and a redirect is an error, not an answer;
- what identifies a model leaves out what changes with every answer, such as times.
"""

import json
from typing import Any, NamedTuple

import httpx

from pantheon.core.canonical import digest_value
from pantheon.core.errors import LocalityError, ModelLostError, ModelOutputError, ModelOverloadedError
from pantheon.core.fronting import find_fronts, is_cloud_name
from pantheon.core.model import Frozen

MODELS = "/v1/models"
MAX_LISTING_BYTES = 4_000_000
IDENTIFYING = ("id", "name", "model", "root", "parent", "owned_by", "digest", "sha256", "size")


class ServedModel(Frozen):
    """The model that a server answers with."""

    name: str
    digest: str
    """SHA-256 over what its listings say of it."""


class Listing(NamedTuple):
    """What a server lists."""

    names: list[str]
    """Of its models, at least one."""
    models: Any
    tags: Any


async def ask_identity(http: httpx.AsyncClient, endpoint: str, wanted: str = "") -> ServedModel:
    """Return what a server serves.

    Args:
        http: a client of the server.
        endpoint: its name, for messages.
        wanted: the model to look for; empty takes the first of the list.

    Raises:
        LocalityError: it answers with models of a cloud.
        ModelOutputError: it answers with a redirect, with no list, or without the wanted model.
        ModelOverloadedError, ModelLostError: it is loading or busy, or failed.
        httpx.HTTPError: it cannot be reached.
    """
    listed = await ask_listing(http, endpoint, wanted)
    names, name = listed.names, wanted or listed.names[0]
    if is_cloud_name(name):
        raise _cloud(endpoint, name)
    if name not in names:
        raise ModelOutputError(
            f"endpoint {endpoint} does not list {name!r}, but {', '.join(map(repr, names[:5]))}",
            hint="Mend endpoint.model, or serve that model.",
        )
    entries = [*_entries(listed.models, "data", name), *_entries(listed.tags, "models", name)]
    return ServedModel(name=name, digest=digest_value(entries))


async def ask_listing(http: httpx.AsyncClient, endpoint: str, wanted: str = "") -> Listing:
    """Return what a server lists, of which none is a cloud's. Raises as ``ask_identity``, but for a missing model."""
    models = await _listing(http, endpoint, MODELS)
    names = _names(models)
    if not names:
        raise ModelOutputError(f"endpoint {endpoint}: {MODELS} is not a list of models")
    tags = await _listing(http, endpoint, "/api/tags")
    status = await _listing(http, endpoint, "/api/status")
    fronts = find_fronts(models, tags, status)
    if fronts or is_cloud_name(wanted):
        raise _cloud(endpoint, "; ".join(fronts) or wanted)
    return Listing(names, models, tags)


def is_vllm(listing: Listing) -> bool:
    """Tell whether a listing is one of vLLM, which calls itself the owner of what it serves."""
    entries = listing.models.get("data") if isinstance(listing.models, dict) else None
    return any(
        isinstance(one, dict) and one.get("owned_by") == "vllm"
        for one in (entries if isinstance(entries, list) else ())
    )


def _cloud(endpoint: str, what: str) -> LocalityError:
    return LocalityError(
        f"endpoint {endpoint} passes questions on to a cloud: {what}",
        hint="Nothing was asked of it. Take its remote models away, or let an engine serve that runs the model.",
    )


async def read_bounded(response: httpx.Response, ceiling: int) -> bytes | None:
    """Return the body of a streamed response; None when it is longer than the ceiling, in bytes."""
    found = bytearray()
    async for chunk in response.aiter_bytes():
        found += chunk
        if len(found) > ceiling:
            return None
    return bytes(found)


async def _listing(http: httpx.AsyncClient, endpoint: str, path: str) -> Any:
    """Return the JSON behind a path; None where the server has no such path."""
    async with http.stream("GET", path) as response:
        if 300 <= response.status_code < 400:
            raise ModelOutputError(
                f"endpoint {endpoint} answered with a redirect ({response.status_code})",
                hint="A local server has no reason to send requests elsewhere; nothing was sent there.",
            )
        if path == MODELS and response.status_code in (429, 503):
            raise ModelOverloadedError(
                f"endpoint {endpoint} is loading or overloaded ({response.status_code})"
            )
        if path == MODELS and response.status_code >= 500:
            raise ModelLostError(f"endpoint {endpoint} failed ({response.status_code}) to list its models")
        if response.status_code != 200:
            return None
        data = await read_bounded(response, MAX_LISTING_BYTES)
    if data is None:
        raise ModelOutputError(f"endpoint {endpoint}: {path} is longer than any list of models")
    try:
        listing = json.loads(data)
        # A name that cannot be written is shown and signed nowhere: half of a surrogate pair, for one.
        json.dumps(listing, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return listing


def _names(models: Any) -> list[str]:
    entries = models.get("data") if isinstance(models, dict) else None
    found = [one.get("id") for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
    return [one for one in found if isinstance(one, str) and one]


def _entries(listing: Any, key: str, name: str) -> list[dict[str, str]]:
    entries = listing.get(key) if isinstance(listing, dict) else None
    return [
        {field: str(one[field]) for field in IDENTIFYING if field in one}
        for one in (entries if isinstance(entries, list) else ())
        if isinstance(one, dict) and name in (one.get("id"), one.get("name"), one.get("model"))
    ]
