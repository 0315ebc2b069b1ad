"""The gatekeeper: weighs the evidence, and alone writes to the night's branch.

Merging is idempotent: the task's trailer on the branch tells that a change has landed, and the branch moves by
compare-and-swap only. Where the branch has moved on since the change was made, the change's own operations are
replayed on top of it (ADR 0005) and the deterministic checks run again on what came out.
"""

import asyncio
from dataclasses import dataclass, field

from pydantic import ValidationError

from pantheon.core.checkpoint import Checkpoint
from pantheon.core.errors import CommitLostError, GitError, MergeConflictError, ToolError
from pantheon.core.flow import FlowNode
from pantheon.core.gate import Change, CheckReport, Decision, Rules, decide
from pantheon.core.operation import TASK_TRAILER, TRAILER, operation_message, parse_operations
from pantheon.core.records import AttemptOutcome, NodeState
from pantheon.core.retry import FailureKind
from pantheon.core.review import Review
from pantheon.engine.checks import demanded_checks, run_checks
from pantheon.engine.evidence import Evidence
from pantheon.engine.results import NodeResult, failed, succeeded
from pantheon.engine.services import NodeContext, Services
from pantheon.engine.test_run import against_tests
from pantheon.engine.testimony import attest_decision, checkpoint_trailer, weigh_evidence
from pantheon.engine.tool_call import call_tool
from pantheon.tools.registry import ToolContext

SWAP_TRIES = 5


class _BranchMovedError(GitError):
    """The night's branch is no longer where it was."""


