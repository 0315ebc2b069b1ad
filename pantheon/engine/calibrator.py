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
from pantheon.core.known_cases import KnownCase, KnownNote, known_notes, plan_cases, raw_name
from pantheon.core.mutations import NOTE_SUFFIXES, FileChange, KnownChange, MutationKind
from pantheon.core.notes.frontmatter import set_fields, split_note
from pantheon.core.operation import Operation, operation_message
from pantheon.core.past_changes import PastChange
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
    reviewers: tuple[tuple[FlowNode, Agent], ...] = field(init=False)
    """Those of the flow, each with its node."""
    check: FlowNode = field(init=False)
    """The flow's node that checks."""

    def __post_init__(self) -> None:
        agents = self.services.content.agents
        self.reviewers = tuple(
            (node, agents[node.agent])
            for node in self.flow.node
            if node.agent is not None and agents[node.agent].spec.role == "reviewer"
        )
        self.check = next(node for node in self.flow.node if node.gate == "check")

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

    async def prepare_past(
        self, change: PastChange, *, beside: Mapping[str, bytes], share: int, seed: int
    ) -> Subject:
        """Make the cases of a change that people made, on the commit that they made it on.

        Args:
            change: the good one.
            beside: known notes that are laid beside it: path -> content.
            share: cases wanted, the good one included.
            seed: varies the mutations.
        """
        repository = self.services.repository
        base = change.parent
        if beside:
            async with repository.work_tree(base) as tree:
                for path, data in beside.items():
                    await asyncio.to_thread(tree.files.write_bytes, path, data)
                base = await tree.commit(operation_message("Known notes", ()))
        paths = [path for path in await repository.list_files(base) if path.lower().endswith(NOTE_SUFFIXES)]
        others = [
            one
            for one in known_notes(await repository.read_files(base, paths))
            if one.path != change.old_path
        ]
        target = FileChange(
            path=change.old_path,
            before=change.before,
            after=change.after,
            new_path=None if change.path == change.old_path else change.path,
        )
        good = KnownChange(name=change.name, files=(target,))
        task = Task(
            id=f"calibration-{change.commit[:12]}",
            kind=self.flow.name,
            goal="Catalogue this note.",
            targets=(change.old_path,),
        )
        cases = plan_cases(good, others, subject=change.name, share=share, seed=seed, source=change.commit)
        return Subject(base=base, task=task, cases=cases)

    async def judge(self, subject: Subject, case: KnownCase) -> CaseResult:
        """Put one case before the checks and, where it is one for reviewers, before every reviewer.

        Raises:
            ModelError: the server failed; the case has no result.
        """
        try:
            head = await self.commit(subject, case.change)
        except ToolError as error:
            # The tools of the night refuse it, as they would by night.
            failures: tuple[str, ...] = (f"tools: {error.message}",)
            return _result(case, failures)
        context = self.context(subject, head, self.check)
        report = await run_checks(self.services, context, base=subject.base, head=head)
        judged = []
        if not report.failures or _is_for_reviewers(case, report):
            judged = [await self._review(subject, head, node, agent) for node, agent in self.reviewers]
        return _result(case, report.failures, judged)

    async def _review(self, subject: Subject, head: str, node: FlowNode, agent: Agent) -> Judged:
        context = self.context(subject, head, node)
        sink: ArtifactSink = _Unkept()
        evidence = Evidence(sink)
        change = await gather_change(self.services, context, evidence, agent)
        strength = None
        if not isinstance(change, str):
            reviewer = ready_reviewer(self.services, context, evidence, agent, thorough=True)
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

    async def commit(self, subject: Subject, change: KnownChange) -> str:
        """Return a commit on a subject's base that makes a change as a night's tools would.

        Raises:
            ToolError: they refuse it.
        """
        target = change.target
        async with self.services.repository.work_tree(subject.base) as tree:
            for one in change.files:
                await asyncio.to_thread(tree.files.write_bytes, one.path, (one.after or "").encode())
            # A note that keeps its name was changed by the tool that sets metadata, which takes no bytes as they are.
            set_by = {"path": target.path}
            operations = [Operation(tool="set_front_matter", args=set_by, changed=(target.path,))]
            if target.new_path is not None:
                operations = await self._rename(tree, target.path, posixpath.basename(target.new_path))
            return await tree.commit(operation_message("A known change", operations))

    async def _rename(self, tree: WorkTree, path: str, name: str) -> list[Operation]:
        operations: list[Operation] = []
        task = Task(id="rename", kind=self.flow.name, goal="Rename this note.", targets=(path,))
        context = self.context(Subject(self.start, task, ()), self.start, self.check)
        await call_tool(
            self.services.tools, "rename_note", {"path": path, "new_name": name},
            await tools_on(tree, context), Evidence(_Unkept()), self.services.clock, step=0, operations=operations,
        )  # fmt: skip
        return operations

    def context(self, subject: Subject, head: str, node: FlowNode) -> NodeContext:
        """Return what a node of the flow is given to judge a commit of a subject."""
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


def _result(case: KnownCase, failures: Sequence[str], judged: Sequence[Judged] = ()) -> CaseResult:
    return CaseResult(
        case=case.name,
        subject=case.subject,
        kind=case.kind,
        failures=tuple(failures),
        judged=tuple(judged),
        source=case.source,
    )


def _is_for_reviewers(case: KnownCase, report: CheckReport) -> bool:
    """Tell whether nothing but the wrong words of its metadata denied a case: what reviewers are there to see."""
    return case.kind in JUDGED_ANYWAY and {one.name for one in report.checks if not one.passed} <= {
        "front_matter"
    }
