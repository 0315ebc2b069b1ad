"""What reviewers get to see of a note and of a text about it: nothing that only speaks to them.

Invariants (property-tested):
- a note in which nothing speaks to whoever judges it, and that does not quote what is proposed, is shown as it is, up
  to the length to which it is listened to;
- nothing is added: what is shown is what the note says, with blocks, lines or sentences left out.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pantheon.core.decoys import content_words, is_near
from pantheon.core.notes.address import address_in
from pantheon.core.notes.comments import without_comments
from pantheon.core.notes.frontmatter import split_note

MAX_CHARS = 64_000
"""How far a note is listened to; what it is about has been said by then."""
LEAST_HEARD = 0.5
"""Share of a note that must not speak to a judge for it to be judged."""
MIN_QUOTE = 4
"""Words of a proposal from which on a note can quote it."""
QUOTED_SHARE = 0.8
"""Share of a proposal's words that a quotation has in a row."""
MIN_PART = 2
"""Content words from which on a part of a text has to be about the note."""
LEAST_SHARE = 0.25
"""Of a part's content words, those that the note must have; descriptions by people have 0.4 and more."""
REACH = 2
"""Sentences or lines before and after one that speaks to a judge that go with it: an order is seldom one sentence."""
WIDTH = 4
"""Sentences or lines over which one order may be spread."""
_LINK = re.compile(r"\]\([^()\s]*\)|\[\[[^\]\n|]*")
"""Where a link goes to."""
_FENCE = re.compile(r"^ {0,3}(?:`{3,}|~{3,})", re.MULTILINE)
_BLOCK = re.compile(r"(\n[^\S\n]*\n\s*)")
_FRAME = frozenset("appendix chapter idea introduction overview part topic".split())
"""Words that say what a part of a text is, and nothing of any note."""
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

    Left out are hidden comments; blocks that, but for the note's first line, have a proposal word for word, forwards or
    backwards: that says nothing for it that the rest of the note would not say too, and is how a note tells a model
    what to choose; and sentences and lines that speak to a judge or set metadata, with those right beside them in
    their block. Where no word would be left, only those themselves are left out.

    Args:
        note: its text.
        proposed: the texts under review.
    """
    straight = [words for one in proposed if len(words := _words(one)) >= MIN_QUOTE]
    quotes = [*straight, *(words[::-1] for words in straight)]

    def quoting(text: str) -> bool:
        words = _words(text)
        return any(_quotes(words, one) for one in quotes)

    text = without_comments(note[:MAX_CHARS])
    space = text[: len(text) - len(text.lstrip())]
    first, end, rest = text[len(space) :].partition("\n")
    opening = space + _without(first, _speaks) + end
    fenced = _FENCE.match(first) is not None
    kept: list[str] = []
    for block in _BLOCK.split(rest):
        shown = block
        if quoting(block) and not quoting(_LINK.sub(" ", block)):
            # A note's link to itself has its title; only what the link is in goes.
            shown = _without(block, quoting)
        kept.append("" if quoting(shown) else _unspoken(shown, fenced=fenced))
        fenced ^= len(_FENCE.findall(block)) % 2 == 1
    if any(map(str.isalnum, "".join(kept))):
        return opening + "".join(kept)
    return opening + _without(rest, lambda sentence: _speaks(sentence) or quoting(sentence))


def audible_file(data: bytes, proposed: Sequence[str] = ()) -> bytes:
    """Return the bytes of a note whose body is only what can be heard of it; the same bytes where that is all."""
    note = split_note(data)
    text = note.body.decode("utf-8", "replace")
    heard = audible(text, proposed)
    return data if heard == text else data.removesuffix(note.body) + heard.encode()


class Heard(NamedTuple):
    """How much of a note is shown, in characters; comments are none of it."""

    shown: int
    whole: int
    unspoken: int
    """What would be shown of it if it quoted no proposal."""

    @property
    def left_out(self) -> str:
        """How much is shown, in words; empty where all is."""
        return f"{self.shown} of {self.whole} characters of the note" if self.shown < self.whole else ""

    @property
    def is_enough(self) -> bool:
        """Whether half of what is listened to speaks to no judge; of less, nobody can tell what the note is about.

        A short note may well have a right title word for word; what is left must bear the title out.
        """
        return self.unspoken >= LEAST_HEARD * min(self.whole, MAX_CHARS)


def heard_of(note: str, shown: str) -> Heard:
    """Return how much of a note is shown; both are texts without front matter, or both with it."""
    whole = without_comments(note).strip()
    heard = len(shown.strip())
    # Of a note that is shown whole, nothing is left out without a proposal either.
    return Heard(heard, len(whole), heard if heard == len(whole) else len(audible(note).strip()))


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
    parts = [
        part for part in _PART.split(" ".join(text.split())) if len(content_words(part) - _FRAME) >= MIN_PART
    ]
    return parts if len(parts) > 1 else []


def _unspoken(block: str, *, fenced: bool) -> str:
    """Return a block without what speaks to a judge, and without what is right beside it."""
    pieces = _SENTENCE.split(block)
    places = [place for place, piece in enumerate(pieces) if piece.strip()]
    said = [pieces[place] for place in places]
    spoken = set()
    for number, sentence in enumerate(said):
        fenced ^= _FENCE.match(sentence) is not None
        if address_in(sentence) or (not fenced and _KEY.search(sentence)):
            spoken.add(number)
    if address_in(" ".join(block.split())):
        for number in range(max(len(said) - WIDTH, 0) + 1):
            within = range(number, min(number + WIDTH, len(said)))
            if spoken.isdisjoint(within) and address_in(
                " ".join(" ".join(said[place].split()) for place in within)
            ):
                spoken.update(within)
    if not spoken:
        return block
    beside = {near for number in spoken for near in range(number - REACH, number + REACH + 1)}
    gone = {place for number, place in enumerate(places) if number in beside}
    return "".join(piece for place, piece in enumerate(pieces) if place not in gone)


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
