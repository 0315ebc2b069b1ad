"""What became of a landed change in a branch of the user's: kept, changed, reverted, or not merged yet.

Invariants (property-tested):
- what was not merged is open, or reverted where it was taken back before;
- a line that is lost never makes a fate better;
- only the lines that the change brought count: somebody who writes elsewhere in the file has not changed it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Literal

from pantheon.core.figures import Rate, wilson
from pantheon.core.history import UNDONE_TRAILER, Commit
from pantheon.core.model import Frozen


class Fate(StrEnum):
    """What people made of a change."""

    KEPT = "kept"
    CHANGED = "changed"
    REVERTED = "reverted"
    OPEN = "open"
    """Not merged yet."""


class FileTrace(Frozen):
    """One file of a merged change, then and now."""

    path: str
    """As the change left it."""
    now: str | None
    """Its name in the branch now; None where it is gone."""
    same: bool
    """Whether its content is the one that the change left."""
    added: int
    """Lines that the change brought."""
    left: int
    """Those of them that are there still."""


class Trace(Frozen):
    """One change, as git tells of it."""

    taken_back: bool = False
    """On the night's branch, before anybody merged it."""
    merged: str | None = None
    """The commit that brought it into the branch."""
    reverted_by: str | None = None
    """The commit there that says it reverts it."""
    files: tuple[FileTrace, ...] = ()


def classify(trace: Trace) -> tuple[Fate, str]:
    """Return a change's fate and how one sees it."""
    if trace.merged is None:
        return (
            (Fate.REVERTED, "taken back before it was merged")
            if trace.taken_back
            else (Fate.OPEN, "not merged")
        )
    if trace.reverted_by is not None:
        return Fate.REVERTED, f"reverted by {trace.reverted_by[:12]}"
    there = [one for one in trace.files if one.now is not None]
    if trace.files and not there:
        return Fate.REVERTED, "its files are gone"
    added, left = sum(one.added for one in trace.files), lines_left(trace)
    if added and not left:
        return Fate.REVERTED, f"none of its {added} lines is left"
    gone = [one.path for one in trace.files if one.now is None]
    moved = [one for one in there if one.now != one.path]
    if left < added:
        return Fate.CHANGED, f"{left} of its {added} lines are left"
    if gone:
        return Fate.CHANGED, f"{gone[0]} is gone"
    if moved:
        return Fate.CHANGED, f"{moved[0].path} is {moved[0].now} now"
    return Fate.KEPT, "as it landed" if all(one.same for one in there) else "its lines are all there"


def lines_left(trace: Trace) -> int:
    """Return how many of a change's lines are there still."""
    return sum(
        0 if one.now is None else one.added if one.same else min(one.left, one.added) for one in trace.files
    )


def find_merged(commits: Sequence[Commit], night: str, task: str, landed: str) -> Commit | None:
    """Return the last commit of a branch that brings a change: the landed one itself, or one that says so."""
    for one in reversed(commits):
        if one.id == landed or ((night, task) in one.landed and task not in one.said(UNDONE_TRAILER)):
            return one
    return None


class ChangeFate(Frozen):
    """One change with all that is known of it."""

    night: str
    task: str
    package: str
    commit: str
    """As it landed."""
    merged: str | None
    fate: Fate
    how: str
    lines_added: int
    lines_left: int
    agents: tuple[tuple[str, str], ...]
    """(agent, version) of those that made it."""
    reviewers: tuple[tuple[str, str], ...]
    """(reviewer, version) of those that passed it."""


class Tally(Frozen):
    """The fates of the changes that one version of an agent made, or of a reviewer passed."""

    role: Literal["agent", "reviewer"]
    name: str
    version: str
    fates: Mapping[Fate, int]
    kept_share: Rate
    """Kept ones among those that were merged or taken back."""


def tally(changes: Iterable[ChangeFate]) -> tuple[Tally, ...]:
    """Return the fates by agent and version, then by reviewer and version."""
    counts: dict[tuple[Literal["agent", "reviewer"], str, str], Counter[Fate]] = defaultdict(Counter)
    for one in changes:
        for name, version in dict.fromkeys(one.agents):
            counts["agent", name, version][one.fate] += 1
        for name, version in dict.fromkeys(one.reviewers):
            counts["reviewer", name, version][one.fate] += 1
    rows = []
    for (role, name, version), found in sorted(counts.items()):
        settled = sum(count for fate, count in found.items() if fate is not Fate.OPEN)
        rows.append(
            Tally(
                role=role, name=name, version=version,
                fates={fate: found[fate] for fate in Fate},
                kept_share=wilson(found[Fate.KEPT], settled),
            )
        )  # fmt: skip
    return tuple(rows)
