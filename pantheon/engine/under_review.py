"""What a reviewer sees of a change, gathered from the commits; and the reviewer itself, made ready.

A night's review nodes and the calibration of reviewers both come through here: what was measured is what works.
"""

import asyncio
from collections.abc import Iterable, Sequence

from pantheon.core.agent import Agent
from pantheon.core.decoys import Metadata
from pantheon.core.errors import ToolError
from pantheon.core.flow import Flow
from pantheon.core.notes.frontmatter import split_note
from pantheon.core.notes.metadata import metadata_of
from pantheon.core.notes.unheard import audible_file, heard_of
from pantheon.core.operation import TRAILER, follow_path, parse_operations
from pantheon.engine.evidence import Evidence
from pantheon.engine.reviewer import Reviewer, UnderReview
from pantheon.engine.services import NodeContext, Services
from pantheon.engine.tool_call import prefetch
from pantheon.ports.worktree import WorkTree
from pantheon.tools.registry import ToolContext
from pantheon.tools.rename import NOTE_SUFFIXES

MAX_NEIGHBOURS = 200


async def gather_change(
    services: Services, context: NodeContext, evidence: Evidence, agent: Agent
) -> UnderReview | str:
    """Return the change from the context's base to its input as a reviewer sees it, or why there is nothing to see."""
    repository = services.repository
    target = context.task.targets[0] if context.task.targets else ""
    values = await repository.trailer_values(context.base_commit, context.input_commit, TRAILER)
    now = follow_path(target, parse_operations(values))
    after = await repository.read_file(context.input_commit, now) if now else None
    proposal = metadata_of(after) if after is not None else None
    before = await repository.read_file(context.base_commit, target) if target else None
    if proposal is None or before is None:
        return "there is nothing to review: the target has no metadata"
    heard = audible_file(before, (proposal.title, proposal.description))
    async with repository.work_tree(context.base_commit) as tree:
        if heard != before:
            await asyncio.to_thread(tree.files.write_bytes, target, heard)
        tools = await tools_on(tree, context)
        try:
            excerpt = await prefetch(
                services.tools, opening_of(services, agent).spec.prefetch, tools, evidence, services.clock,
                operations=[],
            )  # fmt: skip
        except ToolError as error:
            return error.message
    return UnderReview(
        base=context.base_commit,
        head=context.input_commit,
        tree=await repository.tree_of(context.input_commit),
        target=heard.decode("utf-8", "replace"),
        excerpt=excerpt,
        proposal=proposal,
        heard=heard_of(*(split_note(data).body.decode("utf-8", "replace") for data in (before, heard))),
        neighbours=await _neighbours(services, context, target),
    )


def ready_reviewer(
    services: Services, context: NodeContext, evidence: Evidence, agent: Agent, *, thorough: bool = False
) -> Reviewer:
    """Return a reviewer who can be asked about a change of the context's task.

    Args:
        services: ports and content.
        context: the reviewing node.
        evidence: where calls are recorded.
        agent: the reviewer.
        thorough: make every comparison, also when the verdict is certain before.
    """
    opening = opening_of(services, agent)
    return Reviewer(
        agent=agent,
        opening=opening,
        cards=[services.tools.get(name).card for name in opening.spec.tools],
        task=context.task,
        client=services.peers.get(agent.spec.name, services.model),
        evidence=evidence,
        confident=_confident(services, context, agent, opening),
        thorough=thorough,
    )


def unqualified(services: Services, flow: Flow, names: Iterable[str]) -> dict[str, str]:
    """Return reviewer -> why its word does not count in a flow, of those that are not qualified."""
    if services.qualified is None:
        return {}
    agents = [services.content.agents[name] for name in names if name in services.content.agents]
    found = {
        agent.spec.name: services.qualified.against(agent, opening_of(services, agent), flow.name)
        for agent in agents
    }
    return {name: why for name, why in found.items() if why}


def _confident(services: Services, context: NodeContext, agent: Agent, opening: Agent) -> float:
    if services.qualified is None:
        return 0.0
    return services.qualified.confident(agent, opening, context.flow.name) or 0.0


def opening_of(services: Services, agent: Agent) -> Agent:
    """Return the agent whose opening turns a reviewer's prompt begins with."""
    return services.content.agents[agent.spec.shares_prefix_of or agent.spec.name]


async def tools_on(tree: WorkTree, context: NodeContext, agent: Agent | None = None) -> ToolContext:
    """Return what tools get to see on a work tree."""
    prompts = () if agent is None else (agent.prompt, *(example.user for example in agent.examples))
    answers = () if agent is None else tuple(example.answer for example in agent.examples)
    return ToolContext(
        files=tree.files,
        task=context.task,
        tree_paths=await asyncio.to_thread(tree.files.list_files),
        prompt_texts=(*prompts, *(str(value) for answer in answers for value in answer.values())),
    )


async def _neighbours(services: Services, context: NodeContext, target: str) -> Sequence[Metadata]:
    """Return the metadata that other notes had before the change."""
    repository = services.repository
    paths = [
        path
        for path in await repository.list_files(context.base_commit)
        if path.lower().endswith(NOTE_SUFFIXES) and path != target
    ]
    read = await repository.read_files(context.base_commit, paths[:MAX_NEIGHBOURS])
    found = [metadata_of(data) for data in read.values()]
    return [metadata for metadata in found if metadata is not None]
