"""The door to people's eyes lets nothing through that acts or hides."""

import pytest

from pantheon.core.visible import visible, visible_line


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain äöü 漢字 🙂", "plain äöü 漢字 🙂"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[31mred\x1b[0m", "\\u001b[31mred\\u001b[0m"),
        ("over\rwrite", "over\\u000dwrite"),
        ("\x9b2J", "\\u009b2J"),
        ("admin\u202etxt.exe", "admin\\u202etxt.exe"),
        ("\u2066iso\u2069", "\\u2066iso\\u2069"),
        ("zero\u200bwidth\u200d", "zero\\u200bwidth\\u200d"),
        ("\ufeffbom", "\\ufeffbom"),
        ("\U000e0041tag", "\\U000e0041tag"),
        ("\ud800", "\\ud800"),
        ("line\u2028separator", "line\\u2028separator"),
    ],
)
def test_escapes_what_acts_or_hides(raw: str, shown: str) -> None:
    """Controls become literal text; letters of every script stay."""
    assert visible(raw) == shown


def test_one_line_stays_one_line() -> None:
    """A cell of a table can hold neither a line feed nor a tab."""
    assert visible_line("a\nb\tc") == "a\\u000ab\\u0009c"
