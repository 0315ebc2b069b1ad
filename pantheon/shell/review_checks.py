"""What ``pantheon doctor`` says of the reviewers: does their word count with the model that answers tonight?"""

import asyncio

from pantheon.core.errors import LocalityError, ModelError
from pantheon.core.qualification import Qualified
from pantheon.shell import wiring
from pantheon.shell.checks import Finding, Grade
from pantheon.shell.config import Project
from pantheon.shell.judges import embedded_identity, load_qualified
from pantheon.shell.server_wiring import ask_endpoint

SERVER_TIMEOUT_S = 10.0


async def ask_reviewers(project: Project) -> Finding:
    """Tell whether every reviewer of every flow that merges is qualified."""
    agents = await asyncio.to_thread(wiring.load_agents, project)
    flows = await asyncio.to_thread(wiring.load_flows, project)
    try:
        model = await _identity(project)
    except (LocalityError, ModelError) as error:
        return Finding("reviewers", Grade.WARN, f"cannot tell without the server: {error.message}")
    qualified: Qualified = await asyncio.to_thread(load_qualified, project, model)
    wanting: list[str] = []
    asked: set[str] = set()
    for flow in flows.values():
        for node in flow.node:
            agent = agents.get(node.agent or "")
            if agent is None or agent.spec.role != "reviewer":
                continue
            opening = agents.get(agent.spec.shares_prefix_of or agent.spec.name, agent)
            asked.add(agent.spec.name)
            if why := qualified.against(agent, opening, flow.name):
                wanting.append(f"{agent.spec.name} in {flow.name}: {why}")
    if wanting:
        said = f"{'; '.join(wanting)}; what needs their word is held, and nothing of it merges"
        return Finding("reviewers", Grade.WARN, said, "pantheon review calibrate")
    return Finding("reviewers", Grade.OK, f"{', '.join(sorted(asked)) or 'none'}: qualified with this model")


async def _identity(project: Project) -> str:
    if project.config.endpoint.kind == "embedded":
        return await asyncio.to_thread(embedded_identity, project)
    return f"served:{(await ask_endpoint(project, deadline_s=SERVER_TIMEOUT_S)).model}"
