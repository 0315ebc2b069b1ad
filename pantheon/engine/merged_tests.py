"""The repository's own tests once more, on a tree that is about to land: no worse than on the night's branch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pantheon.core.errors import PreflightError, SandboxError
from pantheon.core.test_comparison import Comparison, compare_suites, needs_rerun
from pantheon.engine.services import Services
from pantheon.engine.suite_runner import SuiteRun


@dataclass(frozen=True, slots=True)
class MergedRun:
    """What the tests said of a merged tree."""

    parent: str
    commit: str
    reasons: tuple[str, ...]
    """What speaks against it; empty when it is no worse than the branch."""
    comparison: Comparison | None
    """None where the run came to no report."""

    def as_data(self) -> Mapping[str, Any]:
        """Return it as JSON-ready data."""
        return {
            "parent": self.parent,
            "commit": self.commit,
            "reasons": list(self.reasons),
            "comparison": None if self.comparison is None else self.comparison.model_dump(mode="json"),
        }


async def run_merged_tests(services: Services, parent: str, commit: str) -> MergedRun:
    """Run the tests on a merged tree and compare with the branch it would land on.

    Both are kept by their trees: what landed is the branch that the next change is compared with.

    Raises:
        SandboxError: the sandbox failed, or the branch itself cannot be tested, which is no fault of the change.
        GitError, StoreError: the commits or what was kept cannot be read.
        PreflightError: nothing says how the tests are run.
    """
    policy, runner = services.content.gate_policy.tests, services.suites
    if policy is None or runner is None:
        raise PreflightError("policies/gate.toml: tests: missing; it names the command that runs the tests")
    merged = (await runner.base(policy, commit, reruns=0))[-1]
    if merged.report is None:
        return MergedRun(parent, commit, (f"on the merged tree {merged.problem}",), None)
    runs: tuple[SuiteRun, ...] = await runner.base(policy, parent, reruns=0)
    if runs[-1].report is not None and needs_rerun(runs[-1].report, merged.report):
        runs = await runner.base(policy, parent, reruns=policy.reruns)
    if runs[-1].report is None:
        raise SandboxError(f"the tests on the night's branch: {runs[-1].problem}")
    reruns = [run.report for run in runs[1:] if run.report is not None]
    found = compare_suites(runs[0].report, merged.report, reruns=reruns)
    return MergedRun(parent, commit, found.reasons, found)
