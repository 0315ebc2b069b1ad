"""What reviewers get to see of a note and of a text about it: nothing that only speaks to them.

Invariants (property-tested):
- a note in which nothing speaks to whoever judges it, and that does not quote what is proposed, is shown as it is, up
  to the length to which it is listened to;
- nothing is added: what is shown is what the note says, with blocks, lines or sentences left out.
"""

import math
import re
from collections.abc import Callable, Sequence

from pantheon.core.decoys import content_words, is_near
from pantheon.core.notes.address import address_in
from pantheon.core.notes.frontmatter import split_note

MAX_CHARS = 64_000
"""How far a note is listened to; what it is about has been said by then."""
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
    r"^\W{0,8}(?:title|description|tags?|keywords|titel|beschreibung|titre|titulo|título|descripción)\W{0,4}[:=]"
    r"|^\W{0,8}[AB]\s?[:.)]\s",
    re.IGNORECASE,
)
"""A line that sets metadata, or that is one of two alternatives."""


def audible(note: str, proposed: Sequence[str] = ()) -> str:
    """Return a note without what speaks to whoever judges it, and without what quotes a proposal.

    Left out are hidden comments, and blocks in which something speaks to a judge, sets metadata or, but for the note's
    first line, has a proposal word for word, forwards or backwards: that says nothing for it that the rest of the note
    would not say too, and is how a note tells a model what to choose. Where no block would be left, only the sentences
    are left out.

    Args:
        note: its text.
        proposed: the texts under review.
    """
    straight = [words for one in proposed if len(words := _words(one)) >= MIN_QUOTE]
    quotes = [*straight, *(words[::-1] for words in straight)]

    def unwanted(sentence: str) -> bool:
        return _speaks(sentence) or any(_quotes(_words(sentence), one) for one in quotes)

    text = _COMMENT.sub("", note[:MAX_CHARS])
    space = text[: len(text) - len(text.lstrip())]
    first, end, rest = text[len(space) :].partition("\n")
    opening = space + _without(first, _speaks) + end
    pieces = _BLOCK.split(rest)
    kept = [piece for piece in pieces if not _is_unwanted(piece, unwanted)]
    whole = len(kept) == len(pieces)
    return opening + (rest if whole else "".join(kept) if "".join(kept).strip() else _without(rest, unwanted))


def audible_file(data: bytes, proposed: Sequence[str] = ()) -> bytes:
    """Return the bytes of a note whose body is only what can be heard of it; the same bytes where that is all."""
    note = split_note(data)
    text = note.body.decode("utf-8", "replace")
    heard = audible(text, proposed)
    return data if heard == text else data.removesuffix(note.body) + heard.encode()


def stray_part(text: str, note: str) -> str:
    """Return the first part of a text in several parts that says nothing of its note; empty where there is none."""
    words = content_words(note)
    return next((part for part in _parts(text) if _share(part, words) < LEAST_SHARE), "")


def first_part(text: str) -> str:
    """Return the first part of a text in several parts, as a sentence; a text in one part as it is."""
    parts = _parts(text)
    return f"{parts[0].rstrip('.;:|')}." if parts else text


def _parts(text: str) -> list[str]:
    """Return the parts of a text that say something; none for a text in one part, which comparisons are for."""
    parts = [part for part in _PART.split(" ".join(text.split())) if len(content_words(part)) >= MIN_PART]
    return parts if len(parts) > 1 else []


def _is_unwanted(block: str, unwanted: Callable[[str], bool]) -> bool:
    """Tell whether any line or sentence of a block is unwanted, or all of it read as one line."""
    return any(map(unwanted, _SENTENCE.split(block))) or unwanted(" ".join(block.split()))


def _speaks(sentence: str) -> bool:
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
