"""Remembers what each endpoint was found to be able to do, in one small JSON file of the project's state."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pantheon.core.errors import ArtifactError
from pantheon.core.server_capabilities import ServerCapabilities

FILE = "servers.json"
MAX_BYTES = 1_000_000
MAX_ENDPOINTS = 64
_KNOWN: TypeAdapter[dict[str, ServerCapabilities]] = TypeAdapter(dict[str, ServerCapabilities])


def read_servers(state: Path) -> Mapping[str, ServerCapabilities]:
    """Return endpoint -> what was found last; nothing where the file is missing or is not what was written."""
    try:
        data = (state / FILE).read_bytes()
        return _KNOWN.validate_json(data) if len(data) <= MAX_BYTES else {}
    except (OSError, ValidationError):
        return {}


def remember_server(state: Path, found: ServerCapabilities) -> None:
    """Keep what an endpoint can do; the file is replaced whole. Raises ``ArtifactError``."""
    known = {**read_servers(state), found.endpoint: found}
    latest = sorted(known.values(), key=lambda one: one.asked_at)[-MAX_ENDPOINTS:]
    text = json.dumps({one.endpoint: one.model_dump(mode="json") for one in latest}, indent=2)
    try:
        descriptor, name = tempfile.mkstemp(prefix=".servers-", dir=state)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
        Path(name).replace(state / FILE)
    except OSError as error:
        raise ArtifactError(f"{state / FILE}: cannot be written: {error.strerror}") from error
