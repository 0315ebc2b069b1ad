"""JSON as strictly as it can be read: what two readers could understand differently is an error.

Invariants:
- every oddity of a text is found in one pass, each with the path of its value;
- time is linear in the length of the text, and nesting is bounded before anything recurses.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MAX_SAFE_INTEGER = 2**53 - 1
MAX_DEPTH = 64
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
# Possessive, so that a string without an end costs one pass and not one per quote in it.
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


@dataclass(frozen=True)
class Oddity:
    """One thing that JSON readers disagree about."""

    path: tuple[str | int, ...]
    """Keys and places from the top down to the value."""
    why: str

    def __str__(self) -> str:
        return ".".join(map(str, self.path)) + (": " if self.path else "") + self.why


@dataclass(frozen=True)
class _Number:
    why: str


class _Doubled(dict[str, Any]):
    twice: tuple[str, ...] = ()


def parse_json(data: bytes | str) -> Any:
    """Parse one JSON text.

    Raises:
        ValueError: not UTF-8, not JSON, a key that stands twice, NaN or infinity in any spelling, a number
            beyond 2^53, a lone surrogate, or nesting beyond ``MAX_DEPTH``.
    """
    value, oddities = scan_json(data.decode("utf-8") if isinstance(data, bytes) else data)
    if oddities:
        raise ValueError(str(oddities[0]))
    return value


def scan_json(text: str) -> tuple[Any, tuple[Oddity, ...]]:
    """Parse one JSON text and name all its oddities.

    Returns:
        The value and its oddities in order. Where there are any, the value is good for finding further faults
        and for nothing else: odd numbers have become 0.

    Raises:
        ValueError: not JSON, or nested deeper than ``MAX_DEPTH``.
    """
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _refuse_depth(text)
    odd: list[object] = []

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) == len(pairs):
            return value
        doubled = _Doubled(value)
        doubled.twice = tuple(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        odd.append(doubled)
        return doubled

    def refuse(why: str) -> _Number:
        number = _Number(why)
        odd.append(number)
        return number

    def beyond(digits: str) -> str:
        return f"{digits[:20]} is beyond 2^53, which readers of JSON round"

    def constant(name: str) -> _Number:
        return refuse(f"{name} is not JSON")

    def real(digits: str) -> float | _Number:
        value = float(digits)
        if not math.isfinite(value):
            return refuse(f"{digits[:20]} is beyond what a number can hold")
        # 1e16 is canonically written as an integer, which would be refused when it is read back.
        return value if abs(value) <= MAX_SAFE_INTEGER else refuse(beyond(digits))

    def whole(digits: str) -> int | _Number:
        # The length first: turning a million digits into an integer is an attack of its own.
        if len(digits) <= 17 and abs(value := int(digits)) <= MAX_SAFE_INTEGER:
            return value
        return refuse(beyond(digits))

    value = json.loads(
        text, object_pairs_hook=build, parse_constant=constant, parse_float=real, parse_int=whole
    )
    if not odd and _SURROGATE.search(text) is None:
        return value, ()
    oddities = tuple(_oddities(value, ()))
    return (_clean(value), oddities) if oddities else (value, ())


def _oddities(value: Any, path: tuple[str | int, ...]) -> Iterator[Oddity]:
    if isinstance(value, _Number):
        yield Oddity(path, value.why)
    elif isinstance(value, str):
        if not _encodable(value):
            yield Oddity(path, "half of a surrogate pair is no character")
    elif isinstance(value, dict):
        if isinstance(value, _Doubled):
            for key in value.twice:
                yield Oddity((*path, key), "stands twice in one object")
        for key, item in value.items():
            if not _encodable(key):
                yield Oddity((*path, key), "half of a surrogate pair is no character")
            yield from _oddities(item, (*path, key))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _oddities(item, (*path, place))


def _clean(value: Any) -> Any:
    if isinstance(value, _Number):
        return 0
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items() if _encodable(key)}
    return [_clean(item) for item in value] if isinstance(value, list) else value


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _refuse_depth(text: str) -> None:
    depth = 0
    for token in _TOKEN.finditer(text):
        mark = token.group()
        if mark in ("[", "{"):
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"nested deeper than {MAX_DEPTH}")
        elif mark in ("]", "}"):
            depth -= 1
