"""Makes the commit with which a reviewed change would land on the night's branch, wherever that stands now.

Where the branch has the content that the change was made on, the reviewed tree itself lands. Elsewhere the change's own
operations are replayed (ADR 0005), the deterministic checks run again on what came out, and it must still be the change
that was reviewed (ADR 0018). Nothing here moves the branch.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from pantheon.core.conflict import Versions, conflict_patch, describe_conflict
from pantheon.core.errors import MergeConflictError, PantheonError, ToolError
from pantheon.core.gate import Change
from pantheon.core.merge_queue import Merge, Retest, decide_retest
from pantheon.core.operation import (
    TRAILER,
    Operation,
    follow_path,
    operation_message,
    parse_operations,
)
from pantheon.core.same_change import Sides, find_other_change
from pantheon.engine.checks import run_checks
from pantheon.engine.draft import Draft
from pantheon.engine.evidence import Evidence
from pantheon.engine.results import NodeResult, failed
from pantheon.engine.services import NodeContext, Services
from pantheon.engine.testimony import checkpoint_trailer
from pantheon.engine.tool_call import call_tool
from pantheon.tools.registry import ToolContext

Objections = Callable[[], Awaitable[Sequence[str]]]
"""What is against a change by now; nothing where it is still allowed."""


@dataclass(eq=False)
class Request:
    """An allowed change that wants to land.

    Args:
        context: the merging node.
        change: what was allowed.
        objections: says what is against it by now.
        keeps: whether its attempt keeps artifacts.
    """

    context: NodeContext
    change: Change
    objections: Objections
    keeps: bool = True
    result: NodeResult | None = None
    error: PantheonError | None = None
    """What kept the change itself from being looked at."""
    gone: bool = False
    """Whether its attempt has ended."""
    moving: asyncio.Event | None = None
    """Set once the branch was moved, or not, for this change; None while nobody tries."""
    draft: Draft = field(init=False)
    evidence: Evidence = field(init=False)

    def __post_init__(self) -> None:
        self.begin_draft()

    @property
    def open(self) -> bool:
        """Whether it has come to nothing yet, and somebody waits for it."""
        return self.result is None and self.error is None and not self.gone

    def begin_draft(self) -> None:
        """Forget what an earlier try left."""
        self.draft = Draft(self.keeps)
        self.evidence = Evidence(self.draft)

    async def ask_again(self) -> None:
        """Refuse it where it is not allowed any more."""
        try:
            if reasons := await self.objections():
                self.refuse("; ".join(reasons))
        except PantheonError as error:
            self.error = error

    def refuse(self, cause: str) -> None:
        """Note that it does not land."""
        self.result = failed(cause)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A commit with which a change would land."""

    request: Request
    merge: Merge
    retest: Retest
    diff: bytes
    """Between the commit and its parent."""


