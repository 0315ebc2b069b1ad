"""JSON as strictly as it can be read: what two readers could understand differently is an error."""

import json
from typing import Any

MAX_SAFE_INTEGER = 2**53 - 1
MAX_DEPTH = 64


def parse_json(data: bytes | str) -> Any:
    """Parse one JSON text.

    Raises:
        ValueError: not UTF-8, not JSON, a key that stands twice, NaN or infinity in any spelling, an integer
            beyond 2^53, a lone surrogate, or nesting beyond ``MAX_DEPTH``.
    """
    text = data.decode("utf-8") if isinstance(data, bytes) else data
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _refuse_depth(text)
    value = json.loads(
        text,
        object_pairs_hook=unique_keys,
        parse_constant=_refuse_constant,
        parse_float=_finite,
        parse_int=_safe_integer,
    )
    if "\\u" in text:
        _refuse_surrogates(value)
    return value


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object from parsed pairs. Raises ``ValueError`` when a key stands twice."""
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [key for key, _ in pairs]
        twice = next(key for key in names if names.count(key) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text} is beyond what a number can hold")
    return value


def _safe_integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > MAX_SAFE_INTEGER:
        raise ValueError(f"{text[:20]} is beyond 2^53, which readers of JSON round")
    return int(text)


def _refuse_depth(text: str) -> None:
    depth, inside, escaped = 0, False, False
    for char in text:
        if inside:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                inside = False
        elif char == '"':
            inside = True
        elif char in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"nested deeper than {MAX_DEPTH}")
        elif char in "]}":
            depth -= 1


def _refuse_surrogates(value: Any) -> None:
    if isinstance(value, str):
        value.encode("utf-8")
    elif isinstance(value, dict):
        for key, item in value.items():
            key.encode("utf-8")
            _refuse_surrogates(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_surrogates(item)
