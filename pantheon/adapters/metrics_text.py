"""Reads what ``/metrics`` says: the Prometheus text format, as far as counters and gauges without labels go."""

import math
import re
from collections.abc import Mapping

_LINE = re.compile(r"(?:llamacpp:)?([a-z_][a-z0-9_]{0,99})\s+(\S{1,40})(?:\s+\d+)?")


def parse_metrics(text: str) -> Mapping[str, float]:
    """Return name, without ``llamacpp:`` -> value. Other lines, and values that are no finite number, are left out."""
    found = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line.strip())
        value = _number(match[2]) if match else None
        if match and value is not None:
            found[match[1]] = value
    return found


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
