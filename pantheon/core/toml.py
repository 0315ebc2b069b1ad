"""Read TOML and UTF-8 text so that every error names its file."""

import tomllib
from typing import Any

from pantheon.core.errors import ConfigError


def parse_text(where: str, data: bytes) -> str:
    """Decode UTF-8. Raises ``ConfigError`` with the offset of the first bad byte."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: not UTF-8 at byte {error.start}") from error


def parse_toml(where: str, data: bytes) -> dict[str, Any]:
    """Parse a TOML document. Raises ``ConfigError`` with the parser's line and column."""
    try:
        return tomllib.loads(parse_text(where, data))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: not TOML: {error}") from error
