"""Deterministic checks of the metadata that a model proposes for a note.

Small models copy the prompt, greet, stop in mid-sentence, drift into another script and invent tags. Each of
these is a named check with a reason that can go back to the model as it is. A check never needs a model.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from pantheon.core.decoys import Metadata, content_words, is_near
from pantheon.core.notes.address import address_in
from pantheon.core.notes.detailcheck import check_details
from pantheon.core.notes.names import names_in
from pantheon.core.notes.unheard import audible, heard_of, stray_part
from pantheon.core.visible import visible

TITLE_CHARS, TITLE_WORDS = (8, 90), (2, 14)
DESCRIPTION_CHARS = (30, 260)
CUT_ZONE = 10
"""A text that ends this close to the limit, and not with a sentence, was stopped by it."""
TAGS = (3, 8)
TAG_CHARS = 40
ECHO_WORDS = 5
MARKS = 2
"""Combining marks that may follow one another; Vietnamese needs two on a letter, a pile of them hides the text."""
_GREETING = re.compile(
    r"(here('s| is| are)|of course|hell yes|great question|i'?m sorry|as an ai|this (note|document|text|file))\b"
    r"|(sure|certainly|hello|hi|hey|yes|okay|ok|absolutely|exactly|alright|perfect)"
    r"(\s*[!,.:;\u2013\u2014]|\s+-|\s+(thing|here|this|i|i'll|let|let's|there|team|all|everyone|everybody|so)\b)",
    re.IGNORECASE,
)
"""A phrase that only chat begins with; or a word that a subject may begin with too, when it is set off as chat does."""
_GENERIC = frozenset(
    "a an the of and for in on to with note notes overview introduction summary document documents file text "
    "title description idea ideas thought thoughts misc miscellaneous stuff topic topics general various some "
    "more about project work working information details content discussion conversation untitled new draft "
    "guide example examples sample question questions answer answers this that".split()
)
_DANGLING = frozenset(
    "a an the and or but of in on at to for with by from as is are was were that which how using via including "
    "into between their its your our be such like".split()
)
_PLACEHOLDER = re.compile(
    r"\b(lorem|ipsum|placeholder|noun phrase|lower-?case topics?|insert|todo|tbd|xxx)\b|\.\.\.", re.I
)
_UNWANTED = re.compile(
    r"<[a-z/!]|https?://|[\n\r\t]|\[[^\]]*\]\(|\[\[|\{\{|`|(?<!\w)\*\*\w|^#+\s|^\s|\s$"
    r"|&#x?[0-9a-f]|&[a-z][a-z0-9]+;",
    re.IGNORECASE,
)
_MARKS = re.compile(
    r"(`+)(?![\s`])([^`]*[^\s`])\1(?!`)|(?<!\w)\*\*(?![\s*])([^*]*[^\s*])\*\*(?!\w)|^(?:#+\s+)+"
)
"""What marks code, strong words and headings."""


class Problem(NamedTuple):
    """One failed check."""

    check: str
    """Stable name."""
    reason: str
    """A short sentence that says what is wrong; fit to be sent back to the model."""


def normalise_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return tags in kebab-case, lower case, without repetitions, in their order."""
    found = []
    for tag in tags:
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", tag).lower())
        kebab = re.sub(r"-{2,}", "-", re.sub(r"[\s_/.,:;()'\"`]+", "-", folded)).strip("-").lstrip("#-")
        if kebab and kebab not in found:
            found.append(kebab)
    return tuple(found)


def tidy(proposal: Metadata, note: str) -> Metadata:
    """Return a proposal with everything put right that is mechanical.

    Space and punctuation at the ends, the marks of code and strong words, a description that was stopped at the
    limit cut back to its last whole sentence, tags in kebab-case, and, as long as enough are left, without the
    tags that are generic or not in the note.
    """
    title = _plain(proposal.title).rstrip(" .:;,!")
    description = _plain(proposal.description)
    if description and description[-1].isalnum():
        description = _end_sentence(description)
    tags = normalise_tags(proposal.tags)
    words, lowered = content_words(note), note.lower()
    kept = tuple(tag for tag in tags if not list(_check_tag(tag, lowered, words)))
    return Metadata(
        title=title, description=description, tags=(kept if len(kept) >= TAGS[0] else tags)[: TAGS[1]]
    )


def _plain(text: str) -> str:
    """Return a text on one line and without the marks of code, strong words and headings."""
    before, text = "", " ".join(text.split())
    while text != before:
        before, text = text, _MARKS.sub(lambda found: found.group(2) or found.group(3) or "", text).strip()
    return text


