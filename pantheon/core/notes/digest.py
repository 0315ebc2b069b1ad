"""The excerpt of a note that a small model reads: bounded, deterministic, and rich in what carries the subject."""

import re

from pantheon.core.notes.frontmatter import split_note

CUT = "[…]"
CODE_LINES, TABLE_ROWS = 8, 4
_FENCE = re.compile(r"\s*(```+|~~~+)")
_RULE = re.compile(r"[-*_=\s|:]{3,}")
_DECORATION = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\ufe0e\ufe0f\u200d]+[ \t]?")


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
        if size + len(line) + 1 > max_chars:
            return "\n".join([*kept, *_rest(line, lines[place + 1 :], max_chars - size)])
        kept.append(line)
        size += len(line) + 1
    return "\n".join(kept)


def _rest(line: str, later: list[str], room: int) -> list[str]:
    """Return what follows the cut: the beginning of the line it fell into, and the headings after it."""
    words = line[: max(room, 0)].rpartition(" ")[0]
    headings = [heading[:100] for heading in later if heading.startswith("#")][:20]
    return [*([words] if words else []), CUT, *headings]


def _squeeze(lines: list[str]) -> list[str]:
    """Drop decoration, empty lines and rules; cut code blocks and tables to their first lines."""
    out: list[str] = []
    fence, code, rows = "", 0, 0
    for raw in lines:
        if opener := _FENCE.match(raw):
            marker = opener.group(1)
            if not fence:
                fence, code = marker, 0
            elif marker.startswith(fence):
                fence = ""
            out.append(raw.strip())
            continue
        if fence:
            code += 1
            if code <= CODE_LINES:
                out.append(raw.rstrip()[:200])
            elif code == CODE_LINES + 1:
                out.append(CUT)
            continue
        line = _DECORATION.sub("", raw).strip()
        if not line or _RULE.fullmatch(line):
            continue
        rows = rows + 1 if line.startswith("|") else 0
        if rows <= TABLE_ROWS:
            out.append(re.sub(r"[ \t]+", " ", line))
    return out
