"""The report as JSON with stable keys (docs/report.md)."""

import json

from pantheon.report.model import Report


def render_json(report: Report) -> bytes:
    """Return the report as indented ASCII JSON, so that it is harmless in a terminal too."""
    text = json.dumps(report.model_dump(mode="json"), ensure_ascii=True, allow_nan=False, indent=1)
    return text.encode("ascii") + b"\n"
