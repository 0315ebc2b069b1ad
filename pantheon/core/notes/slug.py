"""File names from titles: kebab-case, ASCII, bounded; and which names say nothing."""

import re
import unicodedata

MAX_SLUG = 80
_CONVENTIONAL = frozenset(
    "readme index changelog license licence contributing security authors notice summary agents".split()
)
"""Names that tools and people look for; a note that has one keeps it, and no title makes one."""
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul"} | {f"{kind}{n}" for kind in ("com", "lpt") for n in range(10)}
)
"""Names that cannot be checked out on every system."""
_LETTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "ae", "ø": "o", "Ø": "o", "œ": "oe", "Œ": "oe", "ł": "l", "Ł": "l"}
    | {"đ": "d", "Đ": "d", "ð": "d", "þ": "th", "ı": "i", "µ": "u"}
)
"""Latin letters that do not decompose."""
_NOTHING = frozenset(
    "untitled note notes new draft doc document file temp tmp misc copy scratch todo page text".split()
)


def slugify(title: str) -> str:
    """Return the kebab-case form of a title.

    Raises:
        ValueError: nothing of the title can stand in a file name, or the name is reserved.
    """
    folded = unicodedata.normalize("NFKD", _spelled_out(title).translate(_LETTERS))
    ascii_only = re.sub(r"['’`]", "", folded).encode("ascii", "ignore").decode().lower()
    words = [word for word in re.split(r"[^a-z0-9]+", ascii_only) if word]
    if not words:
        raise ValueError(f"{title[:60]!r} has nothing that can stand in a file name")
    slug = words[0][:MAX_SLUG]
    for word in words[1:]:
        if len(slug) + 1 + len(word) > MAX_SLUG:
            break
        slug = f"{slug}-{word}"
    slug = re.sub(r"(-(a|an|and|for|in|of|on|or|the|to|with))+$", "", slug)
    if slug in _CONVENTIONAL or slug in _DEVICES:
        raise ValueError(f"{slug!r} is a reserved name")
    return slug


def _spelled_out(title: str) -> str:
    """Return the title with the signs of names such as C++ and C# as words; a heading's ``#`` is none."""
    return re.sub(r"(?<=\w)#(?!\w)", " sharp ", re.sub(r"(?<=\w)\+\+", " plus plus ", title))


def is_conventional(name: str) -> bool:
    """Tell whether a file has a name by which it is looked for, such as ``README.md``."""
    return name.rpartition(".")[0].lower() in _CONVENTIONAL


def is_descriptive(name: str) -> bool:
    """Tell whether a file name says what the file is about: two telling words, not a date or a number.

    A conventional name says it too.
    """
    if is_conventional(name):
        return True
    stem = name.rpartition(".")[0] or name
    words = [word.lower() for word in re.split(r"[^A-Za-z0-9]+", stem) if word]
    telling = [word for word in words if re.fullmatch(r"[a-z][a-z0-9]*[a-z][a-z0-9]*", word)]
    return len([word for word in telling if word not in _NOTHING]) >= 2


def is_kebab(name: str) -> bool:
    """Tell whether a file name is kebab-case with one extension."""
    return re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*\.[a-z0-9]+", name) is not None


def is_final(name: str) -> bool:
    """Tell whether a file name can stay: a conventional one, or one that is descriptive and kebab-case."""
    return is_conventional(name) or (is_descriptive(name) and is_kebab(name))
