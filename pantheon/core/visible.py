"""The one door to people's eyes: text from a model, a repository or a queue made harmless to show.

Invariants:
- nothing that leaves this door can move a cursor, ring a bell, change a direction of writing, or hide;
- a line feed and a tab stay, every other control becomes the literal text ``\\uXXXX``;
- applying it twice changes nothing.

Escaping for HTML (``<``, ``&``, quotes) is the template's work and comes after this.

What does not show is not a matter of taste: ``IGNORABLE`` is the whole of Unicode's Default_Ignorable_Code_Point, code
points that are not assigned yet included.

One exception: U+FE0F directly after a symbol that has both a text and an emoji form (``⚠️``, ``❤️``) stays. It is
how every keyboard writes these, and it picks the symbol's form in plain sight; anywhere else, or twice, it is written
out.

Accepted trade-offs: emoji joined by U+200D fall apart, keycaps are written out, and so are the joiners of Persian and
of Indic scripts, which is better than an invisible letter.

Source: Unicode 14.0, DerivedCoreProperties.txt (Default_Ignorable_Code_Point), emoji-data.txt (Emoji without
Emoji_Presentation), and the general categories Cc, Cf, Cs, Zl and Zp of UnicodeData.txt.
"""

import re

IGNORABLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Default_Ignorable_Code_Point but for U+FE0F, as the inside of a character class."""
ACTING = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # Cc without tab and line feed
    "\u2028\u2029"  # Zl, Zp
    "\ufff9-\ufffb\U00013430-\U0001343f"  # Cf: annotation, Egyptian format; Arabic's number signs show
    "\ud800-\udfff"  # Cs: lone surrogates cannot be encoded
)
"""What controls instead of showing."""
BLANK = "\u2800\U0001d159\U00016fe4"
"""Letters and symbols by category whose glyph is empty: Braille's blank, a null note head, Khitan's filler."""
TWO_FORMS = (
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2194-\u2199\u21a9\u21aa\u2328\u23cf\u23ed-\u23ef\u23f1\u23f2\u23f8-\u23fa\u24c2"
    "\u25aa\u25ab\u25b6\u25c0\u25fb\u25fc\u2600-\u2604\u260e\u2611\u2618\u261d\u2620\u2622\u2623\u2626\u262a\u262e\u262f"
    "\u2638-\u263a\u2640\u2642\u265f\u2660\u2663\u2665\u2666\u2668\u267b\u267e\u2692\u2694-\u2697\u2699\u269b\u269c\u26a0"
    "\u26a7\u26b0\u26b1\u26c8\u26cf\u26d1\u26d3\u26e9\u26f0\u26f1\u26f4\u26f7-\u26f9\u2702\u2708\u2709\u270c\u270d\u270f\u2712"
    "\u2714\u2716\u271d\u2721\u2733\u2734\u2744\u2747\u2763\u2764\u27a1\u2934\u2935\u2b05-\u2b07\u3030\u303d\u3297\u3299"
    "\U0001f170\U0001f171\U0001f17e\U0001f17f\U0001f202\U0001f237\U0001f321\U0001f324-\U0001f32c\U0001f336\U0001f37d"
    "\U0001f396\U0001f397\U0001f399-\U0001f39b\U0001f39e\U0001f39f\U0001f3cb-\U0001f3ce\U0001f3d4-\U0001f3df\U0001f3f3"
    "\U0001f3f5\U0001f3f7\U0001f43f\U0001f441\U0001f4fd\U0001f549\U0001f54a\U0001f56f\U0001f570\U0001f573-\U0001f579"
    "\U0001f587\U0001f58a-\U0001f58d\U0001f590\U0001f5a5\U0001f5a8\U0001f5b1\U0001f5b2\U0001f5bc\U0001f5c2-\U0001f5c4"
    "\U0001f5d1-\U0001f5d3\U0001f5dc-\U0001f5de\U0001f5e1\U0001f5e3\U0001f5e8\U0001f5ef\U0001f5f3\U0001f5fa\U0001f6cb"
    "\U0001f6cd-\U0001f6cf\U0001f6e0-\U0001f6e5\U0001f6e9\U0001f6f0\U0001f6f3"
)
"""Symbols that are text unless U+FE0F follows."""

UNSAFE = re.compile(f"[{IGNORABLE}{ACTING}{BLANK}]|(?<![{TWO_FORMS}])\ufe0f")
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
