"""Read TOML and UTF-8 text so that every error names its file."""

import tomllib
from typing import Any

from pantheon.core.errors import ConfigError

MAX_DOTS = 200
"""In one line."""


def parse_text(where: str, data: bytes) -> str:
    """Decode UTF-8. Raises ``ConfigError`` with the offset of the first bad byte."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: not UTF-8 at byte {error.start}") from error


def parse_toml(where: str, data: bytes) -> dict[str, Any]:
    """Parse a TOML document. Raises ``ConfigError`` with the parser's line and column."""
    text = parse_text(where, data)
    for number, line in enumerate(text.split("\n"), 1):
        # The parser's time and memory grow with the square of a key's parts.
        if line.count(".") > MAX_DOTS:
            raise ConfigError(f"{where}: more than {MAX_DOTS} dots in line {number}")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: not TOML: {error}") from error
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else "a number with too many digits"
        raise ConfigError(f"{where}: not TOML that anybody means: {why}") from error
