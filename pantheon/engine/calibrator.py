"""Puts known changes before the checks and the reviewers, through the code that a night uses.

Each case is a real commit in the night's own repository, on a base in which all other known notes lie catalogued
beside its target. Nothing of it ever leaves that repository.
"""

import asyncio
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pantheon.core.agent import Agent
from pantheon.core.calibration import CaseResult, Judged
from pantheon.core.errors import ToolError
from pantheon.core.flow import Flow, FlowNode
from pantheon.core.gate import CheckReport
from pantheon.core.known_cases import KnownCase, KnownNote, plan_cases, raw_name
from pantheon.core.mutations import FileChange, KnownChange, MutationKind
from pantheon.core.notes.frontmatter import set_fields, split_note
from pantheon.core.operation import Operation, operation_message
from pantheon.core.task import Task
from pantheon.engine.checks import run_checks
from pantheon.engine.evidence import Evidence
from pantheon.engine.services import NightContext, NodeContext, Services
from pantheon.engine.tool_call import call_tool
from pantheon.engine.under_review import gather_change, ready_reviewer, tools_on
from pantheon.ports.artifacts import ArtifactSink
from pantheon.ports.worktree import WorkTree

NIGHT = "calibration"
JUDGED_ANYWAY = frozenset(
    {
        MutationKind.SWAPPED_METADATA,
        MutationKind.SWAPPED_TITLE,
        MutationKind.SWAPPED_DESCRIPTION,
        MutationKind.INSTRUCTED_APPROVAL,
    }
)
"""Kinds that reviewers are measured on even where a check sees them too."""


class _Unkept:
    """An ``ArtifactSink`` that keeps nothing: the results are the evidence of a calibration."""

    folder = ""
    keeps = False

    async def put(self, name: str, data: bytes) -> None:
        """Keep nothing."""

    async def append(self, name: str, data: bytes) -> None:
        """Keep nothing."""

    def digests(self) -> Mapping[str, str]:
        """Return that there is nothing."""
        return {}

    async def seal(self) -> None:
        """Nothing needs to be made durable."""


@dataclass(frozen=True)
class Subject:
    """One note, ready to be changed: where its cases start from, and what they are."""

    base: str
    """Commit in which it lies uncatalogued among the others."""
    task: Task
    cases: tuple[KnownCase, ...]


