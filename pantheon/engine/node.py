"""What a node does: an agent's loop, a reviewer's questions, one tool call, or a gate's work.

A node is a function from commit to commit (ADR 0002): it starts from the merge of its needs' commits and ends
with a commit of its own, or with the same one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pantheon.core.agent import Agent
from pantheon.core.errors import (
    ConfigError,
    ModelError,
    ModelRefusedError,
    ModelTimeoutError,
    ToolError,
)
from pantheon.core.gate import CheckReport
from pantheon.core.loop import LoopOutcome
from pantheon.core.operation import Operation, operation_message
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
from pantheon.engine.reviewer import UnderReview
from pantheon.engine.services import NodeContext, Services
from pantheon.engine.test_run import run_tests
from pantheon.engine.testimony import attest_checks, attest_review
from pantheon.engine.tool_call import call_tool
from pantheon.engine.under_review import gather_change, ready_reviewer, tools_on
from pantheon.ports.worktree import WorkTree

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
        # What only holds goes on to the reviewers: the person who looks will want to know what they said.
        if report.denials:
            return failed("; ".join(report.failures), output)
        return succeeded(context.input_commit, output)

    async def _tool(self, context: NodeContext, evidence: Evidence, name: str) -> NodeResult:
        operations: list[Operation] = []
        async with self.services.repository.work_tree(context.input_commit) as tree:
            tools = await tools_on(tree, context)
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
                context=await tools_on(tree, context, agent),
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
        change = await gather_change(self.services, context, evidence, agent)
        if isinstance(change, str):
            return failed(change, agent=agent.label)

        async def judge(one: UnderReview, evidence: Evidence) -> Review:
            return await ready_reviewer(self.services, context, evidence, agent).run(one)

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
