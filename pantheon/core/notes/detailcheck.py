"""Details that a text about a note cannot have from it: numbers, names and words that the note does not bear out.

No comparison with other notes sees these, and small models are bad at them. They are counted here, not judged: a number
or name is looked up, and a word that has an opposite is wrong where the note has the opposite and not the word.
"""

import re
from collections.abc import Iterable

from pantheon.core.mutation_words import OPPOSITES
from pantheon.core.notes.address import address_in
from pantheon.core.notes.names import foreign_names

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NUMBER_WORDS = {
    "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9",
    "ten": "10", "eleven": "11", "twelve": "12",
}  # fmt: skip
_WORD = re.compile(r"[^\W\d_]+")
_LOOSE = frozenset(
    "without before old more first all add adds up on open works small local keep keeps can must is are was"
    " will".split()
)
"""First words of pairs of which a text may well have the one and its note the other."""
_PAIRS = [(a, b) for a, b in OPPOSITES if a not in _LOOSE]
_OPPOSITES = [*_PAIRS, *((b, a) for a, b in _PAIRS)]


def foreign_numbers(text: str, note: str) -> tuple[str, ...]:
    """Return the numbers of a text that its note does not hold, in figures or, up to twelve, in words."""
    held = {_plain(found) for found in _NUMBER.findall(note)}
    held |= {_NUMBER_WORDS[word] for word in _WORD.findall(note.lower()) if word in _NUMBER_WORDS}
    return tuple(found for found in _NUMBER.findall(text) if _plain(found) not in held)


def contradicted_words(text: str, note: str) -> tuple[str, ...]:
    """Return the words of a text whose opposite the note has, while it has not the word itself."""
    own, held = _words(text), _words(note)
    return tuple(
        word for word, opposite in _OPPOSITES if word in own and word not in held and opposite in held
    )


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower()))


def _plain(number: str) -> str:
    return number.replace(",", "").lstrip("0") or "0"


def check_details(
    name: str, text: str, note: str, named: Iterable[str] = (), heard: str = ""
) -> Iterable[tuple[str, str]]:
    """Yield (check, reason) of each detail that the note does not bear out.

    Args:
        name: of the field.
        text: what it says.
        note: the whole text of the note.
        named: words that are names however the text is spelled.
        heard: what of the note does not itself speak to a judge.
    """
    if found := address_in(text, heard):
        yield f"{name}-address", f"{name}: speaks to whoever judges it ({found!r})."
    for number in foreign_numbers(text, note)[:1]:
        yield f"{name}-number", f"{name}: the number {number} is not in the note."
    for word in contradicted_words(text, note)[:1]:
        yield f"{name}-opposite", f"{name}: says {word!r}, and the note only the opposite."
    for word in foreign_names(text, note, named)[:1]:
        yield f"{name}-name", f"{name}: {word[:40]!r} is not in the note; leave it out."