@dataclass
class Gatekeeper:
    """Decides and merges, one merge at a time.

    Args:
        services: ports and content.
    """

    services: Services
    _merging: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def decide(self, context: NodeContext, evidence: Evidence) -> NodeResult:
        """Weigh the checks and verdicts of a change; a denial fails the node with its reasons."""
        change, rules = await self._change(context), self._rules(context)
        weighed = await weigh_evidence(self.services, context, change, rules.reviewers)
        objections = (*weighed.reasons, *against_tests(context, change))
        decision = decide(change, _read_report(context), self._read_reviews(context), rules, objections)
        await attest_decision(self.services, context, decision, weighed)
        await evidence.log(decision.explanation)
        output = decision.model_dump(mode="json")
        if decision.decision == "allow":
            return succeeded(context.input_commit, output)
        return failed("; ".join(decision.reasons), output)

    async def merge(self, context: NodeContext, evidence: Evidence) -> NodeResult:
        """Land an allowed change on the night's branch, once.

        A branch that somebody moved between the look at it and the swap is looked at again, a few times.

        Raises:
            CommitLostError: a commit of the change is gone.
            GitError: git refused something else; another look would not mend it.
        """
        if _read_decision(context) != "allow":
            return failed("no decision allows this change")
        # What the store says was decided is believed only as far as the signed verdicts bear it out.
        weighed = await weigh_evidence(
            self.services, context, await self._change(context), self._rules(context).reviewers
        )
        if weighed.reasons:
            return failed("; ".join(weighed.reasons))
        async with self._merging:
            for _ in range(SWAP_TRIES):
                try:
                    return await self._land(context, evidence)
                except MergeConflictError as error:
                    return failed(error.message)
                except _BranchMovedError as error:
                    await evidence.log_error(error.message)
                    last = error.message
        return NodeResult(AttemptOutcome.CRASHED, NodeState.FAILED, last, kind=FailureKind.TRANSIENT)

    async def _change(self, context: NodeContext) -> Change:
        return Change(
            base=context.base_commit,
            head=context.input_commit,
            tree=await self.services.repository.tree_of(context.input_commit),
        )

    def _reviewer_of(self, node: FlowNode) -> str | None:
        """Return the name of the reviewer at work in a node; None where no reviewer is."""
        if node.agent is None or self.services.content.agents[node.agent].spec.role != "reviewer":
            return None
        return node.agent

    def _read_reviews(self, context: NodeContext) -> list[Review]:
        """Return the verdicts of reviewers, each in its own name; what anybody else left is no verdict."""
        reviews = []
        for node in context.flow.node:
            reviewer, output = self._reviewer_of(node), context.upstream.get(node.id)
            if reviewer is None or output is None:
                continue
            try:
                review = Review.model_validate(output)
            except ValidationError:
                continue
            if review.reviewer == reviewer:
                reviews.append(review)
        return reviews

    def _rules(self, context: NodeContext) -> Rules:
        """Return what must be there: the flow's own checks and reviewers, and no fewer than the policy's."""
        nodes = context.flow.node
        reviewers = [name for name in map(self._reviewer_of, nodes) if name is not None]
        missing = self.services.content.gate_policy.reviewers - len(set(reviewers))
        return Rules(
            checks=demanded_checks(context.flow) or ("checks",),
            reviewers=(*reviewers, *(f"reviewer {n + 1} more" for n in range(max(missing, 0)))),
        )

    async def _land(self, context: NodeContext, evidence: Evidence) -> NodeResult:
        repository, night = self.services.repository, context.night
        landed = await repository.find_landed(night.branch, night.base_commit, TASK_TRAILER, context.task_key)
        if landed is not None:
            await evidence.log(f"landed before as {landed}")
            return succeeded(landed, {"branch": night.branch, "commit": landed, "previous": None})
        old = await repository.branch(night.branch)
        parent = old or night.base_commit
        if parent == context.base_commit:
            candidate = context.input_commit
        else:
            candidate = await self._replay(context, evidence, parent)
        message = await self._message(context, await self.services.ledger.checkpoint())
        commit = await repository.commit_tree_of(candidate, parent, message)
        await self._publish(context, commit, old)
        await evidence.log(f"landed as {commit} on {night.branch}")
        await evidence.sink.put("diff.patch", await repository.diff(parent, commit))
        return succeeded(commit, {"branch": night.branch, "commit": commit, "previous": old})

    async def _publish(self, context: NodeContext, commit: str, old: str | None) -> None:
        """Move the night's branch; whether it was somebody else's move that git refused, the branch itself tells."""
        repository, night = self.services.repository, context.night
        try:
            await repository.publish(night.branch, commit, old=old, base=night.base_commit)
        except CommitLostError:
            raise
        except GitError as error:
            if await repository.branch(night.branch) == old:
                raise
            raise _BranchMovedError(error.message) from error

    async def _replay(self, context: NodeContext, evidence: Evidence, parent: str) -> str:
        """Make the change again on top of ``parent`` and check it there.

        Raises:
            MergeConflictError: it cannot be made there, or what comes out fails a check.
        """
        repository = self.services.repository
        await self._refuse_moved_target(context, parent)
        values = await repository.trailer_values(context.base_commit, context.input_commit, TRAILER)
        async with repository.work_tree(parent) as tree:
            files = await asyncio.to_thread(tree.files.list_files)
            tools = ToolContext(files=tree.files, task=context.task, tree_paths=files)
            for operation in parse_operations(values):
                try:
                    await call_tool(
                        self.services.tools, operation.tool, operation.args, tools, evidence,
                        self.services.clock, step=0, operations=[],
                    )  # fmt: skip
                except ToolError as error:
                    raise MergeConflictError(
                        f"{operation.tool} cannot be repeated on the night's branch: {error.message}"
                    ) from error
            commit = await tree.commit(operation_message("Replayed", parse_operations(values)))
        report = await run_checks(self.services, context, base=parent, head=commit)
        if report.failures:
            raise MergeConflictError("after the merge: " + "; ".join(report.failures))
        return commit

    async def _refuse_moved_target(self, context: NodeContext, parent: str) -> None:
        for target in context.task.targets:
            if await self.services.repository.read_file(parent, target) is None:
                raise MergeConflictError(f"{target} is gone from the night's branch")

    async def _message(self, context: NodeContext, point: Checkpoint) -> str:
        repository = self.services.repository
        values = await repository.trailer_values(context.base_commit, context.input_commit, TRAILER)
        operations = parse_operations(values)
        titles = [str(op.args["title"]) for op in operations if "title" in op.args]
        subject = f"{context.flow.name}: {titles[-1] if titles else context.task.goal}"
        return operation_message(
            subject,
            operations,
            pantheon_task=context.task_key,
            pantheon_night=context.night.id,
            pantheon_candidate=context.input_commit,
            pantheon_checkpoint=checkpoint_trailer(point),
        )


def _read_report(context: NodeContext) -> CheckReport | None:
    """Return the report of the flow's check node; what any other node left is no report."""
    for node in context.flow.node:
        if node.gate == "check" and node.id in context.upstream:
            try:
                return CheckReport.model_validate(context.upstream[node.id])
            except ValidationError:
                return None
    return None


def _read_decision(context: NodeContext) -> str:
    found = [
        output
        for name, output in context.upstream.items()
        if context.flow.nodes()[name].gate == "decide" and "decision" in output
    ]
    try:
        made = [Decision.model_validate(output) for output in found]
    except ValidationError:
        return "deny"
    if any((d.change.base, d.change.head) != (context.base_commit, context.input_commit) for d in made):
        return "deny"
    decisions = {one.decision for one in made}
    return "allow" if decisions == {"allow"} else "deny"
