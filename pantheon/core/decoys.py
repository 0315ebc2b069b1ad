"""Known-wrong alternatives for contrastive reviews.

A decoy must be wrong for certain: one whose words occur in the target could be right and is left out. Among
the rest the hardest come first: those that share most words with the proposal.
"""

import re
from collections.abc import Iterable

from pantheon.core.canonical import digest_bytes
from pantheon.core.model import Frozen

MAX_GROUNDED = 0.4
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


def content_words(text: str) -> frozenset[str]:
    """Return the words that carry a text's subject, lower-case, plural endings cut."""
    found = (word.lower() for word in _WORD.findall(text))
    return frozenset(_stem(word) for word in found if word not in _STOP)


def grounded_share(text: str, target: frozenset[str]) -> float:
    """Return the share of a text's content words that the target has; 1 for a text without any."""
    words = content_words(text)
    return len(words & target) / len(words) if words else 1.0


def choose_decoys(
    proposal: str, target: str, candidates: Iterable[str], *, count: int, salt: str
) -> tuple[str, ...]:
    """Return up to ``count`` candidates that are wrong for ``target``, the hardest first.

    Args:
        proposal: the text under review.
        target: the whole text that it describes.
        candidates: texts of the same kind about other things.
        count: number wanted.
        salt: breaks ties differently from task to task, the same way each time.
    """
    words = content_words(target)
    own = content_words(proposal)
    wrong = {
        candidate
        for candidate in candidates
        if candidate != proposal and grounded_share(candidate, words) <= MAX_GROUNDED
    }
    return tuple(
        sorted(
            wrong,
            key=lambda text: (-len(content_words(text) & own), digest_bytes(f"{salt}\0{text}".encode())),
        )[:count]
    )


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 4 and word.endswith("s") and not word.endswith("ss") else word
