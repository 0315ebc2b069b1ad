"""The one door to people's eyes: text from a model, a repository or a queue made harmless to show.

Invariants:
- nothing that leaves this door can move a cursor, ring a bell, change a direction of writing, or hide;
- a line feed and a tab stay, every other control becomes the literal text ``\\uXXXX``;
- applying it twice changes nothing.

Escaping for HTML (``<``, ``&``, quotes) is the template's work and comes after this.

Accepted trade-off: emoji joined by U+200D fall apart, which is better than an invisible letter.
"""

import re

UNSAFE = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and line feed, DEL, C1
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u3164\uffa0"  # invisible letters and marks
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f"  # zero width, line separators, bidirectional controls
    "\ufeff\ufff9-\ufffb"  # byte order mark, interlinear annotation
    "\ud800-\udfff"  # lone surrogates cannot be encoded
    "\U000e0000-\U000e007f"  # tags: a whole invisible alphabet
    "]"
)
"""One character that does not show, or acts."""


def visible(text: str) -> str:
    """Return ``text`` with every invisible or controlling character written out.

    Args:
        text: anything, of any length.

    Returns:
        The text with ``\\uXXXX`` (``\\UXXXXXXXX`` beyond the basic plane) for each such character.
    """
    return UNSAFE.sub(_escape, text)


def visible_line(text: str) -> str:
    """Return ``visible`` text that also stays on one line and in one column."""
    return visible(text).replace("\n", "\\u000a").replace("\t", "\\u0009")


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
