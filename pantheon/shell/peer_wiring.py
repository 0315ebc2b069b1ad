"""Other models for reviewers: so that two of them err differently, each may be answered by a model of its own."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from pantheon.adapters.http_model import HttpModelClient
from pantheon.core.errors import ConfigError
from pantheon.ports.model import ModelClient
from pantheon.shell.config import Project, UserPaths
from pantheon.shell.model_wiring import embedded_server


@asynccontextmanager
async def peer_models(
    project: Project, user: UserPaths, *, say: Callable[[str], None]
) -> AsyncIterator[Mapping[str, ModelClient]]:
    """Serve the models that reviewers have for themselves; reviewer -> its client. Each model is served once.

    Raises:
        ConfigError: another model is named where the server is not ours.
        PreflightError: a model is not there.
        ModelError: a server does not start.
    """
    wanted = project.config.review.models
    if wanted and project.config.endpoint.kind != "embedded":
        raise ConfigError(
            'pantheon.toml: review.models: only with endpoint.kind = "embedded"',
            hint="Take the section [review] out, or let Pantheon serve the models.",
        )
    clients: dict[str, ModelClient] = {}
    async with AsyncExitStack() as stack:
        for name in sorted(set(wanted.values()) - {project.config.model}):
            own = replace(project, config=project.config.model_copy(update={"model": name}))
            running = await stack.enter_async_context(embedded_server(own, user, say=say))
            client = HttpModelClient(f"embedded {name}", base_url=running.base_url, uds=str(running.socket))
            stack.push_async_callback(client.aclose)
            clients[name] = client
        yield {peer: clients[name] for peer, name in wanted.items() if name in clients}
