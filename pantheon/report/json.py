"""The report as JSON with stable keys (docs/report.md)."""

import json
from typing import Any

from pantheon.report.model import Report


def render_json(report: Report) -> bytes:
    """Return the report as ASCII JSON, one line for each of its keys and for each task."""
    data = report.model_dump(mode="json")
    tasks = ",\n".join(_dump(task) for task in data.pop("tasks"))
    lines = [f"{_dump(key)}: {_dump(value)}" for key, value in data.items()]
    text = "{\n" + ",\n".join([*lines, f'"tasks": [\n{tasks}\n]']) + "\n}\n"
    return text.encode("ascii")


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