@dataclass(frozen=True)
class Landing:
    """Makes candidates.

    Args:
        services: ports and content.
    """

    services: Services

    async def make(self, request: Request, tip: str) -> Candidate:
        """Make the commit of a change on top of ``tip``.

        Raises:
            MergeConflictError: the change cannot be made there, or is another one there; the request's draft says how.
            CommitLostError: a commit of the change is gone.
            GitError: git refused something else.
        """
        repository, context, change = self.services.repository, request.context, request.change
        request.begin_draft()
        moved, own = await self._changed(change.base, tip), set[str]()
        if moved:
            own = await self._changed(change.base, change.head)
        tested = any(node.gate == "test" for node in context.flow.node)
        retest = decide_retest(own, moved, tested=tested)
        operations = await self._operations(change)
        try:
            made = await self._replay(request, operations, tip) if moved else change.head
            diff = await repository.diff(tip, made)
            # The same bytes, ids of contents included, are the same change; anything else is looked at closely.
            if moved and diff != await repository.diff(change.base, change.head):
                await self._refuse_other_change(request, operations, tip, made)
        except MergeConflictError as error:
            await self._leave_conflict(request, error, retest, tip)
            raise
        point = await self.services.ledger.checkpoint()
        titles = [str(op.args["title"]) for op in operations if "title" in op.args]
        message = operation_message(
            f"{context.flow.name}: {titles[-1] if titles else context.task.goal}",
            operations,
            pantheon_task=context.task_key,
            pantheon_night=context.night.id,
            pantheon_candidate=change.head,
            pantheon_checkpoint=checkpoint_trailer(point),
        )
        commit = await repository.commit_tree_of(made, tip, message)
        await request.draft.put("diff.patch", diff)
        merge = Merge(
            base=change.base, head=change.head, tree=change.tree, parent=tip, commit=commit,
            merged=await repository.tree_of(commit), checks=retest.checks, tests=retest.tests, shared=retest.shared,
        )  # fmt: skip
        return Candidate(request, merge, retest, diff)

    async def _changed(self, base: str, head: str) -> set[str]:
        if base == head:
            return set()
        return {one.path for one in await self.services.repository.changed_paths(base, head)}

    async def _operations(self, change: Change) -> tuple[Operation, ...]:
        values = await self.services.repository.trailer_values(change.base, change.head, TRAILER)
        return parse_operations(values)

    async def _replay(self, request: Request, operations: tuple[Operation, ...], tip: str) -> str:
        """Make the change again on top of ``tip`` and check it there."""
        repository, context = self.services.repository, request.context
        there = await repository.read_files(tip, context.task.targets)
        if gone := [target for target in context.task.targets if target not in there]:
            raise MergeConflictError(f"{gone[0]} is gone from the night's branch", files=gone)
        async with repository.work_tree(tip) as tree:
            files = await asyncio.to_thread(tree.files.list_files)
            tools = ToolContext(files=tree.files, task=context.task, tree_paths=files)
            for operation in operations:
                try:
                    await call_tool(
                        self.services.tools, operation.tool, operation.args, tools, request.evidence,
                        self.services.clock, step=0, operations=[],
                    )  # fmt: skip
                except ToolError as error:
                    raise MergeConflictError(
                        f"{operation.tool} cannot be repeated on the night's branch: {error.message}",
                        files=list(operation.changed),
                    ) from error
            commit = await tree.commit(operation_message("Replayed", operations))
        report = await run_checks(self.services, context, base=tip, head=commit)
        if report.failures:
            raise MergeConflictError("after the merge: " + "; ".join(report.failures))
        return commit

    async def _refuse_other_change(
        self, request: Request, operations: tuple[Operation, ...], tip: str, made: str
    ) -> None:
        """Hold what would land against what was reviewed: the verdicts are for that, and for nothing else."""
        repository, change = self.services.repository, request.change
        paths = sorted(await self._changed(change.base, change.head) | await self._changed(tip, made))
        base, head, parent, merged = [
            await repository.read_files(commit, paths) for commit in (change.base, change.head, tip, made)
        ]
        sides = {
            path: Sides(base.get(path), head.get(path), parent.get(path), merged.get(path)) for path in paths
        }
        follow = {target: follow_path(target, operations) for target in request.context.task.targets}
        renames = {old: new for old, new in follow.items() if old != new}
        if other := await asyncio.to_thread(find_other_change, sides, renames):
            raise MergeConflictError(
                f"on the night's branch it is another change than the one that was reviewed: {', '.join(other[:5])}",
                files=list(other),
            )

    async def _leave_conflict(
        self, request: Request, error: MergeConflictError, retest: Retest, tip: str
    ) -> None:
        """Leave what was wanted and what stands there now as artifacts."""
        repository, change = self.services.repository, request.change
        named = error.details.get("files", ())
        paths = sorted({*named, *retest.shared} or request.context.task.targets)
        base, head, parent = [
            await repository.read_files(commit, paths) for commit in (change.base, change.head, tip)
        ]
        files: dict[str, Versions] = {
            path: (base.get(path), head.get(path), parent.get(path)) for path in paths
        }
        told = describe_conflict(error.message, base=change.base, head=change.head, parent=tip, files=files)
        await request.evidence.put_json("conflict.json", lambda: told.model_dump(mode="json"))
        await request.draft.put("conflict.patch", await asyncio.to_thread(conflict_patch, files))
