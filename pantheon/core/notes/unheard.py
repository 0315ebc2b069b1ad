"""What reviewers get to see of a note and of a text about it: nothing that only speaks to them.

Invariants (property-tested):
- a note in which nothing speaks to whoever judges it, and that does not quote what is proposed, is shown as it is;
- nothing is added: what is shown is what the note says, with blocks, lines or sentences left out.
"""

import math
import re
from collections.abc import Callable, Sequence

from pantheon.core.decoys import content_words, is_near
from pantheon.core.notes.address import address_in
from pantheon.core.notes.frontmatter import split_note

MIN_QUOTE = 4
"""Words of a proposal from which on a note can quote it."""
QUOTED_SHARE = 0.8
"""Share of a proposal's words that a quotation has in a row."""
MIN_PART = 2
"""Content words from which on a part of a text has to be about the note."""
LEAST_SHARE = 0.25
"""Of a part's content words, those that the note must have; descriptions by people have 0.4 and more."""
_COMMENT = re.compile(r"<!--(?s:.*?)(?:-->|\Z)|^\[[^\]\n]*\]:[^\S\n]*#.*$", re.MULTILINE)
_BLOCK = re.compile(r"(\n[^\S\n]*\n\s*)")
_SENTENCE = re.compile(r"((?<=[.!?。！？])[\"'”’)]*\s+|\n)")
_PART = re.compile(r"(?<=[.!?])[\"'”’)]*\s+|\s*[;|]\s+|\s+[\u2013\u2014-]{1,2}\s+|:\s+")
_KEY = re.compile(
    r"^\W{0,8}(?:title|description|tags?|keywords|summary|titel|beschreibung|titre|titulo|título|descripción)\W{0,4}[:=]"
    r"|^\W{0,8}[AB]\s?[:.)]\s",
    re.IGNORECASE,
)
"""A line that sets metadata, or that is one of two alternatives."""


def unquoted(note: str, proposed: Sequence[str]) -> str:
    """Return a note, but for its first line, without the sentences that quote what is proposed for it.

    A sentence that has a proposal word for word says nothing for it that the rest of the note would not say too, and is
    how a note tells a model what to choose.

    Args:
        note: its text, or an excerpt.
        proposed: the texts under review.
    """
    quotes = [words for one in proposed if len(words := _words(one)) >= MIN_QUOTE]
    first, end, rest = note.partition("\n")
    return (
        first + end + _without(rest, lambda sentence: any(_quotes(_words(sentence), one) for one in quotes))
    )


def audible(note: str) -> str:
    """Return a note without its hidden comments and the blocks in which something speaks to whoever judges it.

    Where no block would be left, only the sentences are left out that do.
    """
    text = _COMMENT.sub("", note)
    pieces = _BLOCK.split(text)
    silent = [_speaks(piece) for piece in pieces]
    if not any(silent):
        return text
    kept = "".join(piece for piece, left_out in zip(pieces, silent, strict=True) if not left_out)
    return kept if kept.strip() else _without(text, _speaks_alone)


def audible_file(data: bytes) -> bytes:
    """Return the bytes of a note whose body is only what can be heard of it; the same bytes where that is all."""
    note = split_note(data)
    text = note.body.decode("utf-8", "replace")
    heard = audible(text)
    return data if heard == text else data.removesuffix(note.body) + heard.encode()


def stray_part(text: str, note: str) -> str:
    """Return the first part of a text in several parts that says nothing of its note; empty where there is none."""
    words = content_words(note)
    return next((part for part in _parts(text) if _share(part, words) < LEAST_SHARE), "")


def told_part(text: str, note: str) -> str:
    """Return a text without its parts that say nothing of the note; where none does, the one that says most."""
    if not stray_part(text, note):
        return text
    words = content_words(note)
    parts = _parts(text)
    kept = [part for part in parts if _share(part, words) >= LEAST_SHARE]
    return " ".join(kept) or max(parts, key=lambda part: _share(part, words))


def _parts(text: str) -> list[str]:
    """Return the parts of a text that say something; none for a text in one part, which comparisons are for."""
    parts = [part for part in _PART.split(" ".join(text.split())) if len(content_words(part)) >= MIN_PART]
    return parts if len(parts) > 1 else []


def _speaks(block: str) -> bool:
    """Tell whether any line or sentence of a block speaks to a judge, or all of it read as one line."""
    return any(map(_speaks_alone, _SENTENCE.split(block))) or bool(address_in(" ".join(block.split())))


def _speaks_alone(sentence: str) -> bool:
    return _KEY.search(sentence) is not None or bool(address_in(sentence))


def _without(text: str, unwanted: Callable[[str], bool]) -> str:
    """Return a text without the sentences and lines that are unwanted; the same text where none is."""
    pieces = _SENTENCE.split(text)
    return "".join(piece for piece in pieces if not unwanted(piece))


def _quotes(words: Sequence[str], proposed: Sequence[str]) -> bool:
    """Tell whether words have most of a proposal in a row."""
    size = max(math.ceil(len(proposed) * QUOTED_SHARE), MIN_QUOTE)
    known = {tuple(words[place : place + size]) for place in range(len(words) - size + 1)}
    return any(tuple(proposed[place : place + size]) in known for place in range(len(proposed) - size + 1))


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def _share(part: str, words: frozenset[str]) -> float:
    own = content_words(part)
    return sum(is_near(word, words) for word in own) / len(own)