@dataclass
class Calibrator:
    """Judges known changes.

    Args:
        services: ports and content; no ledger is opened and no store is written.
        flow: whose checks and reviewers are measured.
        notes: the known ones, as they lie in the tree of ``start``.
        start: the commit that holds them.
    """

    services: Services
    flow: Flow
    notes: Sequence[KnownNote]
    start: str
    _reviewers: tuple[tuple[FlowNode, Agent], ...] = field(init=False)
    _check: FlowNode = field(init=False)

    def __post_init__(self) -> None:
        agents = self.services.content.agents
        self._reviewers = tuple(
            (node, agents[node.agent])
            for node in self.flow.node
            if node.agent is not None and agents[node.agent].spec.role == "reviewer"
        )
        self._check = next(node for node in self.flow.node if node.gate == "check")

    async def prepare(self, number: int, *, share: int, seed: int) -> Subject:
        """Make the base of one note and its cases."""
        note = self.notes[number]
        raw = raw_name(note.path, number)
        task = Task(
            id=f"calibration-{number:04}", kind=self.flow.name, goal="Catalogue this note.", targets=(raw,)
        )
        base = await self._uncatalogue(note, raw)
        before = await self.services.repository.read_file(base, raw) or b""
        metadata = note.metadata
        fields: dict[str, str | list[str]] = {
            "title": metadata.title, "description": metadata.description, "tags": list(metadata.tags),
        }  # fmt: skip
        good = KnownChange(
            name=note.path,
            files=(
                FileChange(
                    path=raw,
                    before=before.decode(),
                    after=set_fields(before, fields).decode(),
                    new_path=note.path,
                ),
            ),
        )
        others = [one for one in self.notes if one.path != note.path]
        cases = plan_cases(good, others, subject=note.path, share=share, seed=seed)
        return Subject(base=base, task=task, cases=cases)

    async def judge(self, subject: Subject, case: KnownCase) -> CaseResult:
        """Put one case before the checks and, where it is one for reviewers, before every reviewer.

        Raises:
            ModelError: the server failed; the case has no result.
        """
        try:
            head = await self._commit(subject, case.change)
        except ToolError as error:
            # The tools of the night refuse it, as they would by night.
            failures: tuple[str, ...] = (f"tools: {error.message}",)
            return CaseResult(case=case.name, subject=case.subject, kind=case.kind, failures=failures)
        context = self._context(subject, head, self._check)
        report = await run_checks(self.services, context, base=subject.base, head=head)
        judged = []
        if not report.failures or _is_for_reviewers(case, report):
            judged = [await self._review(subject, head, node, agent) for node, agent in self._reviewers]
        return CaseResult(
            case=case.name,
            subject=case.subject,
            kind=case.kind,
            failures=report.failures,
            judged=tuple(judged),
        )

    async def _review(self, subject: Subject, head: str, node: FlowNode, agent: Agent) -> Judged:
        context = self._context(subject, head, node)
        sink: ArtifactSink = _Unkept()
        evidence = Evidence(sink)
        change = await gather_change(self.services, context, evidence, agent)
        strength = None
        if not isinstance(change, str):
            reviewer = ready_reviewer(self.services, context, evidence, agent)
            strength = (await reviewer.run(change)).strength
        tally = evidence.tally
        return Judged(
            reviewer=agent.spec.name,
            strength=strength,
            calls=tally.calls,
            computed_tokens=tally.prompt_tokens - tally.cached_tokens,
            cached_tokens=tally.cached_tokens,
            model_s=round(tally.model_s, 3),
        )

    async def _uncatalogue(self, note: KnownNote, raw: str) -> str:
        """Return a commit in which a note has neither metadata nor a telling name; links to it follow."""
        async with self.services.repository.work_tree(self.start) as tree:
            body = split_note(note.text.encode()).body
            await asyncio.to_thread(tree.files.write_bytes, note.path, body)
            await self._rename(tree, note.path, posixpath.basename(raw))
            return await tree.commit(operation_message("Uncatalogued", ()))

    async def _commit(self, subject: Subject, change: KnownChange) -> str:
        target = change.target
        async with self.services.repository.work_tree(subject.base) as tree:
            for one in change.files:
                await asyncio.to_thread(tree.files.write_bytes, one.path, (one.after or "").encode())
            operations: list[Operation] = []
            if target.new_path is not None:
                operations = await self._rename(tree, target.path, posixpath.basename(target.new_path))
            return await tree.commit(operation_message("A known change", operations))

    async def _rename(self, tree: WorkTree, path: str, name: str) -> list[Operation]:
        operations: list[Operation] = []
        task = Task(id="rename", kind=self.flow.name, goal="Rename this note.", targets=(path,))
        context = self._context(Subject(self.start, task, ()), self.start, self._check)
        await call_tool(
            self.services.tools, "rename_note", {"path": path, "new_name": name},
            await tools_on(tree, context), Evidence(_Unkept()), self.services.clock, step=0, operations=operations,
        )  # fmt: skip
        return operations

    def _context(self, subject: Subject, head: str, node: FlowNode) -> NodeContext:
        return NodeContext(
            night=NightContext(id=NIGHT, branch="", base_commit=self.start, owner="", lease_s=0.0),
            task_key=f"{NIGHT}/{subject.task.id}",
            task=subject.task,
            flow=self.flow,
            node=node,
            attempt=1,
            base_commit=subject.base,
            input_commit=head,
            upstream={},
        )


def _is_for_reviewers(case: KnownCase, report: CheckReport) -> bool:
    """Tell whether nothing but the wrong words of its metadata denied a case: what reviewers are there to see."""
    return case.kind in JUDGED_ANYWAY and {one.name for one in report.checks if not one.passed} <= {
        "front_matter"
    }