def _end_sentence(text: str) -> str:
    """Return a text with its full stop; one as long as texts may be was stopped, and loses what it had begun."""
    if len(text) < DESCRIPTION_CHARS[1] - CUT_ZONE:
        return text + "."
    whole = text[: text.rfind(". ") + 1]
    return whole if len(whole) >= DESCRIPTION_CHARS[0] else text


def check_metadata(proposal: Metadata, note: str, *, prompt_texts: Sequence[str] = ()) -> tuple[Problem, ...]:
    """Return what is wrong with a proposal, in a stable order; empty when nothing is.

    Args:
        proposal: title, description and tags, tags normalised.
        note: the whole text of the note.
        prompt_texts: what the model was shown besides the note: instructions and worked examples.
    """
    # What only speaks to a judge, or has the proposal word for word, does not bear it out.
    borne_out = audible(note, (proposal.title, proposal.description))
    words = content_words(borne_out)
    heard = heard_of(note, borne_out)
    where = f"what counts of the note ({heard.left_out})" if heard.left_out else "the note"
    shown = {name for text in prompt_texts for name in names_in(text)}
    named = {"title": shown.union(names_in(proposal.description)), "description": shown}
    problems: list[Problem] = []
    for name, text in (("title", proposal.title), ("description", proposal.description)):
        problems += _check_text(name, text, note, prompt_texts)
        problems += [Problem(*found) for found in check_details(name, text, note, named[name], borne_out)]
        if part := stray_part(text, borne_out):
            problems.append(
                Problem(f"{name}-strays", f"{name}: a part of it says nothing of the note ({part[:40]!r}).")
            )
    if not heard.is_enough:
        problems.append(
            Problem(
                "note-heard",
                f"note: {heard.unspoken} of its {heard.whole} characters count; the rest speaks to whoever judges it. "
                "Leave this note to people.",
            )
        )
    problems += _check_title(proposal.title, words, where)
    problems += _check_description(proposal, words, where)
    problems += _check_tags(proposal.tags, note, content_words(note))
    if said := address_in(". ".join(proposal.tags), borne_out):
        problems.append(Problem("tags-address", f"tags: speak to whoever judges them ({said!r})."))
    return tuple(problems)


def _check_text(name: str, text: str, note: str, prompt_texts: Sequence[str]) -> Iterable[Problem]:
    if _UNWANTED.search(text) or visible(text) != text:
        yield Problem(f"{name}-plain", f"{name}: plain text only, without markup, links or line breaks.")
    if _longest_pile(text) > MARKS:
        yield Problem(f"{name}-marks", f"{name}: at most {MARKS} accents on one letter.")
    if _GREETING.match(text):
        yield Problem(f"{name}-greeting", f"{name}: starts like a chat answer; name the subject instead.")
    placeholder = _PLACEHOLDER.search(text)
    if placeholder is not None and not _is_word_of(placeholder.group(), note):
        yield Problem(f"{name}-placeholder", f"{name}: holds a placeholder.")
    if echo := _echo(text, note, prompt_texts):
        yield Problem(f"{name}-echo", f"{name}: repeats the instructions or an example ({echo!r}).")
    if strange := strange_script(text, note):
        yield Problem(f"{name}-script", f"{name}: drifts into another script ({strange!r}).")
    last = re.sub(r"[^\w]+$", "", text).rpartition(" ")[2].lower()
    if last in _DANGLING or text.endswith((",", "-", "(", ":", ";", "/")):
        yield Problem(f"{name}-cut", f"{name}: breaks off at its end; write it shorter and whole.")
    if text.count("(") != text.count(")") or text.count('"') % 2:
        yield Problem(f"{name}-cut", f"{name}: a bracket or quote is not closed.")


def _longest_pile(text: str) -> int:
    """Return how many combining marks follow one another at most."""
    piles = groupby(unicodedata.category(char)[0] == "M" for char in text)
    return max((len(list(pile)) for mark, pile in piles if mark), default=0)


def _is_word_of(placeholder: str, note: str) -> bool:
    """Tell whether a word that often is a placeholder is one that the note itself uses."""
    return placeholder != "..." and placeholder.lower() in note.lower()


