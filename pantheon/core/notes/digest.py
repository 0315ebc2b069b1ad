"""The excerpt of a note that a small model reads: bounded, deterministic, and rich in what carries the subject.

Front matter, decoration, rules and empty lines go; code blocks and tables keep their first lines. What is still
too long keeps its beginning and, after a mark, the headings that follow.
"""

import re
from typing import NamedTuple

from pantheon.core.notes.frontmatter import split_note

CUT = "[…]"
"""Stands wherever something was left out."""
CODE_LINES, CODE_CHARS, TABLE_ROWS = 8, 200, 4
HEADINGS, HEADING_CHARS = 20, 100
"""How many headings follow the cut, and how long each may be."""
_FENCE = re.compile(r"\s*(`{3,}|~{3,})")
_RULE = re.compile(r"[-*_=\s|:]{3,}")
_DECORATION = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\ufe0e\ufe0f\u200d]+[ \t]?")


class _Line(NamedTuple):
    text: str
    is_heading: bool = False


def digest_note(data: bytes, *, max_chars: int = 1_800) -> str:
    """Return the excerpt of a note.

    Args:
        data: the whole note; bytes that are not UTF-8 are replaced.
        max_chars: ceiling on the beginning; headings that come later are listed after it.
    """
    text = split_note(data).body.decode("utf-8", "replace")
    lines = _squeeze(text.splitlines())
    kept: list[str] = []
    size = 0
    for place, line in enumerate(lines):
        if size + len(line.text) + 1 > max_chars:
            return "\n".join([*kept, *_rest(line, lines[place + 1 :], max_chars - size)])
        kept.append(line.text)
        size += len(line.text) + 1
    return "\n".join(kept)


def _rest(line: _Line, later: list[_Line], room: int) -> list[str]:
    """Return what follows the cut: the beginning of the line it fell into, and the headings after it."""
    words = line.text[: max(room, 0)].rpartition(" ")[0]
    headings = [one.text[:HEADING_CHARS] for one in later if one.is_heading][:HEADINGS]
    return [*([words] if words else []), CUT, *headings]


def _squeeze(lines: list[str]) -> list[_Line]:
    """Drop decoration, empty lines and rules; cut code blocks and tables to their first lines."""
    out: list[_Line] = []
    fence, code, rows = "", 0, 0
    for raw in lines:
        opener = _FENCE.match(raw)
        if opener is not None and (not fence or opener.group(1).startswith(fence)):
            fence, code = ("" if fence else opener.group(1)), 0
            out.append(_Line(raw.strip()[:CODE_CHARS]))
            continue
        if fence:
            code += 1
            if code <= CODE_LINES:
                out.append(_Line(raw.rstrip()[:CODE_CHARS]))
            elif code == CODE_LINES + 1:
                out.append(_Line(CUT))
            continue
        line = _DECORATION.sub("", raw).strip()
        if not line or _RULE.fullmatch(line):
            continue
        rows = rows + 1 if line.startswith("|") else 0
        if rows <= TABLE_ROWS:
            out.append(_Line(re.sub(r"[ \t]+", " ", line), line.startswith("#")))
        elif rows == TABLE_ROWS + 1:
            out.append(_Line(CUT))
    return out
