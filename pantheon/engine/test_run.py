"""The test node: the repository's own tests before and after the change, as evidence that cannot be outvoted.

Nothing here raises for what the tests do; it raises only where the night's own parts fail. The node's output is a
report of one check, ``tests``, bound to base, head and tree, and attested like those of the check node.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from pathspec import GitIgnoreSpec
from pydantic import ValidationError

from pantheon.core.errors import StoreError
from pantheon.core.gate import Change, CheckReport, CheckResult
from pantheon.core.records import AttemptOutcome, NodeState
from pantheon.core.suite import SuitePolicy
from pantheon.core.task import Task
from pantheon.core.test_comparison import Claims, Comparison, compare_suites, needs_rerun
from pantheon.core.test_reports import SuiteReport
from pantheon.core.visible import visible
from pantheon.engine.evidence import Evidence
from pantheon.engine.results import NodeResult, failed, succeeded
from pantheon.engine.services import NodeContext, Services
from pantheon.engine.suite_runner import SuiteRun, SuiteRunner
from pantheon.engine.testimony import attest_checks

CHECK = "tests"
MAX_CLAIMS = 100


@dataclass(frozen=True)
class _Run:
    """One execution of the node."""

    services: Services
    context: NodeContext
    evidence: Evidence
    runner: SuiteRunner
    policy: SuitePolicy

    async def compare(self, named: tuple[str, ...]) -> Comparison | SuiteRun:
        """Return the comparison, or the run that spoiled it."""
        head = await self._leave("test_report.json", await self._head())
        if head.report is None:
            return head
        runs = await self._base(reruns=0)
        if runs[-1].report is not None and needs_rerun(runs[-1].report, head.report):
            runs = await self._base(reruns=self.policy.reruns)
        base = await self._leave("test_base.json", *runs)
        if base.report is None:
            return SuiteRun(problem=f"on the base: {base.problem}", result=base.result)
        brought = await self._test_files()
        crossed = None
        if brought:
            crossed = await self.runner.run(self.policy, self.context.base_commit, brought)
            await self._leave("test_crossed.json", crossed)
        return compare_suites(
            runs[0].report,
            head.report,
            reruns=[run.report for run in runs[1:] if run.report is not None],
            crossed=crossed.report if crossed else None,
            claims=Claims(tests=named, new_tests=bool(brought), files=tuple(brought)),
        )

    async def _head(self) -> SuiteRun:
        run = await self.runner.run(self.policy, self.context.input_commit)
        if run.result is not None:
            for name, data in (("stdout.log", run.result.stdout), ("stderr.log", run.result.stderr)):
                await self.evidence.sink.append(name, await asyncio.to_thread(_readable, data))
        return run

    async def _base(self, *, reruns: int) -> tuple[SuiteRun, ...]:
        return await self.runner.base(self.policy, self.context.base_commit, reruns=reruns)

    async def _test_files(self) -> Mapping[str, bytes]:
        """Return the files with tests that the change adds or alters."""
        repository, context = self.services.repository, self.context
        spec = GitIgnoreSpec.from_lines(self.policy.files)
        changed = await repository.changed_paths(context.base_commit, context.input_commit)
        paths = [one.path for one in changed if one.status != "D" and spec.match_file(one.path)]
        return await repository.read_files(context.input_commit, paths)

    async def _leave(self, name: str, *runs: SuiteRun) -> SuiteRun:
        """Leave the runs as an artifact; return the last."""
        await self.evidence.put_json(name, lambda: {"runs": [_as_data(run) for run in runs]})
        return runs[-1]


async def run_tests(services: Services, context: NodeContext, evidence: Evidence) -> NodeResult:
    """Run the tests on the change and on its base, and compare.

    Raises:
        GitError, SandboxError: the commits or the sandbox failed, which is no fault of the change.
    """
    policy, runner = services.content.gate_policy.tests, services.suites
    if policy is None or runner is None:
        return failed("policies/gate.toml: tests: missing; it names the command that runs the tests")
    try:
        named = claimed_tests(context.task)
    except ValueError as error:
        return failed(str(error))
    try:
        found = await _Run(services, context, evidence, runner, policy).compare(named)
    except StoreError as error:
        await evidence.log_error(error.message)
        return NodeResult(AttemptOutcome.CRASHED, NodeState.FAILED, error.message)
    if isinstance(found, SuiteRun):
        await evidence.log_error(found.problem)
        timed_out = found.result is not None and found.result.timed_out
        outcome = AttemptOutcome.TIMED_OUT if timed_out else AttemptOutcome.FAILED
        return NodeResult(outcome, NodeState.FAILED, f"{CHECK}: {found.problem}")
    await evidence.put_json("test_comparison.json", lambda: found.model_dump(mode="json"))
    return await _testify(services, context, found)


async def _testify(services: Services, context: NodeContext, found: Comparison) -> NodeResult:
    base, head = context.base_commit, context.input_commit
    check = CheckResult(name=CHECK, passed=not found.reasons, reason="; ".join(found.reasons))
    repository = services.repository
    report = CheckReport(base=base, head=head, tree=await repository.tree_of(head), checks=(check,))
    await attest_checks(services, context, report, await repository.diff(base, head))
    output = report.model_dump(mode="json")
    return failed("; ".join(report.failures), output) if report.failures else succeeded(head, output)


def claimed_tests(task: Task) -> tuple[str, ...]:
    """Return the tests that a task says cover its change. Raises ``ValueError``."""
    claimed = task.inputs.get("covers", [])
    if not isinstance(claimed, list) or len(claimed) > MAX_CLAIMS:
        raise ValueError(f"inputs.covers: a list of at most {MAX_CLAIMS} names of tests")
    names = [name for name in claimed if isinstance(name, str) and name.strip()]
    if len(names) != len(claimed):
        raise ValueError("inputs.covers: every entry is the name of a test")
    return tuple(names)


def against_tests(context: NodeContext, change: Change) -> tuple[str, ...]:
    """Return what the flow's test nodes, or the want of their reports, leave to be said against a change."""
    reasons: list[str] = []
    for node in context.flow.node:
        if node.gate != "test":
            continue
        try:
            report = CheckReport.model_validate(context.upstream.get(node.id))
        except ValidationError:
            reasons.append(f"{node.id}: no report of the tests")
            continue
        if (report.base, report.head, report.tree) != (change.base, change.head, change.tree):
            reasons.append(f"{node.id}: the tests were run on another change")
        elif [check.name for check in report.checks] != [CHECK]:
            reasons.append(f"{node.id}: no report of the tests")
        reasons += report.failures
    return tuple(reasons)


def _as_data(run: SuiteRun) -> Mapping[str, object]:
    return {
        "problem": run.problem,
        "kept": run.result is None,
        "returncode": run.result.returncode if run.result else None,
        "duration_s": round(run.result.duration_s, 3) if run.result else None,
        "tests": _statuses(run.report),
    }


def _statuses(report: SuiteReport | None) -> Mapping[str, str] | None:
    return None if report is None else {case.name: str(case.status) for case in report.cases}


def _readable(data: bytes) -> bytes:
    return visible(data.decode("utf-8", "replace")).encode("utf-8", "replace")
