"""The merge queue's decisions: what is tested again on the merged tree, and which of a batch is to blame.

Invariants (property-tested):
- whatever lands was tested on exactly the tree that lands, unless that tree is the one that was reviewed;
- a change is blamed only where its predecessors pass without it and fail with it;
- with ``n`` changes of which ``k`` are blamed, no more than ``k * (1 + ceil(log2 n)) + 1`` test runs are made.

Source: ADR 0018.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import ceil

from pydantic import Field

from pantheon.core.flow import Flow, FlowNode
from pantheon.core.model import Frozen
from pantheon.core.suite import SuitePolicy


class MergePolicy(Frozen):
    """``[merge]`` of ``policies/gate.toml``."""

    batch: int = Field(default=1, ge=1, le=64)
    """Allowed changes that are put together and tested once; where that fails, bisection finds the one to blame."""


def widen_slots(slots: Mapping[str, int], policy: MergePolicy) -> Mapping[str, int]:
    """Return a night's slots with room for a whole batch of merges to wait together.

    Args:
        slots: resource -> slots; ``git`` is what merges hold.
        policy: how what was allowed lands.
    """
    return {**slots, "git": max(slots["git"], policy.batch)} if "git" in slots else slots


def why_too_short(node: FlowNode, flow: Flow, tests: SuitePolicy | None) -> str:
    """Return why a merge node could not have the tests run again; empty when it can, or need not."""
    if node.gate != "merge" or tests is None or all(one.gate != "test" for one in flow.node):
        return ""
    least = ceil(2 * tests.wall_s)
    if node.timeout_s >= least:
        return ""
    return (
        f"timeout_s = {node.timeout_s}: the tests run again on a merged tree and on the branch, which may take "
        f"{least} s (twice tests.wall_s of policies/gate.toml)"
    )


@dataclass(frozen=True, slots=True)
class Retest:
    """What a change has to pass again on top of the branch as it is."""

    checks: bool
    """The deterministic checks."""
    tests: bool
    """The repository's own tests."""
    shared: tuple[str, ...]
    """Files that both the change and the branch have touched since the change was made."""


def decide_retest(own: Iterable[str], moved: Iterable[str], *, tested: bool) -> Retest:
    """Decide what a change has to pass again before it lands.

    Args:
        own: paths that the change touches.
        moved: paths in which the branch differs from the change's base.
        tested: whether the change's flow has the repository's tests run; then any difference touches it, for a test
            may read every file.
    """
    differs = frozenset(moved)
    return Retest(
        checks=bool(differs), tests=bool(differs) and tested, shared=tuple(sorted(differs & set(own)))
    )


@dataclass(frozen=True, slots=True)
class Bisection:
    """The search for the first change of a batch with which the tests fail.

    A prefix is what the batch's first so many changes come to, one on top of the other.
    """

    size: int
    """Number of changes."""
    passing: int = 0
    """Length of the longest prefix that passes, by test or because it needs none."""
    failing: int | None = None
    """Length of the shortest prefix that fails; None where none is known."""

    @property
    def probe(self) -> int | None:
        """Length of the prefix to test next; None when nothing is left to find out."""
        if self.failing is None:
            return self.size if self.passing < self.size else None
        between = self.failing - self.passing
        return self.passing + between // 2 if between > 1 else None

    @property
    def guilty(self) -> int | None:
        """Place of the change to blame, once ``probe`` is None; None when the whole batch passes."""
        return None if self.failing is None else self.failing - 1

    def learn(self, length: int, *, passed: bool) -> "Bisection":
        """Return the search after the prefix of this length was tested."""
        return replace(self, passing=length) if passed else replace(self, failing=length)


class Merge(Frozen):
    """A change on its way onto the night's branch: what was reviewed, and what lands."""

    base: str
    head: str
    tree: str
    """Tree of the head, for which the verdicts were given."""
    parent: str
    """Commit of the branch that it lands on."""
    commit: str
    merged: str
    """Tree that lands."""
    checks: bool
    """Whether the deterministic checks were passed again, on the merged tree."""
    tests: bool
    """Whether the repository's tests were passed again, on a tree that holds the merged one's change."""
    shared: tuple[str, ...]
    """Files that both the change and the branch have touched."""
