"""The report as one HTML file that stands alone.

Invariants:
- every expression of a template passes ``core.visible`` and is escaped; only this module's own style is not;
- no script, no image, no font, no request: the policy in the file allows the one style by its hash;
- a name that a template does not have is an error, not an empty place.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pantheon.core.visible import visible
from pantheon.report.figures import draw_gantt, say_seconds
from pantheon.report.model import Report

ORDER = ("accepted", "denied", "failed", "blocked", "skipped", "cancelled", "not_reached", "open")


def render_html(report: Report) -> bytes:
    """Return the report as an HTML file."""
    environment = _environment()
    style, style_hash = _style(environment)
    landed = {id(c.diff): c.diff for group in report.landed for c in group.changes if c.diff is not None}
    text = environment.get_template("report.html.j2").render(
        report=report,
        style=style,
        style_hash=style_hash,
        split=_split(report.outcomes),
        chart=draw_gantt(report),
        anchors={task.key: task.anchor for task in report.tasks},
        names={task.key: task.label for task in report.tasks},
        hottest=max((n for _, row in report.tool_errors.rows for n in row), default=0),
        has_landed=lambda diff: id(diff) in landed,
    )
    return text.encode("utf-8", "replace")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pantheon.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        auto_reload=False,
    )
    environment.filters.update(_FILTERS)
    return environment


def _finalize(value: object) -> object:
    """Make every text an expression gives visible; what templates themselves made is text already."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _style(environment: Environment) -> tuple[Markup, str]:
    assert environment.loader is not None
    source = environment.loader.get_source(environment, "style.css")[0]
    digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    return Markup(source), f"sha256-{digest}"


def _split(outcomes: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the outcomes as parts of a bar that is 1000 wide."""
    total = sum(outcomes.values())
    parts, x = [], 0.0
    for name in ORDER:
        count = outcomes.get(name, 0)
        if count:
            width = 1000 * count / total
            parts.append({"name": name, "count": count, "x": round(x, 1), "width": round(width - 2, 1)})
            x += width
    return parts


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value * 100:.0f} %"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}"


def _moment(value: datetime) -> str:
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _heat(count: int, hottest: int) -> int:
    """Return one of five steps, 0 for none."""
    return 0 if count <= 0 else min(1 + count * 4 // (max(hottest, count) + 1), 4)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z_]", "", name)


def _words(name: str) -> str:
    return name.replace("_", " ")


_FILTERS: Mapping[str, Callable[..., Any]] = {
    "seconds": say_seconds,
    "percent": _percent,
    "signed": _signed,
    "moment": _moment,
    "heat": _heat,
    "slug": _slug,
    "words": _words,
}
