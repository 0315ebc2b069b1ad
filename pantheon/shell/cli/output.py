"""What a command says: data on stdout, everything else on stderr.

Invariants:
- every text passes ``core.visible``, so nothing from a model or a repository acts on the terminal;
- a table is aligned with headers on a terminal, and bare tab-separated lines in a pipe;
- JSON is plain ASCII with stable keys;
- colour only on a terminal, and never under ``NO_COLOR``.
"""

import json
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Protocol, TextIO

import click

from pantheon.core.visible import visible, visible_line
from pantheon.shell.environment import colour_forbidden

Tone = Literal["plain", "good", "warn", "bad", "dim"]
_STYLES: dict[str, dict[str, Any]] = {
    "good": {"fg": "green"},
    "warn": {"fg": "yellow"},
    "bad": {"fg": "red", "bold": True},
    "dim": {"dim": True},
}


class Progress(Protocol):
    """A long work that tells how far it is."""

    def __call__(self, done: int, total: int, label: str = "") -> None:
        """Show progress. Args: units done, units in all (0: not known), what is being done."""
        ...


def paint(text: str, tone: Tone, stream: TextIO) -> str:
    """Return ``text`` coloured when ``stream`` is a terminal that may show colour."""
    if tone == "plain" or not stream.isatty() or colour_forbidden():
        return text
    return click.style(text, **_STYLES[tone])


def emit(text: str) -> None:
    """Write one line (or several) of data to stdout."""
    sys.stdout.write(visible(text) + "\n")


def emit_toned(text: str, tone: Tone) -> None:
    """Write data to stdout, coloured where that is allowed."""
    sys.stdout.write(paint(visible(text), tone, sys.stdout) + "\n")


def emit_line(value: Any) -> None:
    """Write a value to stdout as one line of ASCII JSON."""
    sys.stdout.write(to_json(value) + "\n")


def emit_marked(mark: str, tone: Tone, text: str, hint: str = "") -> None:
    """Write text to stdout behind a coloured mark, and a hint below it.

    Args:
        mark: a word of our own.
        tone: the mark's colour.
        text: what there is to say.
        hint: what to do about it; empty when there is nothing to do.
    """
    sys.stdout.write(f"{paint(f'{mark:4}', tone, sys.stdout)}  {visible(text)}\n")
    if hint:
        sys.stdout.write(f"{'':19}{visible(hint)}\n")


def emit_json(value: Any) -> None:
    """Write a value to stdout as indented ASCII JSON.

    Args:
        value: JSON values, and within them frozen models, paths, dates, enums, tuples and mappings.
    """
    sys.stdout.write(to_json(value, indent=2) + "\n")


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Return the ASCII JSON of a value, without any control but the line feeds of an indent."""
    return json.dumps(value, indent=indent, default=_plain).replace("\x7f", "\\u007f")


def emit_rows(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a table to stdout.

    Args:
        headers: one per column; shown on a terminal only.
        rows: cells; None is shown as nothing.
    """
    cells = [["" if cell is None else visible_line(str(cell)) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in cells:
            sys.stdout.write("\t".join(row) + "\n")
        return
    table = [[header.upper() for header in headers], *cells]
    widths = [max(_width(row[column]) for row in table) for column in range(len(headers))]
    for number, row in enumerate(table):
        padded = (cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True))
        line = "  ".join(padded).rstrip()
        sys.stdout.write(paint(line, "plain" if number else "dim", sys.stdout) + "\n")


def say(text: str, tone: Tone = "plain") -> None:
    """Write a remark to stderr."""
    sys.stderr.write(paint(visible(text), tone, sys.stderr) + "\n")


def confirm(question: str) -> bool:
    """Ask a question on stderr; anything but a yes is a no."""
    return click.confirm(visible_line(question), default=False, err=True)


@contextmanager
def progress(title: str, *, bytes_unit: bool = False) -> Iterator[Progress]:
    """Show how far a long work is, on stderr: a bar on a terminal, a line per tenth otherwise.

    Args:
        title: what is being done.
        bytes_unit: the units are bytes.
    """
    if not sys.stderr.isatty():
        yield _Lines(title)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    amount = DownloadColumn() if bytes_unit else MofNCompleteColumn()
    console = Console(stderr=True, no_color=colour_forbidden())
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), amount, TimeRemainingColumn())
    with Bar(*columns, console=console) as bar:
        row = bar.add_task(visible_line(title), total=None)

        def update(done: int, total: int, label: str = "") -> None:
            text = visible_line(f"{title} {label}".strip())
            bar.update(row, completed=done, total=total or None, description=text)

        yield update


class _Lines:
    """Progress for a pipe or a log: a line whenever another tenth is done."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._tenth = -1

    def __call__(self, done: int, total: int, label: str = "") -> None:
        tenth = done * 10 // total if total else 0
        if tenth > self._tenth:
            self._tenth = tenth
            say(f"{self._title} {label}".strip() + (f": {tenth * 10} %" if total else ""))


def _width(text: str) -> int:
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "__fspath__"):
        return str(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if hasattr(value, "items"):
        return dict(value.items())
    raise TypeError(f"{type(value).__name__} has no JSON form")
