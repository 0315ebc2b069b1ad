"""Names that a text about a note cannot have from it: products, people, technical terms.

A word is taken for a name only where its spelling says so: capitals inside a word or throughout, a digit in it, or a
capital where no sentence begins. In a title whose words are all capitalised that last says nothing; there a word is a
name when the description, or what else the author of the title was shown, writes it as one.
"""

import math
import re
from collections.abc import Iterable

MIN_CHARS, MAX_CHARS = 2, 30
"""Letters of a name. What is longer may be a key or a token: another check looks for those without repeating them."""
SHORT = 3
"""Terms of so few letters are looked up as beginnings of words; any text has them somewhere inside one."""
TITLE_CASE = 0.5
NOUN_CASE = 0.2
"""Share of capitals inside a note's sentences from which on its language writes nouns with them."""
NEAR = 8
"""Letters before a word in which the end of another sentence is looked for."""
_WORD = re.compile(r"[^\W_][\w]*(?:[.+#][^\W_]\w*)*[+#]*")
_OPENING = re.compile(r"(?:[.!?:;\"“”‘(\[|/–—-]|\s-)\s*$")
_GENERAL = frozenset(
    "AI API ASCII CI CD CLI CPU CSS CSV DB DNS EU FAQ FTP GPU GUI HTML HTTP HTTPS ID IDE IMAP IO IP IT JPEG JSON LAN"
    " LED OK OOM OS PC PDF PNG QR RAM REST ROM RSS SDK SMS SMTP SQL SSD SSH SSL SVG TCP TLS TV UDP UI UK URL US USA USB"
    " UTC UTF UX VM VPN WLAN WiFi XML YAML ZIP".split()
)
"""Abbreviations of general use, by which a text may well call what its note writes out."""
_CALENDAR = frozenset(
    "monday tuesday wednesday thursday friday saturday sunday january february march april may june july august"
    " september october november december".split()
)
_DATE = re.compile(r"\d{4}-\d{2}|\d{1,2}[./]\d{1,2}[./]")
_SHORT_FORMS = {"javascript": "js", "typescript": "ts", "kubernetes": "k8s", "python": "py"}
BEGINNING = (4, 0.6)
"""Letters, and share of a name's, from which on a word of the note that the name begins with is that name."""
_POSSESSIVE = re.compile(r"['’]s?(?!\w)")


def names_in(text: str) -> tuple[str, ...]:
    """Return the words of a text that its spelling marks as names, each once, in their order."""
    text = _POSSESSIVE.sub(" ", text)
    inside = not _is_title_case(text)
    found = [
        match.group()
        for match in _WORD.finditer(text)
        if _is_term(match.group()) or (inside and _is_capital(match.group()) and not _begins(text, match))
    ]
    return tuple(dict.fromkeys(found))


def foreign_names(text: str, note: str, named: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the names in a text that its note does not have, whatever its case, plural or compound.

    Args:
        text: a title or description.
        note: the whole text of the note.
        named: words that are names wherever they stand.
    """
    known = {name.lower() for name in named}
    words = _words(note)
    joined, initials = "".join(words), "".join(word[0] for word in words)
    whole = frozenset(words) | {_plain(word) for word in _WORD.findall(note)}
    nouns = _writes_nouns_with_capitals(note)
    found = [name for name in names_in(text) if _is_term(name) or not nouns]
    found += [
        match.group()
        for match in _WORD.finditer(_POSSESSIVE.sub(" ", text))
        if match.group().lower() in known and match.group()[0].isupper() and match.group() not in found
    ]
    dated = _DATE.search(note) is not None
    return tuple(
        name
        for name in found
        if not _is_held(name, joined, whole, initials) and not (dated and name.lower() in _CALENDAR)
    )


def _is_held(name: str, joined: str, words: frozenset[str], initials: str) -> bool:
    plain = _plain(name)
    forms = [plain, plain.removesuffix("s"), plain.removesuffix("es")]
    if name.isupper() and plain in initials:
        # An abbreviation of words that the note writes out.
        return True
    if plain in _CALENDAR and plain[:SHORT] in words:
        return True
    least, share = BEGINNING
    if _SHORT_FORMS.get(plain, plain) in words or any(
        plain[:size] in words for size in range(max(least, math.ceil(len(plain) * share)), len(plain))
    ):
        return True
    if len(plain) <= SHORT:
        return any(word.startswith(form) for form in forms[:2] for word in words if form)
    return any(form in joined for form in forms)


def _is_term(word: str) -> bool:
    """Tell whether a word's spelling alone makes it a term: API, GitHub, IPv6."""
    letters = [char for char in word if char.isalpha()]
    if not MIN_CHARS <= len(word) <= MAX_CHARS or not letters or _is_general(word):
        return False
    if any(char.isdigit() for char in word):
        return not word[0].isdigit()
    return any(char.isupper() for char in word[1:])


def _is_capital(word: str) -> bool:
    return MIN_CHARS <= len(word) <= MAX_CHARS and word[0].isupper() and not _is_general(word)


def _is_general(word: str) -> bool:
    return word in _GENERAL or word.removesuffix("s") in _GENERAL


def _begins(text: str, match: re.Match[str]) -> bool:
    """Tell whether a capital may be there because a sentence, a quotation or a second half of a word begins."""
    before = text[max(match.start() - NEAR, 0) : match.start()]
    return not before.strip() or _OPENING.search(before) is not None


def _is_title_case(text: str) -> bool:
    inside = [word for word in _WORD.findall(text)[1:] if len(word) > SHORT]
    return bool(inside) and sum(word[0].isupper() for word in inside) >= TITLE_CASE * len(inside)


def _writes_nouns_with_capitals(note: str) -> bool:
    words = (match for match in _WORD.finditer(note) if match.group().isalpha() and not _begins(note, match))
    prose = [match.group() for match in words if not _is_term(match.group())]
    return sum(map(_is_capital, prose)) > NOUN_CASE * len(prose)


def _words(text: str) -> list[str]:
    return [_plain(word) for word in re.findall(r"[^\W_]+", text)]


def _plain(text: str) -> str:
    return "".join(char for char in text.lower() if char.isalnum())
