"""Notes for tests to have catalogued, and what a scripted model makes of each."""

from typing import Any

from pantheon.testing.night import proposal

TARGET = "docs/2026.01.01.md"
NOTE = b"""queues notes from the call

We compared retries with dead letter queues for the order service. Retries with backoff hide slow consumers,
dead letter queues show them.
"""
NOTES = {
    TARGET: NOTE,
    "docs/2026.01.02.md": b"indexes\n\nThe monthly report needs a composite index on customer and date; the query plan"
    b" shows a sequential scan.\n",
}
"""Path -> content."""


def about_queues(title: str = "Retries versus Dead Letter Queues for Orders") -> dict[str, Any]:
    """Return a good proposal for the note about queues, or for one that says the same."""
    return proposal(
        "order service", title,
        "Compares retries with dead letter queues for the order service and says which one shows slow consumers.",
        "queues", "retries", "orders",
    )  # fmt: skip


PROPOSALS = {
    "queues": about_queues(),
    "caches": proposal(
        "catalogue cache", "Invalidating the Catalogue Cache by Event",
        "Why the catalogue service shows stale prices and how invalidation by event beats lifetimes.",
        "cache", "invalidation", "catalogue service",
    ),
    "indexes": proposal(
        "report index", "A Composite Index for the Monthly Report",
        "The query plan of the monthly report shows a sequential scan; an index on customer and date helps.",
        "index", "query-plan", "report",
    ),
}  # fmt: skip
"""First word of a note -> the proposal for it."""
