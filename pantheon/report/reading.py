"""Values out of JSON that anybody may have written: the right type, or a stated default.

Nothing here raises, and every text comes out visible and bounded.
"""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pantheon.core.strict_json import parse_json
from pantheon.core.visible import visible

MAX_TEXT = 2_000
MAX_WHOLE = 10**15


def text(value: object, limit: int = MAX_TEXT) -> str:
    """Return a text, or the JSON of anything else, cut with a mark at ``limit`` characters."""
    if value is None:
        return ""
    raw = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    shown = visible(raw[:limit])[:limit]
    return shown if len(raw) <= limit else f"{shown} […{len(raw) - limit} more characters]"


def number(value: object) -> float | None:
    """Return a finite number that a person could mean, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if -MAX_WHOLE < value < MAX_WHOLE and math.isfinite(value) else None


def amount(value: object) -> float:
    """Return a number that is not negative, else 0."""
    return max(number(value) or 0.0, 0.0)


def count(value: object) -> int:
    """Return a whole number that is not negative, else 0."""
    return int(amount(value))


def mapping(value: object) -> Mapping[str, Any]:
    """Return a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def items(value: object) -> Sequence[Any]:
    """Return a list, else an empty one."""
    return value if isinstance(value, (list, tuple)) else ()


def moment(value: object) -> datetime | None:
    """Return an aware time, else None."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


def parse(data: bytes) -> tuple[Mapping[str, Any], str]:
    """Return a JSON object and why it is none (empty when it is one)."""
    try:
        value = parse_json(data)
    except ValueError as error:
        return {}, f"is not JSON ({text(str(error), 200)})"
    if not isinstance(value, dict):
        return {}, "is not a JSON object"
    return value, ""


def parse_lines(data: bytes, *, whole: bool, limit: int) -> tuple[list[Mapping[str, Any]], int, str]:
    """Return the objects of a JSON Lines artifact.

    Args:
        data: its beginning.
        whole: whether ``data`` is all of it; otherwise a torn last line is expected.
        limit: number of lines that are wanted.

    Returns:
        The objects, how many lines of ``data`` were left out, and the first problem.
    """
    lines = data.split(b"\n")
    torn = lines.pop()
    found: list[Mapping[str, Any]] = []
    problem = "ends in the middle of a line" if torn and whole else ""
    for place, line in enumerate(lines[:limit], start=1):
        value, why = parse(line)
        if why:
            problem = problem or f"line {place} {why}"
        else:
            found.append(value)
    return found, max(len(lines) - limit, 0), problem
