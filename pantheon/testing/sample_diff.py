"""The diff of a made-up change."""

from collections.abc import Callable

Say = Callable[[str], str]


def diff(path: str, title: str, say: Say) -> str:
    """Return a diff that renames a note and gives it front matter."""
    folder = path.rpartition("/")[0]
    new = f"{folder}/{path.rpartition('.note-')[2].removesuffix('.md')}-rate-limiter.md"
    return (
        f"diff --git a/{path} b/{new}\nsimilarity index 71%\nrename from {path}\nrename to {new}\n"
        f"index 1111111..2222222 100644\n--- a/{path}\n+++ b/{new}\n@@ -1,3 +1,8 @@\n+---\n+title: {title}\n"
        f"+description: {say('Counts requests in a sliding window')}\n+tags: [limits, http]\n+---\n"
        f" {say('The limiter counts requests.')}\n-{say('old line')}\n+{say('new line')}\n unchanged\n"
    )
