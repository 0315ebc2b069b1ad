"""What a node does: an agent's loop, a reviewer's questions, one tool call, or a gate's work.

A node is a function from commit to commit (ADR 0002): it starts from the merge of its needs' commits and ends
with a commit of its own, or with the same one.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from pantheon.core.agent import Agent
from pantheon.core.decoys import Metadata
from pantheon.core.errors import (
    ConfigError,
    ModelError,
    ModelRefusedError,
    ModelTimeoutError,
    ToolError,
)
from pantheon.core.gate import CheckReport
from pantheon.core.loop import LoopOutcome
from pantheon.core.notes.metadata import metadata_of
from pantheon.core.operation import TRAILER, Operation, follow_path, operation_message, parse_operations
from pantheon.core.records import AttemptOutcome, NodeState
from pantheon.core.references import resolve_args
from pantheon.core.retry import FailureKind
from pantheon.core.review import Review
from pantheon.engine.agent_loop import AgentLoop
from pantheon.engine.canaries import Canaries
from pantheon.engine.checks import run_checks
from pantheon.engine.evidence import Evidence
from pantheon.engine.gatekeeper import Gatekeeper
from pantheon.engine.results import NodeResult, failed, succeeded
from pantheon.engine.reviewer import Reviewer, UnderReview
from pantheon.engine.services import NodeContext, Services
from pantheon.engine.test_run import run_tests
from pantheon.engine.testimony import attest_checks, attest_review
from pantheon.engine.tool_call import call_tool, prefetch
from pantheon.ports.worktree import WorkTree
from pantheon.tools.registry import ToolContext
from pantheon.tools.rename import NOTE_SUFFIXES

MAX_NEIGHBOURS = 200
_KINDS = {
    LoopOutcome.MAX_FAILURES: FailureKind.SCHEMA,
    LoopOutcome.MAX_STEPS: FailureKind.SCHEMA,
    LoopOutcome.TIMEOUT: FailureKind.TRANSIENT,
    LoopOutcome.SERVER_LOST: FailureKind.SERVER,
}


def _kind_of(error: ModelError) -> FailureKind:
    """Return what sort of failure an error of the model is to whoever asked."""
    match error:
        case ModelRefusedError():
            return FailureKind.NEVER
        case ModelTimeoutError():
            return FailureKind.TRANSIENT
        case _:
            return FailureKind.SERVER


@dataclass(frozen=True)
class NodeExecutor:
    """Executes nodes by their kind.

    Args:
        services: ports and content.
        gatekeeper: shared by all nodes of a night, because merges go one at a time.
        canaries: plants known-bad changes among the reviews; None where none are planted.
    """

    services: Services
    gatekeeper: Gatekeeper
    canaries: Canaries | None = None

    async def __call__(self, context: NodeContext, evidence: Evidence) -> NodeResult:
        """Execute one attempt of a node."""
        node = context.node
        if node.gate == "check":
            return await self._check(context, evidence)
        if node.gate == "test":
            return await run_tests(self.services, context, evidence)
        if node.gate == "decide":
            return await self.gatekeeper.decide(context, evidence)
        if node.gate == "merge":
            return await self.gatekeeper.merge(context, evidence)
        if node.tool is not None:
            return await self._tool(context, evidence, node.tool)
        agent = self.services.content.agents[node.agent or ""]
        if agent.spec.role == "reviewer":
            return await self._review(context, evidence, agent)
        return await self._work(context, evidence, agent)

    async def _check(self, context: NodeContext, evidence: Evidence) -> NodeResult:
        report: CheckReport = await run_checks(
            self.services, context, base=context.base_commit, head=context.input_commit
        )
        diff = await self.services.repository.diff(context.base_commit, context.input_commit)
        await evidence.sink.put("diff.patch", diff)
        await attest_checks(self.services, context, report, diff)
        output = report.model_dump(mode="json")
        if report.failures:
            return failed("; ".join(report.failures), output)
        return succeeded(context.input_commit, output)

    async def _tool(self, context: NodeContext, evidence: Evidence, name: str) -> NodeResult:
        operations: list[Operation] = []
        async with self.services.repository.work_tree(context.input_commit) as tree:
            tools = await self._tool_context(tree, context)
            try:
                result = await call_tool(
                    self.services.tools, name, resolve_args(context.node.args, context.task), tools,
                    evidence, self.services.clock, step=1, operations=operations,
                )  # fmt: skip
            except (ToolError, ConfigError) as error:
                return failed(error.message)
            commit = await self._commit(tree, context, evidence, operations)
        if isinstance(commit, NodeResult):
            return commit
        if result.data.get("complete") is True:
            return NodeResult(
                AttemptOutcome.SUCCEEDED, NodeState.SKIPPED, f"nothing to do: {result.text}", commit,
                output=result.data,
            )  # fmt: skip
        return succeeded(commit, result.data)

    async def _work(self, context: NodeContext, evidence: Evidence, agent: Agent) -> NodeResult:
        async with self.services.repository.work_tree(context.input_commit) as tree:
            loop = AgentLoop(
                agent=agent,
                task=context.task,
                attempt=context.attempt,
                client=self.services.model,
                tools=self.services.tools,
                context=await self._tool_context(tree, context, agent),
                evidence=evidence,
                clock=self.services.clock,
            )
            result = await loop.run()
            commit = await self._commit(tree, context, evidence, result.operations)
        if isinstance(commit, NodeResult):
            return commit
        if result.outcome is LoopOutcome.FINALIZED:
            return succeeded(commit, result.output, ended=str(result.outcome), agent=agent.label)
        outcome = AttemptOutcome.CRASHED if result.server_fault else AttemptOutcome.FAILED
        if result.outcome is LoopOutcome.TIMEOUT:
            outcome = AttemptOutcome.TIMED_OUT
        return NodeResult(
            outcome,
            NodeState.FAILED,
            f"{result.outcome}: {result.cause}",
            ended=str(result.outcome),
            agent=agent.label,
            kind=_KINDS.get(result.outcome, FailureKind.NEVER),
        )

    async def _review(self, context: NodeContext, evidence: Evidence, agent: Agent) -> NodeResult:
        opening = self.services.content.agents[agent.spec.shares_prefix_of or agent.spec.name]
        change = await self._under_review(context, evidence, opening, agent.label)
        if isinstance(change, NodeResult):
            return change

        async def judge(one: UnderReview, evidence: Evidence) -> Review:
            reviewer = Reviewer(
                agent=agent,
                opening=opening,
                cards=[self.services.tools.card(name) for name in opening.spec.tools],
                task=context.task,
                client=self.services.model,
                evidence=evidence,
            )
            return await reviewer.run(one)

        try:
            if self.canaries is None:
                review = await judge(change, evidence)
            else:
                review = await self.canaries.review(context, agent, change, judge, evidence)
        except ModelError as error:
            await evidence.log_error(error.message)
            return NodeResult(
                AttemptOutcome.CRASHED,
                NodeState.FAILED,
                error.message,
                agent=agent.label,
                kind=_kind_of(error),
            )
        output = review.model_dump(mode="json")
        await evidence.put_json("review.json", lambda: output)
        await attest_review(self.services, context, review)
        return succeeded(context.input_commit, output, agent=agent.label)

    async def _under_review(
        self, context: NodeContext, evidence: Evidence, opening: Agent, label: str
    ) -> UnderReview | NodeResult:
        repository = self.services.repository
        target = context.task.targets[0] if context.task.targets else ""
        values = await repository.trailer_values(context.base_commit, context.input_commit, TRAILER)
        now = follow_path(target, parse_operations(values))
        after = await repository.read_file(context.input_commit, now) if now else None
        proposal = metadata_of(after) if after is not None else None
        before = await repository.read_file(context.base_commit, target) if target else None
        if proposal is None or before is None:
            return failed("there is nothing to review: the target has no metadata", agent=label)
        async with repository.work_tree(context.base_commit) as tree:
            tools = await self._tool_context(tree, context)
            try:
                excerpt = await prefetch(
                    self.services.tools, opening.spec.prefetch, tools, evidence, self.services.clock,
                    operations=[],
                )  # fmt: skip
            except ToolError as error:
                return failed(error.message, agent=label)
        return UnderReview(
            base=context.base_commit,
            head=context.input_commit,
            tree=await repository.tree_of(context.input_commit),
            target=before.decode("utf-8", "replace"),
            excerpt=excerpt,
            proposal=proposal,
            neighbours=await self._neighbours(context, target),
        )

    async def _neighbours(self, context: NodeContext, target: str) -> Sequence[Metadata]:
        """Return the metadata that other notes had before the change."""
        repository = self.services.repository
        paths = [
            path
            for path in await repository.list_files(context.base_commit)
            if path.lower().endswith(NOTE_SUFFIXES) and path != target
        ]
        read = await repository.read_files(context.base_commit, paths[:MAX_NEIGHBOURS])
        found = [metadata_of(data) for data in read.values()]
        return [metadata for metadata in found if metadata is not None]

    async def _tool_context(
        self, tree: WorkTree, context: NodeContext, agent: Agent | None = None
    ) -> ToolContext:
        prompts = () if agent is None else (agent.prompt, *(example.user for example in agent.examples))
        answers = () if agent is None else tuple(example.answer for example in agent.examples)
        return ToolContext(
            files=tree.files,
            task=context.task,
            tree_paths=await asyncio.to_thread(tree.files.list_files),
            prompt_texts=(*prompts, *(str(value) for answer in answers for value in answer.values())),
        )

    async def _commit(
        self, tree: WorkTree, context: NodeContext, evidence: Evidence, operations: Sequence[Operation]
    ) -> str | NodeResult:
        """Commit what the tools did; a change that no writing tool accounts for fails the node."""
        commit = await tree.commit(
            operation_message(
                f"{context.node.id}: {context.task.id}", operations, pantheon_task=context.task_key
            )
        )
        if commit == context.input_commit:
            return commit
        repository = self.services.repository
        await evidence.sink.put("diff.patch", await repository.diff(context.input_commit, commit))
        allowed = {path for operation in operations for path in operation.changed}
        changed = {change.path for change in await repository.changed_paths(context.input_commit, commit)}
        if not context.node.writes:
            return failed(f"a node that only reads has changed {sorted(changed)[0]}")
        if outside := sorted(changed - allowed):
            return failed(f"{outside[0]} was changed, but by no tool that may")
        return commit
