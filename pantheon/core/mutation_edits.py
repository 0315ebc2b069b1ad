"""The edits that spoil a text in one place: each returns the spoilt text, or None where there is no such place.

Code and prose are both text here: a condition is a comparison or a word that has an opposite, an off-by-one is a
whole number that is one too large, an assertion is a line that asserts in one of the usual test libraries.
"""

import re
import string

from pantheon.core.decoys import Metadata, content_words
from pantheon.core.mutation_words import OPPOSITES, draw, pick

_COMPARISONS = {"==": "!=", "!=": "==", "<=": ">", ">=": "<", "&&": "||", "||": "&&"}
_COMPARISON = re.compile(r"==|!=|<=|>=|&&|\|\|")
_IF = re.compile(r"^(\s*(?:el)?if )([^\n]+)(:)\s*$", re.MULTILINE)
_NUMBER = re.compile(r"(?<![\w.#/-])\d{1,6}(?![\w/-]|\.\d)")
_LINK = re.compile(r"!?\[([^\]\n]*)\]\([^)\s]+(?:\s+\"[^\"\n]*\")?\)|\[\[([^\]\n]+)\]\]")
_ASSERTION = re.compile(
    r"^\s*(?:assert\b|self\.assert\w+\(|expect\(|t\.(?:is|not|true|false|deepEqual|throws|assert)\(|assert\.\w+\().*$"
)
_WORD = re.compile(r"[^\W\d_]{4,}")
_OPPOSITE = {**{b: a for a, b in OPPOSITES}, **dict(OPPOSITES)}
_OPPOSED = re.compile(
    r"\b(" + "|".join(sorted(map(re.escape, _OPPOSITE), key=len, reverse=True)) + r")\b", re.I
)


def truncate(text: str, seed: int) -> str | None:
    """Cut a text off somewhere between two and four fifths."""
    share = 40 + draw(seed, "share") % 40
    cut = text[: len(text) * share // 100]
    return cut if text[len(cut) :].strip() else None


def invert_condition(text: str, seed: int) -> str | None:
    """Turn one condition round: an ``if``, a comparison, or, in prose, a word that has an opposite."""
    places = list(_COMPARISON.finditer(text)) + list(_IF.finditer(text))
    if not places:
        return falsify_words(text, seed)
    found = pick(places, seed, "place")
    new = f"{found[1]}not ({found[2]}){found[3]}" if found.re is _IF else _COMPARISONS[found.group()]
    return _replaced(text, found.span(), new)


def shift_by_one(text: str, seed: int) -> str | None:
    """Make one whole number one too large, or one too small."""
    places = list(_NUMBER.finditer(text))
    if not places:
        return None
    found = pick(places, seed, "number")
    number = int(found.group())
    return _replaced(
        text, found.span(), str(number + 1 if number == 0 or draw(seed, "way") % 2 else number - 1)
    )


def delete_assertion(text: str, seed: int) -> str | None:
    """Take one assertion out; what stands in its place keeps the code parsing."""
    lines = text.splitlines(keepends=True)
    places = [number for number, line in enumerate(lines) if _ASSERTION.match(line.rstrip("\r\n"))]
    if not places:
        return None
    number = pick(places, seed, "assertion")
    line = lines[number]
    indent = line[: len(line) - len(line.lstrip())]
    statement = f"{indent}pass\n" if line.lstrip().startswith(("assert ", "self.")) else ""
    return "".join([*lines[:number], statement, *lines[number + 1 :]])


def drop_link(text: str, seed: int) -> str | None:
    """Leave of one link its words alone."""
    places = list(_LINK.finditer(text))
    if not places:
        return None
    found = pick(places, seed, "link")
    return _replaced(text, found.span(), found[1] or found[2] or "")


def falsify_detail(text: str, seed: int) -> str | None:
    """Change one detail of a sentence so that it is no longer true: a number, or a word into its opposite."""
    if (false := falsify_words(text, seed)) is not None and draw(seed, "detail") % 2:
        return false
    numbers = list(_NUMBER.finditer(text))
    if not numbers:
        return false
    found = pick(numbers, seed, "number")
    return _replaced(text, found.span(), str(int(found.group()) * 3 + 1))


def falsify_words(text: str, seed: int) -> str | None:
    """Turn one word into its opposite."""
    places = list(_OPPOSED.finditer(text))
    if not places:
        return None
    found = pick(places, seed, "opposite")
    new = _OPPOSITE[found.group().lower()]
    return _replaced(text, found.span(), new.capitalize() if found.group()[0].isupper() else new)


def swap_term(own: Metadata, other: str, target: str, seed: int) -> Metadata | None:
    """Put a word of another subject in the place of one that title and description share, or that stands in one.

    Args:
        own: right metadata.
        other: text about another subject.
        target: what the metadata describe; the word that is put in does not occur there.
        seed: chooses the words.
    """
    here = content_words(target)
    foreign = sorted({w for w in _WORD.findall(other) if content_words(w) and not content_words(w) & here})
    words = sorted({w.lower() for w in _WORD.findall(own.title) if content_words(w)})
    if not foreign or not words:
        return None
    old, new = pick(words, seed, "old"), pick(foreign, seed, "new").lower()

    def swap(text: str) -> str:
        return re.sub(
            rf"\b{re.escape(old)}\b",
            lambda found: new.capitalize() if found.group()[0].isupper() else new,
            text,
            flags=re.IGNORECASE,
        )

    return own.model_copy(update={"title": swap(own.title), "description": swap(own.description)})


def make_secret(seed: int) -> str:
    """Return what has the form of an access key and belongs to nobody."""
    letters = string.ascii_uppercase + "234567"
    return "AK" + "IA" + "".join(letters[draw(seed, f"letter {n}") % len(letters)] for n in range(16))


def _replaced(text: str, span: tuple[int, int], new: str) -> str:
    return text[: span[0]] + new + text[span[1] :]
