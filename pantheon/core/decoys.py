"""Known-wrong alternatives for contrastive reviews.

A decoy must be wrong for certain: one whose words occur in the target could be right and is left out. Among
the rest the hardest come first: those of things that have most words in common with the target. They do not depend on
the proposal: a wrong proposal is held against alternatives that are as near to the target as it is itself.
"""

import re
from collections.abc import Iterable, Mapping

from pantheon.core.canonical import digest_bytes
from pantheon.core.model import Frozen

MAX_GROUNDED = 0.5
POOL = 2
"""From how many times as many of the hardest the decoys are drawn, so that reviewers do not all get the same ones."""
_WORD = re.compile(r"[^\W\d_][\w+#]{2,}")
_STOP = frozenset(
    "the and for with from into that this what when where which how why its are was were has have had not but "
    "you your our their them they then than also can could should would will may might about over under using "
    "use used between versus via per each any all one two some more most other".split()
)


class Metadata(Frozen):
    """What a note is catalogued under."""

    title: str
    description: str
    tags: tuple[str, ...]

    def text(self, field: str) -> str:
        """Return a field as one line of text."""
        return ", ".join(self.tags) if field == "tags" else str(getattr(self, field))

    def whole(self) -> str:
        """Return all fields as one text."""
        return f"{self.title} {self.description} {', '.join(self.tags)}"


def content_words(text: str) -> frozenset[str]:
    """Return the words that carry a text's subject, lower-case, plural endings cut."""
    found = (word.lower() for word in _WORD.findall(text))
    return frozenset(_stem(word) for word in found if word not in _STOP)


def grounded_share(text: str, target: frozenset[str]) -> float:
    """Return the share of a text's content words that the target has; 1 for a text without any."""
    words = content_words(text)
    return len(words & target) / len(words) if words else 1.0


def is_near(word: str, words: frozenset[str]) -> bool:
    """Tell whether a word, or one with the same beginning, is among content words."""
    stem = word[: max(4, len(word) - 3)]
    return word in words or (len(word) >= 5 and any(other.startswith(stem) for other in words))


def choose_decoys(
    proposal: str,
    target: str,
    candidates: Iterable[str],
    *,
    count: int,
    salt: str,
    about: Mapping[str, str] | None = None,
) -> tuple[str, ...]:
    """Return up to ``count`` candidates that are wrong for ``target``, drawn from the hardest.

    Args:
        proposal: the text under review.
        target: the whole text that it describes.
        candidates: texts of the same kind about other things.
        count: number wanted.
        salt: draws differently from task to task and from reviewer to reviewer, the same way each time.
        about: candidate -> all that is said about its thing, to tell how near that is; by default the candidate alone.
    """
    words = content_words(target)
    wrong = {
        candidate
        for candidate in candidates
        if candidate != proposal and grounded_share(candidate, words) <= MAX_GROUNDED
    }

    def rank(text: str) -> tuple[int, str]:
        said = text if about is None else about.get(text, text)
        return -len(content_words(said) & words), digest_bytes(f"{salt}\0{text}".encode())

    nearest = sorted(wrong, key=rank)[: count * POOL]
    return tuple(sorted(nearest, key=lambda text: digest_bytes(f"{salt}\0{text}".encode()))[:count])


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 4 and word.endswith("s") and not word.endswith("ss") else word
