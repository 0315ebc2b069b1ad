"""The picture of a capacity outlook: how long work waits at each load, and where tonight stands.

Invariants:
- the SVG stands alone: no script, no font, no address but the one that names the format;
- every text is made visible and escaped.
"""

from collections.abc import Sequence
from html import escape

from pantheon.core.capacity import mmc
from pantheon.core.capacity_figures import TARGET_LOAD, Gain, Outlook, ResourceLoad
from pantheon.core.visible import visible_line

LOADS = tuple(place / 20 for place in range(2, 20))
COLUMNS, MAX_SERVICES = 40, 10.0
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 640, 360, 56, 48, 16, 44


def plot_text(outlook: Outlook) -> tuple[str, ...]:
    """Return a bar for each resource, a column for each 5 % of load up to twice the window."""
    wide = max((len(one.resource) for one in outlook.resources), default=0)
    lines = []
    for one in outlook.resources:
        filled = min(round(one.queue.load * COLUMNS / 2), COLUMNS)
        bar = ["#" if place < filled else "." for place in range(COLUMNS)]
        bar[COLUMNS // 2 - 1] += "|"
        lines.append(f"{one.resource:{wide}} [{''.join(bar)}] rho {one.queue.load:.2f}{_ends(one)}")
    return tuple(lines)


def plot_svg(outlook: Outlook) -> str:
    """Return the mean wait against the load, for the resource that is used most, as one SVG."""
    title = escape(visible_line(outlook.sentence))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="sans-serif" font-size="12"><title>{title}</title>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="20" font-size="13" fill="#222222">{title}</text>',
        *_frame(),
    ]
    if outlook.resources:
        parts += _curve(outlook.resources[0])
    return "".join((*parts, "</svg>\n"))


def _ends(load: ResourceLoad) -> str:
    """Return the interval of a load; nothing where more at once was measured."""
    return "" if load.gain is Gain.MEASURED else f" ({load.load_low:.2f} to {load.load_high:.2f})"


def _x(load: float) -> float:
    return round(LEFT + (WIDTH - LEFT - RIGHT) * min(max(load, 0.0), 1.25) / 1.25, 1)


def _y(services: float) -> float:
    return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(services / MAX_SERVICES, 1.0), 1)


def _frame() -> Sequence[str]:
    low, high = (_x(load) for load in TARGET_LOAD)
    floor, ceiling = _y(0), _y(MAX_SERVICES)
    rows = [
        f'<rect x="{low}" y="{ceiling}" width="{round(high - low, 1)}" height="{floor - ceiling}" fill="#e3f1e3"/>'
    ]
    for load in (0, 0.25, 0.5, 0.75, 1, 1.25):
        rows.append(f'<line x1="{_x(load)}" y1="{floor}" x2="{_x(load)}" y2="{ceiling}" stroke="#dddddd"/>')
        rows.append(f'<text x="{_x(load)}" y="{floor + 16}" text-anchor="middle">{load:g}</text>')
    for services in (0, 2.5, 5, 7.5, 10):
        rows.append(f'<text x="{LEFT - 6}" y="{_y(services) + 4}" text-anchor="end">{services:g}</text>')
    rows.append(f'<line x1="{LEFT}" y1="{floor}" x2="{WIDTH - RIGHT}" y2="{floor}" stroke="#222222"/>')
    rows.append(
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 8}" text-anchor="middle">load (rho); wanted: green</text>'
    )
    rows.append(f'<text x="{LEFT}" y="{ceiling - 8}">mean wait, in services</text>')
    return rows


def _curve(busiest: ResourceLoad) -> Sequence[str]:
    points = [(load, mmc(load * busiest.slots, 1.0, busiest.slots).wait_s or 0.0) for load in LOADS]
    path = " ".join(f"{_x(load)},{_y(wait)}" for load, wait in points)
    load = busiest.queue.load
    name = escape(visible_line(f"{busiest.resource}, {busiest.slots} slots: rho {load:.2f}{_ends(busiest)}"))
    left, end, shift = (_x(load), "end", -6) if load > 0.6 else (_x(load), "start", 6)
    ceiling = _y(MAX_SERVICES)
    low, high = _x(busiest.load_low), _x(busiest.load_high)
    return [
        f'<rect x="{low}" y="{ceiling}" width="{round(high - low, 1)}" height="{round(_y(0) - ceiling, 1)}" '
        'fill="#b3261e" fill-opacity="0.15"/>',
        f'<polyline points="{path}" fill="none" stroke="#1f5fa8" stroke-width="2"/>',
        f'<line x1="{left}" y1="{_y(0)}" x2="{left}" y2="{ceiling}" stroke="#b3261e" stroke-width="2"/>',
        f'<text x="{left + shift}" y="{TOP + 14}" text-anchor="{end}" fill="#b3261e">{name}</text>',
    ]
