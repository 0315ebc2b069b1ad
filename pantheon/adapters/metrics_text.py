"""Reads what ``/metrics`` says: the Prometheus text format, as far as counters and gauges go."""

import math
import re
from collections.abc import Callable, Mapping

from pantheon.core.concurrency import Load

_LABELLED = re.compile(r"([a-z_:][a-z0-9_:]{0,99})(?:\{[^\n]{0,1000}\})?\s+(\S{1,40})(?:\s+\d+)?")
_RUNNING = ("vllm:num_requests_running", "llamacpp:requests_processing")
_WAITING = ("vllm:num_requests_waiting", "llamacpp:requests_deferred")
_CACHE_USE = ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")
_MOST = 2.0**53
"""Beyond it a count is not exact, and sums of a few could leave the numbers altogether."""
_LINE = re.compile(r"(?:llamacpp:)?([a-z_][a-z0-9_]{0,99})\s+(\S{1,40})(?:\s+\d+)?")


def parse_metrics(text: str) -> Mapping[str, float]:
    """Return name, without ``llamacpp:`` -> value. Other lines, and values that no counter can have, are left out."""
    found = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line.strip())
        value = _number(match[2]) if match else None
        if match and value is not None:
            found[match[1]] = value
    return found


def parse_labelled(text: str) -> Mapping[str, list[float]]:
    """Return name -> its values under all labels. Other lines, and values below zero, are left out."""
    found: dict[str, list[float]] = {}
    for line in text.splitlines():
        match = _LABELLED.fullmatch(line.strip())
        value = _number(match[2]) if match else None
        if match and value is not None and value >= 0:
            found.setdefault(match[1], []).append(value)
    return found


def parse_load(text: str) -> Load:
    """Return how full a server says it is: vLLM's gauges, or llama.cpp's.

    Several engines behind one server are added up; of their caches the fullest counts.
    """
    found = parse_labelled(text)
    return Load(
        running=_first(found, _RUNNING, sum),
        waiting=_first(found, _WAITING, sum),
        cache_use=_first(found, _CACHE_USE, max),
    )


def _first(
    found: Mapping[str, list[float]], names: tuple[str, ...], join: Callable[[list[float]], float]
) -> float | None:
    return next((join(found[name]) for name in names if name in found), None)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) <= _MOST else None