def _check_title(title: str, words: frozenset[str], where: str) -> Iterable[Problem]:
    found = title.split()
    if (
        not TITLE_CHARS[0] <= len(title) <= TITLE_CHARS[1]
        or not TITLE_WORDS[0] <= len(found) <= TITLE_WORDS[1]
    ):
        yield Problem(
            "title-length",
            f"title: {TITLE_WORDS[0]} to {TITLE_WORDS[1]} words and at most {TITLE_CHARS[1]} letters.",
        )
    if title.endswith((".", "!", "?")):
        yield Problem("title-end", "title: no punctuation at the end.")
    telling = [word for word in re.findall(r"[^\W_][\w+#.-]*", title.lower()) if word not in _GENERIC]
    if len(telling) < 2:
        yield Problem("title-generic", "title: would fit any note; name what is special about this one.")
    if title.count(",") >= 3:
        yield Problem(
            "title-list",
            "title: lists too many subjects; write one title of at most eight words for the whole note.",
        )
    own = content_words(title)
    if own and len([w for w in own if is_near(w, words)]) * 2 < len(own):
        yield Problem("title-grounded", f"title: most of its words are not in {where}.")


def _check_description(proposal: Metadata, words: frozenset[str], where: str) -> Iterable[Problem]:
    text = proposal.description
    if not DESCRIPTION_CHARS[0] <= len(text) <= DESCRIPTION_CHARS[1]:
        yield Problem(
            "description-length",
            f"description: {DESCRIPTION_CHARS[0]} to {DESCRIPTION_CHARS[1]} letters, one or two sentences.",
        )
    if not text.rstrip("\"')").endswith((".", "!", "?")):
        yield Problem("description-cut", "description: too long; write one short sentence.")
    if content_words(text) <= content_words(proposal.title):
        yield Problem("description-repeats", "description: only repeats the title; say what the note tells.")
    own = content_words(text)
    if own and len([w for w in own if is_near(w, words)]) * 5 < len(own) * 2:
        yield Problem("description-grounded", f"description: most of its words are not in {where}.")


def _check_tags(tags: Sequence[str], note: str, words: frozenset[str]) -> Iterable[Problem]:
    if not TAGS[0] <= len(tags) <= TAGS[1]:
        yield Problem("tags-count", f"tags: {TAGS[0]} to {TAGS[1]} different ones.")
    if len(set(tags)) < len(tags):
        yield Problem("tags-count", "tags: one stands twice.")
    lowered = note.lower()
    for tag in tags:
        yield from _check_tag(tag, lowered, words)


def _check_tag(tag: str, lowered: str, words: frozenset[str]) -> Iterable[Problem]:
    if len(tag) > TAG_CHARS or not re.fullmatch(r"[^\W_][\w+#-]*", tag) or normalise_tags((tag,)) != (tag,):
        yield Problem("tags-form", f"tags: {tag[:50]!r} is not a short lower-case tag.")
    elif all(part in _GENERIC for part in tag.split("-")):
        yield Problem("tags-generic", f"tags: {tag!r} would fit any note.")
    elif not _tag_grounded(tag, lowered, words):
        yield Problem("tags-grounded", f"tags: {tag!r} is not in the note.")


def _tag_grounded(tag: str, lowered: str, words: frozenset[str]) -> bool:
    """Tell whether a tag is in or near the text: as it is, joined, or most of its parts."""
    joined = tag.replace("-", "")
    if tag in lowered or joined in re.sub(r"[\s_-]+", "", lowered):
        return True
    parts = [part for part in tag.split("-") if part not in _DANGLING]
    near = [part for part in parts if part in lowered or is_near(part, words)]
    return len(near) * 2 >= len(parts) and bool(near)


def _echo(text: str, note: str, prompt_texts: Sequence[str]) -> str:
    """Return a run of words that the text has from the prompt but not from the note."""
    own = _words(text)
    size = min(ECHO_WORDS, len(own))
    if size < 3:
        return ""
    mine = {tuple(own[i : i + size]) for i in range(len(own) - size + 1)}
    known = _runs(_words(note), size)
    for prompt in prompt_texts:
        for run in sorted(mine & _runs(_words(prompt), size)):
            if run not in known:
                return " ".join(run)
    return ""


def _runs(words: Sequence[str], size: int) -> set[tuple[str, ...]]:
    return {tuple(words[i : i + size]) for i in range(len(words) - size + 1)}


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def strange_script(text: str, note: str) -> str:
    """Return the first letters of a text in a script that its note does not use; look-alikes of Latin ones too."""
    known = {_script(char) for char in set(note) if char.isalpha()} | {"LATIN"}
    return "".join(char for char in text if char.isalpha() and _script(char) not in known)[:10]


def _script(char: str) -> str:
    return unicodedata.name(char, "UNKNOWN").split(" ")[0]
