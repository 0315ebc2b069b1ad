"""The pool's half of the wiring: every endpoint is held against what the night needs of it, and then asked as one.

Invariants:
- one address that is not local, or one endpoint that fronts a cloud, refuses the night, whatever the others are;
- an endpoint that cannot be reached when the night begins is left out of it, and said to be: nobody knows which
  models it would have had; the rest must serve all that is asked for;
- one that answers, and not as it is configured, refuses the night.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.http_model import HttpModelClient
from pantheon.adapters.lora_adapters import load_adapter, unload_adapter
from pantheon.adapters.server_file import remember_server
from pantheon.core.errors import (
    LocalityError,
    ModelError,
    ModelLostError,
    ModelOverloadedError,
    ModelTimeoutError,
    PreflightError,
    ServerAwayError,
)
from pantheon.core.server_capabilities import Capability, refuse_without
from pantheon.engine.endpoint_models import EndpointModels
from pantheon.engine.pooled_model import LOST, PooledModel, ReadDrains
from pantheon.shell.config import Project
from pantheon.shell.pool_address_wiring import Address, pool_addresses
from pantheon.shell.pool_config import OWN_ENDPOINT, PoolConfig
from pantheon.shell.wiring import connect_endpoint, endpoint_address

if TYPE_CHECKING:
    from pantheon.core.server_capabilities import ServerCapabilities
    from pantheon.engine.services import Content

ASK_S, LOAD_S = 60.0, 300.0
"""Seconds for the questions to an endpoint, and for an adapter that it loads."""
UNREACHED = (ModelLostError, ModelTimeoutError, ModelOverloadedError)
Say = Callable[[str], None]


def pool_wanted(project: Project, content: "Content") -> bool:
    """Tell whether calls may go to more than one model of one endpoint."""
    return bool(project.config.pool or models_asked(content))


def models_asked(content: "Content") -> Mapping[str, tuple[str, ...]]:
    """Return model or adapter -> the agents of the flows that ask for it by name."""
    used = {node.agent for flow in content.flows.values() for node in flow.node}
    asked: dict[str, tuple[str, ...]] = {}
    for name, agent in sorted(content.agents.items()):
        runtime = agent.spec.runtime
        for model in dict.fromkeys((runtime.model, runtime.adapter)) if name in used else ():
            if model:
                asked[model] = (*asked.get(model, ()), name)
    return asked


def refuse_other_models(project: Project, content: "Content") -> None:
    """Refuse agents that ask for a model that the one model of this night is not. Raises ``PreflightError``."""
    for model, agents in models_asked(content).items():
        if model != project.config.model:
            raise PreflightError(
                f"no endpoint serves {model!r}, which {', '.join(agents)} would ask for: the embedded server has "
                f"{project.config.model!r}",
                hint='Serve it beside Pantheon, with endpoint.kind = "openai" and [[pool]] (docs/servers.md).',
            )


@asynccontextmanager
async def open_pool(
    project: Project, content: "Content", *, say: Say, read_drains: ReadDrains
) -> AsyncIterator[PooledModel]:
    """Connect to every endpoint, hold it against what the night needs, and keep them all for the length of a ``with``.

    Raises:
        LocalityError: an endpoint is not local, or fronts a cloud.
        PreflightError: a model or a capability that the night needs is missing, or one is configured wrongly.
    """
    addresses = await asyncio.to_thread(pool_addresses, project)
    async with AsyncExitStack() as stack:
        opening = _Opening(project, content, say, stack)
        for address in (None, *addresses):
            await opening.take(address)
        opening.refuse_missing()
        pool = PooledModel(
            opening.taken,
            SystemClock(),
            read_drains=read_drains,
            tell=lambda name, what, why: say(f"endpoint {name} {what}{': ' if why else ''}{why}"),
        )
        await stack.enter_async_context(pool.kept())
        yield pool


@dataclass
class _Opening:
    """What is known while endpoints are connected to one after another, ``[endpoint]`` first."""

    project: Project
    content: "Content"
    say: Say
    stack: AsyncExitStack
    taken: list[tuple[EndpointModels, int]] = field(default_factory=list)
    own_model: str = ""
    """Name of the night's own model."""
    left_out: list[str] = field(default_factory=list)

    async def take(self, address: Address | None) -> None:
        """Connect to an endpoint, None for that of ``[endpoint]``, and have it serve what it should."""
        name = OWN_ENDPOINT if address is None else address.name
        try:
            await self._take(name, address)
        except LocalityError:
            raise
        except UNREACHED as error:
            self.left_out.append(name)
            self.say(f"endpoint {name} {LOST}, and left out of this night: {error.message}")
        except ModelError as error:
            raise PreflightError(
                f"endpoint {name} does not serve what is configured: {error.message}",
                hint=error.hint
                or "Mend [endpoint] and [[pool]] in pantheon.toml; pantheon server asks each.",
            ) from error

    async def _take(self, name: str, address: Address | None) -> None:
        config = self._config(name)
        if address is None:
            self.own_model = self.project.config.endpoint.model
            first = connect_endpoint(self.project)
            self.stack.push_async_callback(first.aclose)
            self.own_model, _ = await first.identity(deadline_s=ASK_S)
            clients: dict[str, HttpModelClient] = {"": first, self.own_model: first}
        else:
            if not config.models and not self.own_model:
                raise ServerAwayError(
                    f"endpoint {OWN_ENDPOINT} does not answer, so that the night's own model has no name",
                    hint="Set endpoint.model in pantheon.toml.",
                )
            clients = {}
        loaded: list[str] = []
        # Once for the night: what policies say while it runs is read by none of its tasks.
        base, uds = await self._place(address)
        for model in (*(config.models or (self.own_model,)), *config.adapters):
            if model in clients:
                continue
            if model in config.adapters and await self._load(name, base, uds, model, config.adapters[model]):
                loaded.append(model)
                self.stack.push_async_callback(self._unload, base, uds, name, model)
            clients[model] = await self._connect(address, model)
        if self.own_model in clients:
            clients[""] = clients[self.own_model]

        async def restore() -> None:
            for adapter in loaded:
                await self._load(name, base, uds, adapter, config.adapters[adapter])

        endpoint = EndpointModels(name, clients, restore)
        await endpoint.identities(deadline_s=ASK_S)
        found = await next(iter(clients.values())).capabilities(
            deadline_s=ASK_S, asked_at=SystemClock().now()
        )
        found = found.model_copy(update={"endpoint": name})
        await self._judge(endpoint, found)
        for client in clients.values():
            client.constrained = found.has(Capability.JSON_SCHEMA)
        self.taken.append((endpoint, config.weight))

    def _config(self, name: str) -> PoolConfig:
        own = (one for one in self.project.config.pool if one.name == name)
        return next(own, PoolConfig(name=OWN_ENDPOINT))

    async def _connect(self, address: Address | None, model: str) -> HttpModelClient:
        if address is None:
            client = connect_endpoint(self.project, model=model)
        else:
            client = HttpModelClient(
                address.name, base_url=address.base_url, uds=address.uds, model=model,
                max_connections=self.project.config.slots["model"] + 4,
            )  # fmt: skip
        self.stack.push_async_callback(client.aclose)
        return client

    async def _load(self, name: str, base: str, uds: str | None, adapter: str, folder: str) -> bool:
        """Have an endpoint load an adapter; False where it lists it already."""
        place = str(Path(self.project.root / folder))
        if not await load_adapter(base, uds, name, adapter, place, deadline_s=LOAD_S):
            return False
        self.say(f"endpoint {name} has loaded the adapter {adapter}")
        return True

    async def _place(self, address: Address | None) -> tuple[str, str | None]:
        if address is None:
            return await asyncio.to_thread(endpoint_address, self.project)
        return address.base_url, address.uds

    async def _unload(self, base: str, uds: str | None, name: str, adapter: str) -> None:
        try:
            await unload_adapter(base, uds, name, adapter, deadline_s=ASK_S)
        except (ModelError, LocalityError) as error:
            # The night is over: that it stays loaded is to be said, and fails nothing.
            self.say(f"the adapter {adapter} stays loaded: {error.message}")

    async def _judge(self, endpoint: EndpointModels, found: "ServerCapabilities") -> None:
        """Refuse an endpoint that cannot do what would be asked of it, and say what it cannot do besides."""
        if self.project.state.is_dir():
            await asyncio.to_thread(remember_server, self.project.state, found)
        reviewers = [one for one in self._reviewers() if self._asks(one) in endpoint.clients]
        if problem := refuse_without(found, reviewers):
            raise PreflightError(problem, hint="Serve the model with llama.cpp or vLLM. See docs/servers.md.")
        served = [model for model in endpoint.clients if model]
        self.say(f"using endpoint {endpoint.endpoint}, which serves {', '.join(served)}")
        for missing in found.describe():
            self.say(f"endpoint {endpoint.endpoint}: {missing}")

    def _reviewers(self) -> Sequence[str]:
        used = {node.agent for flow in self.content.flows.values() for node in flow.node}
        return [name for name in self.content.reviewers if name in used]

    def _asks(self, agent: str) -> str:
        return self.content.agents[agent].spec.runtime.asks

    def refuse_missing(self) -> None:
        """Refuse to begin where somebody would ask for what nobody serves. Raises ``PreflightError``."""
        served = {model for endpoint, _ in self.taken for model in endpoint.clients}
        # What is missing may be served by one that is still loading.
        refused = ServerAwayError if self.left_out else PreflightError
        out = f" (left out, because they do not answer: {', '.join(self.left_out)})" if self.left_out else ""
        if "" not in served:
            raise refused(
                f"no endpoint serves the night's own model {self.own_model!r}{out}",
                hint="Start one, or mend [endpoint] and [[pool]] in pantheon.toml.",
            )
        for model, agents in models_asked(self.content).items():
            if model not in served:
                raise refused(
                    f"no endpoint serves {model!r}, which {', '.join(agents)} would ask for{out}",
                    hint="Name it under models or adapters of a [[pool]] entry, or mend runtime of the agent.",
                )
            for name in agents:
                runtime = self.content.agents[name].spec.runtime
                both = {one for one in (runtime.model, runtime.adapter) if one}
                if not any(both <= set(endpoint.clients) for endpoint, _ in self.taken):
                    raise refused(
                        f"no endpoint serves both {runtime.model!r} and its adapter {runtime.adapter!r}, which {name} "
                        f"would ask for{out}",
                        hint="Name both in one [[pool]] entry.",
                    )
