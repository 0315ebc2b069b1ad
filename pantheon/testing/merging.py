"""A merge queue for tests: changes of single lines, made by a tool, and a suite that is a function of the files."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field

from pantheon.core.errors import PantheonError, ToolError
from pantheon.core.flow import Flow
from pantheon.core.gate import Change
from pantheon.core.merge_queue import MergePolicy
from pantheon.core.model import Frozen
from pantheon.core.operation import Operation, operation_message
from pantheon.core.policy import GatePolicy
from pantheon.core.sandbox import SandboxKind, SandboxLimits, SandboxResult
from pantheon.core.suite import SuitePolicy
from pantheon.core.task import Task
from pantheon.engine.evidence import Evidence
from pantheon.engine.merge_queue import MergeQueue
from pantheon.engine.results import NodeResult
from pantheon.engine.services import NightContext, NodeContext
from pantheon.engine.suite_runner import SuiteRunner
from pantheon.ports.worktree import Repository
from pantheon.testing.artifacts import FakeSink
from pantheon.testing.clock import FakeClock
from pantheon.testing.one_node import services_around
from pantheon.testing.repository import FakeRepository
from pantheon.testing.signing import inline_ledger
from pantheon.testing.suites import KeptInMemory, tap
from pantheon.tools.registry import Registry, Tool, ToolContext, ToolResult, require_target

NIGHT, BRANCH = "n", "pantheon/night-n"
Files = Mapping[str, bytes]
Judge = Callable[[Files], Mapping[str, bool]]
"""The files of a tree -> which tests pass."""


class SetLine(Frozen):
    """Arguments of ``set_line``."""

    path: str
    line: int = Field(ge=0)
    text: str


def set_line(args: SetLine, context: ToolContext) -> ToolResult:
    """Replace one line of a target."""
    require_target(args.path, context)
    lines = context.files.read_bytes(args.path).splitlines(keepends=True)
    if args.line >= len(lines):
        raise ToolError(f"{args.path} has no line {args.line}")
    lines[args.line] = args.text.encode() + b"\n"
    context.files.write_bytes(args.path, b"".join(lines))
    return ToolResult(text="done", changed=(args.path,))


SET_LINE = Tool(
    name="set_line",
    description="Replace one line.",
    arguments=SetLine,
    example={"path": "a.txt", "line": 0, "text": "x"},
    call=set_line,
    writes=True,
)


@dataclass
class JudgingSandbox:
    """Runs no program: what the suite says is computed from the tree.

    Args:
        judge: which tests pass.
        repository: where the trees of a repository in memory are looked up.
    """

    judge: Judge
    repository: Repository
    kind = SandboxKind.NONE
    runs: int = 0
    waits: asyncio.Event | None = None
    """Where it is set, a run lasts until this event."""
    started: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(
        self,
        argv: Sequence[str],  # noqa: ARG002 (nothing is run)
        tree: Path,
        limits: SandboxLimits,  # noqa: ARG002
        *,
        env: Mapping[str, str] | None = None,  # noqa: ARG002
    ) -> SandboxResult:
        self.runs += 1
        self.started.set()
        if self.waits is not None:
            await self.waits.wait()
        said = self.judge(await asyncio.to_thread(self._files, tree))
        return tap(**dict(sorted(said.items())))

    def _files(self, tree: Path) -> Files:
        if isinstance(self.repository, FakeRepository):
            return self.repository.commits[tree.name].files
        return {
            path.relative_to(tree).as_posix(): path.read_bytes()
            for path in tree.rglob("*")
            if path.is_file() and ".git" not in path.parts
        }


def line_flow(*, tested: bool) -> Flow:
    """Return a flow whose merge is all that is run of it."""
    tests = [{"id": "tests", "gate": "test", "needs": ["checks"]}] if tested else []
    nodes = [
        {"id": "work", "agent": "worker", "writes": True},
        {"id": "checks", "gate": "check", "args": {"checks": ["scope"]}, "needs": ["work"]},
        *tests,
        {"id": "gate", "gate": "decide", "needs": ["checks"]},
        {"id": "merge", "gate": "merge", "needs": ["gate"]},
    ]
    return Flow.model_validate({"name": "lines", "accepts": ["lines"], "node": nodes})


class MergeBench:
    """A merge queue, its repository, and what it left.

    Args:
        repository: with the files that changes are made to.
        base: the night's base.
        judge: the suite; None for flows without tests.
        batch: the policy's.
    """

    def __init__(
        self, repository: Repository, base: str, *, judge: Judge | None = None, batch: int = 1
    ) -> None:
        self.repository, self.base = repository, base
        self.flow = line_flow(tested=judge is not None)
        self.sandbox = JudgingSandbox(judge or (lambda _: {}), repository)
        self.ledger = inline_ledger(NIGHT, base, (), FakeClock())
        suite = SuitePolicy(command=("t",), report="tap", reruns=0)
        self.services = services_around(
            repository,
            flows={"lines": self.flow},
            gate_policy=GatePolicy(tests=suite if judge else None, merge=MergePolicy(batch=batch)),
            open_ledger=self.ledger,
            tools=Registry((SET_LINE,)),
            suites=SuiteRunner(repository, self.sandbox, "0" * 64, KeptInMemory()) if judge else None,
        )
        self.queue = MergeQueue(self.services)
        self.sinks: dict[str, FakeSink] = {}
        self.make_sink: Callable[[str], FakeSink] = FakeSink
        """Task id -> where the artifacts of its attempt go."""
        self.against: dict[str, str | PantheonError] = {}
        """Task id -> what is against it by now, or what keeps that from being found out."""

    async def change(self, name: str, path: str, line: int, text: str, base: str = "") -> NodeContext:
        """Return a merge node whose task has set one line, as its reviewers saw it."""
        start = base or self.base
        task = Task(id=name, kind="lines", goal=f"Set a line for {name}", targets=(path,))
        args = {"path": path, "line": line, "text": text}
        async with self.repository.work_tree(start) as tree:
            set_line(SetLine.model_validate(args), ToolContext(files=tree.files, task=task))
            done = Operation(tool="set_line", args=args, changed=(path,))
            head = await tree.commit(operation_message("Work", [done], pantheon_task=f"b/{name}"))
        return self.context(task, head, start)

    def context(self, task: Task, head: str, base: str) -> NodeContext:
        """Return the merge node of a change."""
        return NodeContext(
            night=NightContext(id=NIGHT, branch=BRANCH, base_commit=self.base, owner="test", lease_s=60.0),
            task_key=f"b/{task.id}",
            task=task,
            flow=self.flow,
            node=self.flow.nodes()["merge"],
            attempt=1,
            base_commit=base,
            input_commit=head,
            upstream={},
        )

    async def land(self, context: NodeContext) -> NodeResult:
        """Land one change; its artifacts are under its task's id."""
        return await self._land(context, await self._allowed(context))

    async def land_all(self, contexts: Sequence[NodeContext]) -> list[NodeResult]:
        """Land changes that all wait at once, in this order."""
        allowed = [await self._allowed(one) for one in contexts]
        async with asyncio.TaskGroup() as group:
            landing = [
                group.create_task(self._land(one, change), name=f"land {one.task.id}")
                for one, change in zip(contexts, allowed, strict=True)
            ]
        return [one.result() for one in landing]

    async def _allowed(self, context: NodeContext) -> Change:
        head = context.input_commit
        return Change(base=context.base_commit, head=head, tree=await self.repository.tree_of(head))

    async def _land(self, context: NodeContext, change: Change) -> NodeResult:
        name = context.task.id
        sink = self.sinks[name] = self.make_sink(name)

        async def objections() -> Sequence[str]:
            said = self.against.get(name)
            if isinstance(said, PantheonError):
                raise said
            return (said,) if said else ()

        return await self.queue.land(context, change, Evidence(sink), objections)

    async def landed(self) -> tuple[str, ...]:
        """Return the keys of the tasks on the branch, the oldest first."""
        head = await self.repository.branch(BRANCH)
        if head is None:
            return ()
        return await self.repository.trailer_values(self.base, head, "Pantheon-Task")
