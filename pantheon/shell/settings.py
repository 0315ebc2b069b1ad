"""Merge a TOML file, environment variables and flags into one frozen model, and remember each source."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pantheon.core.errors import ConfigError
from pantheon.core.toml import parse_toml
from pantheon.core.validation import explain

M = TypeVar("M", bound=BaseModel)


def merge_settings(
    model: type[M], where: str, data: bytes, env: Mapping[str, str], flags: Mapping[str, str], *, prefix: str
) -> M:
    """Return the model that the three layers describe, flags winning over environment over file.

    Args:
        model: a model whose fields are values or models of one further level.
        where: the file's name, for messages.
        data: the file's bytes.
        env: variables; ``PREFIX_SECTION_FIELD`` sets ``section.field``, others are ignored.
        flags: dotted key -> text.
        prefix: what the variables start with.

    Raises:
        ConfigError: every problem at once, each with its source and key.
    """
    raw = parse_toml(where, data)
    try:
        model.model_validate(raw, strict=True)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{where}: {line}" for line in explain(error))) from error
    known = tuple(dotted_keys(model))
    sources = dict.fromkeys(known, where)
    for key in known:
        variable = variable_of(key, prefix)
        if variable in env:
            _put(raw, key, env[variable])
            sources[key] = variable
    for key, text in flags.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            raise ConfigError(
                f"--set {key}: unknown key",
                hint=f"Did you mean {near[0]}?" if near else "Keys: " + ", ".join(known),
            )
        _put(raw, key, text)
        sources[key] = f"--set {key}"
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(
            "\n".join(f"{_source(line, sources)}: {line}" for line in explain(error))
        ) from error


def dotted_keys(model: type[BaseModel], parent: str = "") -> Iterator[str]:
    """Yield the dotted key of every field that holds a value."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from dotted_keys(kind, f"{parent}{name}.")
        else:
            yield parent + name


def variable_of(key: str, prefix: str) -> str:
    """Return the environment variable of a dotted key: ``night.lease_s`` -> ``PREFIX_NIGHT_LEASE_S``."""
    return prefix + key.replace(".", "_").upper()


def _put(raw: dict[str, Any], key: str, value: str) -> None:
    *sections, field = key.split(".")
    for section in sections:
        raw = raw.setdefault(section, {})
    raw[field] = value


def _source(line: str, sources: Mapping[str, str]) -> str:
    field = line.partition(":")[0]
    fitting = {s for key, s in sources.items() if field == key or field.startswith(f"{key}.")}
    fitting = fitting or {s for key, s in sources.items() if key.startswith(f"{field}.")}
    return ", ".join(sorted(fitting))
