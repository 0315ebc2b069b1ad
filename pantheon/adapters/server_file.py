"""Remembers what each endpoint was found to be able to do, in one small JSON file of the project's state."""

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pantheon.adapters.own_files import read_small, replace_small
from pantheon.core.errors import ArtifactError
from pantheon.core.server_capabilities import ServerCapabilities

FILE = "servers.json"
MAX_BYTES = 1_000_000
MAX_ENDPOINTS = 64
_KNOWN: TypeAdapter[dict[str, ServerCapabilities]] = TypeAdapter(dict[str, ServerCapabilities])


def read_servers(state: Path) -> Mapping[str, ServerCapabilities]:
    """Return endpoint -> what was found last; nothing where the file is missing or is not what was written."""
    try:
        return _KNOWN.validate_json(read_small(state / FILE, MAX_BYTES))
    except (OSError, ValidationError):
        return {}


def remember_server(state: Path, found: ServerCapabilities) -> None:
    """Keep what an endpoint can do; the file is replaced whole. Raises ``ArtifactError``."""
    known = {**read_servers(state), found.endpoint: found}
    latest = sorted(known.values(), key=lambda one: one.asked_at)[-MAX_ENDPOINTS:]
    text = json.dumps({one.endpoint: one.model_dump(mode="json") for one in latest}, indent=2)
    try:
        replace_small(state / FILE, text.encode() + b"\n")
    except OSError as error:
        raise ArtifactError(f"{state / FILE}: cannot be written: {error.strerror}") from error
