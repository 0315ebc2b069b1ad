"""Comments in a note: words that no reader of the page sees."""

import re

_OPENING = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,})|(?<!`)(?P<ticks>`+)(?!`)[^\n]{0,300}?(?<!`)(?P=ticks)(?!`)"
    r"|^\[[^\]\n]*\]:[^\S\n]*#.*$|(?P<comment><!--)",
    re.MULTILINE,
)
"""A comment, or code, in which none begins."""
_CLOSE = "-->"
_BLANK = re.compile(r"\n[^\S\n]*(?:\n|\Z)")


def without_comments(text: str) -> str:
    """Return a text without its comments.

    One that is never closed goes to the end of its block, and only where it begins a line. In code there is none.

    Source: CommonMark 0.31, section 4.6 (what begins an HTML block), section 6.1 (code spans).
    """
    kept: list[str] = []
    place = 0
    last = text.rfind(_CLOSE)
    while (found := _OPENING.search(text, place)) is not None:
        end = found.end()
        if found["fence"]:
            end = _end_of_fence(text, end, found["fence"])
        hidden = not found["fence"] and not found["ticks"]
        if found["comment"] and last >= end:
            end = text.index(_CLOSE, end) + len(_CLOSE)
        elif found["comment"]:
            hidden = not text[text.rfind("\n", 0, found.start()) + 1 : found.start()].strip()
            end = _end_of_block(text, end) if hidden else end
        kept.append(text[place : found.start() if hidden else end])
        place = end
    return "".join([*kept, text[place:]])


def _end_of_fence(text: str, start: int, fence: str) -> int:
    """Return where a fence ends that begins before ``start``; the end of the text where it is never closed."""
    found = re.compile(rf"^ {{0,3}}{fence}{fence[0]}*[^\S\n]*$", re.MULTILINE).search(text, start)
    return found.end() if found else len(text)


def _end_of_block(text: str, start: int) -> int:
    found = _BLANK.search(text, start)
    return found.start() if found else len(text)
