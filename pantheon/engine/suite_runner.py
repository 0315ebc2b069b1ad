"""Runs the repository's tests on one commit, in the sandbox, and remembers how base commits did.

A run ends in a report or in a problem, never in an error of the night: a suite that hangs, floods its output, kills its
own runner or lies about itself is a result. The base of a change is run once and kept, by its tree, the command, the
ceilings and what confines it; changes that are tested at once wait for the first of them.
"""

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from pantheon.core.canonical import digest_value
from pantheon.core.errors import ToolError
from pantheon.core.model import Frozen
from pantheon.core.sandbox import KillReason, SandboxResult
from pantheon.core.suite import SuitePolicy
from pantheon.core.test_reports import SuiteReport, check_exit, parse_report
from pantheon.ports.base_runs import BaseRuns
from pantheon.ports.sandbox import Sandbox
from pantheon.ports.worktree import Repository, WorkTree

FORMAT = 1
"""Of what is kept; another number forgets everything."""


@dataclass(frozen=True)
class SuiteRun:
    """What one run came to: a report, or a problem."""

    report: SuiteReport | None = None
    problem: str = ""
    result: SandboxResult | None = None
    """None where the report was kept from an earlier run."""


class KeptRuns(Frozen):
    """The reports of a base commit: the first run and its reruns."""

    key: str
    runs: tuple[SuiteReport, ...]


@dataclass
class SuiteRunner:
    """Runs suites.

    Args:
        repository: where commits come from.
        sandbox: what the tests run in.
        sandbox_digest: SHA-256 of what the sandbox is made of; with another one nothing that is kept counts.
        kept: remembers the base's runs.
    """

    repository: Repository
    sandbox: Sandbox
    sandbox_digest: str
    kept: BaseRuns
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)

    async def run(
        self, policy: SuitePolicy, commit: str, overlay: Mapping[str, bytes] | None = None
    ) -> SuiteRun:
        """Run the suite on a commit.

        Args:
            policy: how it is run.
            commit: where.
            overlay: files to put in place first.

        Raises:
            GitError: the commit cannot be checked out.
            SandboxError: the sandbox itself failed; no fault of the tests.

        Cancellation:
            Everything in the sandbox is dead; nothing is kept.
        """
        # A name that nobody can have committed, or left there before this run.
        name = f"pantheon-report-{secrets.token_hex(16)}.xml"
        async with self.repository.work_tree(commit) as tree:
            for path, data in sorted((overlay or {}).items()):
                try:
                    await asyncio.to_thread(tree.files.write_bytes, path, data)
                except ToolError as error:
                    return SuiteRun(problem=error.message)
            result = await self.sandbox.run(policy.argv(name), tree.folder, policy.limits())
            if problem := _broken_off(result, policy):
                return SuiteRun(problem=problem, result=result)
            try:
                data = await self._read(policy, tree, name, result)
                report = await asyncio.to_thread(parse_report, policy.report, data)
            except ToolError as error:
                return SuiteRun(problem=f"the report cannot be read: {error.message}", result=result)
            except ValueError as error:
                return SuiteRun(problem=str(error), result=result)
        problem = check_exit(report, result.returncode)
        return SuiteRun(report=None if problem else report, problem=problem, result=result)

    async def base(self, policy: SuitePolicy, commit: str, *, reruns: int) -> tuple[SuiteRun, ...]:
        """Return the base's first run and so many reruns, taking what is kept and running the rest.

        The last one has a problem where a run ended in one; what came before is kept.

        Raises:
            GitError, SandboxError: as ``run``.
            StoreError: what was kept cannot be read or written.
        """
        key = await self._key(policy, commit)
        async with self._locks.setdefault(key, asyncio.Lock()):
            runs = [SuiteRun(report=report) for report in await self._recall(key)][: 1 + reruns]
            while len(runs) < 1 + reruns:
                run = await self.run(policy, commit)
                runs.append(run)
                if run.report is None:
                    break
                reports = tuple(one.report for one in runs if one.report is not None)
                data = KeptRuns(key=key, runs=reports).model_dump_json().encode()
                await self.kept.put(key, data)
            return tuple(runs)

    async def _key(self, policy: SuitePolicy, commit: str) -> str:
        how = policy.model_dump(mode="json", exclude={"reruns", "files"})
        tree = await self.repository.tree_of(commit)
        # As texts: canonical JSON has no fractions of a second to disagree about.
        return digest_value(
            {"format": FORMAT, "tree": tree, "how": repr(sorted(how.items())), "sandbox": self.sandbox_digest}
        )

    async def _recall(self, key: str) -> tuple[SuiteReport, ...]:
        data = await self.kept.get(key)
        if data is None:
            return ()
        try:
            found = KeptRuns.model_validate_json(data)
        except ValidationError:
            return ()
        return found.runs if found.key == key else ()

    async def _read(self, policy: SuitePolicy, tree: WorkTree, name: str, result: SandboxResult) -> bytes:
        if policy.report == "junit":
            return await asyncio.to_thread(tree.files.read_bytes, name, max_bytes=policy.report_kib * 1024)
        if len(result.stdout) > policy.report_kib * 1024:
            raise ValueError(f"the report is larger than {policy.report_kib} KiB")
        return result.stdout


def _broken_off(result: SandboxResult, policy: SuitePolicy) -> str:
    """Return why a run has no report worth reading; empty when it may have one."""
    if result.killed is KillReason.DEADLINE:
        return f"the tests did not end within {policy.wall_s:g} s and were killed"
    if result.killed is KillReason.OUTPUT or result.stdout_truncated or result.stderr_truncated:
        return f"the tests wrote more than {policy.output_kib} KiB and were killed"
    if result.killed is not None:
        return f"the tests were killed: {result.killed}"
    if result.signal is not None:
        return f"the test runner was killed by signal {result.signal}"
    return ""
