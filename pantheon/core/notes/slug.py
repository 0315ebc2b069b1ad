"""File names from titles: kebab-case, ASCII, bounded; and which names say nothing."""

import re
import unicodedata

MAX_SLUG = 64
_RESERVED = frozenset({"con", "prn", "aux", "nul", "index", "readme"})
_NOTHING = frozenset(
    "untitled note notes new draft doc document file temp tmp misc copy scratch todo page text".split()
)


def slugify(title: str) -> str:
    """Return the kebab-case form of a title.

    Raises:
        ValueError: nothing of the title can stand in a file name, or the name is reserved.
    """
    folded = unicodedata.normalize("NFKD", title.replace("++", " plus plus ").replace("#", " sharp "))
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
    if slug in _RESERVED:
        raise ValueError(f"{slug!r} is a reserved name")
    return slug


def is_descriptive(name: str) -> bool:
    """Tell whether a file name says what the file is about: words, not a date or a number."""
    stem = name.rpartition(".")[0] or name
    words = [word.lower() for word in re.split(r"[^A-Za-z0-9]+", stem) if word]
    telling = [word for word in words if re.fullmatch(r"[a-z][a-z0-9]*[a-z][a-z0-9]*", word)]
    return len([word for word in telling if word not in _NOTHING]) >= 2


def is_kebab(name: str) -> bool:
    """Tell whether a file name is kebab-case with one extension."""
    return re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*\.[a-z0-9]+", name) is not None
