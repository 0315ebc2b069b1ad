"""What a reader of a change would not see: characters that hide or turn round, and letters that pass for others.

A change is judged by what it *adds*: a file may keep whatever it had.

Accepted trade-off: a Greek letter in a Latin word is often meant (``Δt``), so of Greek only the letters that look
like Latin ones count; of Cyrillic, Armenian and Cherokee every letter does, because no word is written half in them.
"""

import re
from collections import Counter

from pantheon.core.visible import UNSAFE

_MIXABLE = (
    "\u0370\u037f\u0391\u0392\u0395-\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7"  # Greek as Latin
    "\u03b9\u03ba\u03bd\u03bf\u03c1\u03c5\u03f2\u03f3\u03f9"
    "\u0400-\u052f\u1c80-\u1c8f\u2de0-\u2dff\ua640-\ua69f"  # Cyrillic
    "\u0531-\u0587\u13a0-\u13fd\uab70-\uabbf"  # Armenian, Cherokee
)
_LATIN = "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff"
_BOUNDARY = re.compile(f"(?:[{_LATIN}][{_MIXABLE}])|(?:[{_MIXABLE}][{_LATIN}])")
_ORDINARY = frozenset("\r\n\t\f")
"""Controls that every text file may have."""


def find_hidden(before: str, after: str) -> str | None:
    """Return what a change adds that its reader would not see, in words; None when there is nothing.

    Args:
        before: the text as it was; empty for a new file.
        after: the text as it would be.
    """
    old, new = _hidden(before), _hidden(after)
    for character, count in new.items():
        if count > old[character]:
            where = after.find(character)
            line = after.count("\n", 0, where) + 1
            return f"line {line}: adds the invisible character U+{ord(character):04X}"
    mixed, known = _mixed(after), _mixed(before)
    for word, count in mixed.items():
        if count > known[word]:
            line = after.count("\n", 0, after.find(word)) + 1
            return f"line {line}: adds a word of letters from two alphabets, {word[:40]!a}"
    return None


def _hidden(text: str) -> Counter[str]:
    return Counter(found for found in UNSAFE.findall(text) if found not in _ORDINARY)


def _mixed(text: str) -> Counter[str]:
    """Return the words in which a look-alike letter stands right beside a Latin one."""
    words: Counter[str] = Counter()
    end = 0
    for match in _BOUNDARY.finditer(text):
        if match.start() < end:
            continue
        start = match.start()
        while start > 0 and text[start - 1].isalpha():
            start -= 1
        end = match.end()
        while end < len(text) and text[end].isalpha():
            end += 1
        words[text[start:end]] += 1
    return words
