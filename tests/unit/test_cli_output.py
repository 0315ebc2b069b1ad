"""Data is plain in a pipe and safe everywhere."""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pantheon.core.policy import SloPolicy
from pantheon.shell.cli.output import emit_json, emit_rows, paint, progress, say


class Terminal:
    """A stream that calls itself a terminal."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text

    def isatty(self) -> bool:
        return True


def test_a_table_in_a_pipe_is_tab_separated_without_headers(capsys: pytest.CaptureFixture[str]) -> None:
    """A cell can hold neither tab nor line feed, so cut and awk can be trusted."""
    emit_rows(("a", "b"), [("one\ttwo", None), ("x\ny", 3)])
    assert capsys.readouterr().out == "one\\u0009two\t\nx\\u000ay\t3\n"


def test_a_table_on_a_terminal_is_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wide letters take two columns."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    emit_rows(("name", "n"), [("漢字", 1), ("abcdef", 22)])
    assert terminal.text == "NAME    N\n漢字    1\nabcdef  22\n"


def test_json_is_ascii_and_takes_our_values(capsys: pytest.CaptureFixture[str]) -> None:
    """Frozen models, dates, paths and sets have one form; a bidi control is escaped."""
    emit_json(
        {
            "slo": SloPolicy(),
            "at": datetime(2026, 1, 2, tzinfo=UTC),
            "path": Path("/x"),
            "s": {"b", "a"},
            "t": "\u202e\x1b",
        }
    )
    out = capsys.readouterr().out
    assert out.isascii()
    assert "\x1b" not in out
    data = json.loads(out)
    assert (data["at"], data["path"], data["s"]) == ("2026-01-02T00:00:00+00:00", "/x", ["a", "b"])
    assert data["slo"]["accepted_share"] == 0.7


@pytest.mark.parametrize(
    ("variable", "value", "coloured"),
    [("NO_COLOR", "", True), ("NO_COLOR", "1", False), ("TERM", "dumb", False)],
)
def test_colour_only_where_it_is_wanted(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, coloured: bool
) -> None:
    """NO_COLOR and a dumb terminal are respected; a pipe never has colour."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv(variable, value)
    assert ("\x1b" in paint("x", "good", Terminal())) is coloured  # type: ignore[arg-type]


def test_remarks_go_to_stderr_and_cannot_act(capsys: pytest.CaptureFixture[str]) -> None:
    """A remark that quotes hostile text is harmless."""
    say("evil \x1b]0;title\x07")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "evil \\u001b]0;title\\u0007\n"


def test_progress_in_a_log_is_a_line_per_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    """A log is not flooded."""
    with progress("fetching", bytes_unit=True) as update:
        for done in range(1001):
            update(done, 1000, "part")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11
    assert lines[-1] == "fetching part: 100 %"


def test_progress_on_a_terminal_shows_hostile_labels_harmlessly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A label is text, never markup or an escape."""
    always: Callable[[], bool] = lambda: True  # noqa: E731 (one line of fake)
    monkeypatch.setattr(sys.stderr, "isatty", always)
    with progress("[red]work") as update:
        update(1, 2, "\x1b[2J[/]")
    assert "\\u001b" in capsys.readouterr().err
