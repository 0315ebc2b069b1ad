"""Plot time and memory of our engine against the number of tasks, from one run of ``run.py``.

    python benchmarks/engine/growth.py FOUND.json PLOT.svg

Both axes are logarithmic, so that what grows with the number of tasks is a straight line of slope one. The plot says
the slopes: 1.00 is linear.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

WIDTH, HEIGHT, MARGIN = 640, 360, 60
LINES = (("wall_s", "seconds", "#1f5fa8"), ("peak_mb", "MB beyond imports", "#b3541e"))

Points = list[tuple[float, float]]


def read(found: Path) -> dict[str, Points]:
    """Return the measure -> its points, tasks and value, in rising order of tasks."""
    rows = json.loads(found.read_bytes())["rows"]
    ours = [row for row in rows if row["subject"] == "pantheon" and row["work"] == "noop"]
    good = [row for row in ours if row["at_once"] > 1 and "error" not in row]
    sizes = {row["size"]: row for row in good}
    points: dict[str, Points] = {name: [] for name, _, _ in LINES}
    for size, row in sorted(sizes.items()):
        points["wall_s"].append((size, row["wall_s"]))
        points["peak_mb"].append((size, max(0.1, row["peak_mb"] - row["imports_mb"])))
    return points


def slope(points: Points) -> float:
    """Return the slope between the first and the last point, both axes logarithmic."""
    (x0, y0), (x1, y1) = points[0], points[-1]
    return math.log(y1 / y0) / math.log(x1 / x0)


def draw(measures: dict[str, Points]) -> str:
    """Return the plot as SVG."""
    every = [point for points in measures.values() for point in points]
    left, right = _decades([x for x, _ in every])
    low, high = _decades([y for _, y in every])

    def place(x: float, y: float) -> tuple[float, float]:
        across = MARGIN + (math.log10(x) - left) / (right - left) * (WIDTH - 2 * MARGIN)
        up = HEIGHT - MARGIN - (math.log10(y) - low) / (high - low) * (HEIGHT - 2 * MARGIN)
        return round(across, 1), round(up, 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
        ' font-size="12"><rect width="100%" height="100%" fill="white"/>'
    ]
    for decade in range(left, right + 1):
        x, bottom = place(10**decade, 10**low)
        parts.append(f'<path d="M{x} {bottom}V{MARGIN}" stroke="#ddd"/>')
        parts.append(f'<text x="{x}" y="{bottom + 18}" text-anchor="middle">{10**decade:,}</text>')
    for decade in range(low, high + 1):
        edge, y = place(10**left, 10**decade)
        parts.append(f'<path d="M{edge} {y}H{WIDTH - MARGIN}" stroke="#ddd"/>')
        parts.append(f'<text x="{edge - 6}" y="{y + 4}" text-anchor="end">{10.0**decade:g}</text>')
    for number, (name, label, colour) in enumerate(LINES):
        at = [place(x, y) for x, y in measures[name]]
        path = " ".join(f"{x},{y}" for x, y in at)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"/>' for x, y in at]
        said = f"{label} (slope {slope(measures[name]):.2f})"
        parts.append(f'<text x="{MARGIN}" y="{22 + 16 * number}" fill="{colour}">{said}</text>')
    parts.append(
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 14}" text-anchor="middle">tasks in one night</text></svg>'
    )
    return "\n".join(parts) + "\n"


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def main() -> int:
    """Write the plot and print its points."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("found", type=Path, help="what run.py wrote with --json")
    options.add_argument("plot", type=Path, help="where the SVG goes")
    chosen = options.parse_args()
    measures = read(chosen.found)
    if any(len(points) < 2 for points in measures.values()):
        sys.stderr.write("fewer than two sizes of no-op tasks were measured; nothing to plot\n")
        return 1
    chosen.plot.write_text(draw(measures), encoding="utf-8")
    for (size, seconds), (_, memory) in zip(measures["wall_s"], measures["peak_mb"], strict=True):
        sys.stdout.write(f"{size:>9,} tasks {seconds:>9.2f} s {memory:>8.1f} MB beyond imports\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
