"""What ``pantheon doctor`` asks of the endpoints of a pool."""

import asyncio

from pantheon.shell.checks import Finding, Grade
from pantheon.shell.config import Project
from pantheon.shell.pool_look_wiring import look_at_pool
from pantheon.shell.pool_wiring import models_asked
from pantheon.shell.wiring import load_content


async def ask_pool(project: Project) -> Finding:
    """Tell whether every endpoint answers, and serves what agents will ask for."""
    content = await asyncio.to_thread(load_content, project)
    if not project.config.pool and not models_asked(content):
        return Finding("pool", Grade.OK, "there is one endpoint, and one model")
    seen = await look_at_pool(project)
    served = {name for one in seen for name in (*one.models, *one.adapters, one.serving)}
    missing = [
        f"{', '.join(agents)}: {model}"
        for model, agents in models_asked(content).items()
        if model not in served and model != project.config.endpoint.model
    ]
    if missing and project.config.endpoint.kind != "embedded":
        said = f"agents ask for models that no endpoint is configured to serve: {'; '.join(missing)}"
        return Finding("pool", Grade.FAIL, said, "Name them in a [[pool]] entry of pantheon.toml.")
    wrong = [f"{one.name}: {one.problem}" for one in seen if one.problem]
    wrong += [f"{one.name}: is drained ({one.draining})" for one in seen if one.draining]
    blind = [one.name for one in seen if one.answers and not one.logprobs]
    if blind and content.reviewers:
        said = f"reports no log-probabilities: {', '.join(blind)}"
        return Finding("pool", Grade.FAIL, said, "Serve the model with llama.cpp or vLLM.")
    if wrong:
        return Finding("pool", Grade.WARN, "; ".join(wrong), "pantheon server pool")
    return Finding("pool", Grade.OK, f"{len(seen)} endpoints answer: {', '.join(one.name for one in seen)}")
