"""Keeps a vLLM running: starts it, waits until it answers, and starts it again when it ends or hangs.

Invariants:
- whoever has the address already is waited for while he loads, used when he answers, and never fought;
- what was started is ended with all its children, however the supervisor ends;
- it is started again with a wait that doubles, a bounded number of times in a row; only time in which it answered
  begins the count anew.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.listening import clear_socket
from pantheon.adapters.served_process import start_process, stop_process
from pantheon.core.breaker import CEILING_S, FIRST_WAIT_S
from pantheon.core.errors import ModelGoneError, ModelTimeoutError, PreflightError
from pantheon.core.server_watch import Patience
from pantheon.core.vllm import VllmServer, vllm_command, vllm_environment
from pantheon.ports.clock import Clock
from pantheon.shell.config import Project
from pantheon.shell.environment import environment
from pantheon.shell.vllm_watch import Presence, find_presence, is_ready, watch_foreign, watch_own

MAX_RESTARTS = 5
"""Starts in a row that come to nothing."""
STAYED_S = 600.0
"""A server that answered for so long begins its count anew."""
POLL_S, STOP_GRACE_S = 0.5, 20.0
Say = Callable[[str], None]


@dataclass
class Keeper:
    """What one supervisor knows of its server."""

    project: Project
    server: VllmServer
    log: Path
    say: Say
    stopping: asyncio.Event
    ready: asyncio.Event
    patience: Patience
    clock: Clock = field(default_factory=SystemClock)
    in_vain: int = 0

    async def keep(self) -> None:
        """Use who is there, else start one of ours, again and again."""
        while not self.stopping.is_set():
            if await self._settle():
                self.say("a server answers there already; it is used as it is")
                self.ready.set()
                foreign = watch_foreign(self.project, self.patience, self.clock, self.say)
                await _first(self.stopping.wait(), foreign)
            elif not self.stopping.is_set():
                await self._serve()

    async def _settle(self) -> bool:
        """Wait while somebody at the address loads; True when he answers, False when nobody is there.

        Raises:
            PreflightError: he is not what is configured.
            ModelTimeoutError: he does not answer in time.
        """
        limit, waits, other = self.project.config.vllm.ready_timeout_s, False, 0
        where = self.project.config.endpoint.uds or self.project.config.endpoint.url
        until = self.clock.monotonic() + limit
        while not self.stopping.is_set():
            presence, problem = await find_presence(self.project)
            if presence in (Presence.NOBODY, Presence.READY):
                return presence is Presence.READY
            other = other + 1 if presence is Presence.OTHER else 0
            if other > 1:
                raise PreflightError(
                    f"somebody else has {where}: {problem}",
                    hint="It is left alone. Stop it, or name another address or its model as [endpoint].",
                )
            if not waits and not other:
                waits = True
                self.say(f"somebody has {where} and does not answer yet ({problem}); waiting for him")
            if self.clock.monotonic() > until:
                raise ModelTimeoutError(
                    f"somebody has {where} and did not answer within {limit} s: {problem}",
                    hint="It is left alone. Stop it, or raise vllm.ready_timeout_s.",
                )
            await _first(self.stopping.wait(), self.clock.sleep(POLL_S))
        return False

    async def _serve(self) -> None:
        """Start the server once and stay with it until it ends, hangs or is wanted no more; then wait.

        Raises:
            ModelGoneError: it came to nothing too often in a row.
            ModelTimeoutError: it never answered.
        """
        await asyncio.to_thread(clear_socket, self.server.uds)
        command, variables = vllm_command(self.server), vllm_environment(self.server)
        process = await start_process(command, variables, environment(), self.log)
        why = ""
        try:
            self.say(f"started vLLM as process {process.pid}; its log: {self.log}")
            began = self.clock.monotonic()
            if await self._wait_ready(process):
                served_from = self.clock.monotonic()
                self.say(f"{self.server.name} answers after {served_from - began:.0f} s")
                self.ready.set()
                why = await self._watch(process)
                if self.clock.monotonic() - served_from > STAYED_S:
                    self.in_vain = 0
            elif process.returncode is None and not self.stopping.is_set():
                why = f"it did not answer within {self.project.config.vllm.ready_timeout_s} s"
            if why:
                self.say(f"vLLM hangs: {why}; it is ended")
        finally:
            await stop_process(process, grace_s=STOP_GRACE_S)
        if self.stopping.is_set():
            return
        self.in_vain += 1
        if self.in_vain > MAX_RESTARTS:
            raise ModelGoneError(
                f"vLLM ended {self.in_vain} times in a row", hint=f"The end of {self.log} says why."
            )
        wait_s = min(FIRST_WAIT_S * 2.0**self.in_vain, CEILING_S)
        self.say(f"vLLM ended ({process.returncode}); it is started again in {wait_s:.0f} s")
        await _first(self.stopping.wait(), self.clock.sleep(wait_s))

    async def _watch(self, process: asyncio.subprocess.Process) -> str:
        """Stay with a server that answers; returns why it hangs, empty when it ended or is wanted no more."""
        found = ""

        async def watch() -> None:
            nonlocal found
            found = await watch_own(self.project, process.pid, self.patience, self.clock)

        await _first(self.stopping.wait(), process.wait(), watch())
        return found

    async def _wait_ready(self, process: asyncio.subprocess.Process) -> bool:
        """Wait until the server answers; False when it ended, was wanted no more, or took too long once more."""
        limit = self.project.config.vllm.ready_timeout_s
        try:
            async with asyncio.timeout(limit):
                while process.returncode is None and not self.stopping.is_set():
                    if not await is_ready(self.project):
                        return True
                    await self.clock.sleep(POLL_S)
        except TimeoutError as error:
            if self.ready.is_set():
                return False
            raise ModelTimeoutError(
                f"vLLM did not answer within {limit} s",
                hint="Raise vllm.ready_timeout_s, or look at its log.",
            ) from error
        return False


async def _first(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait for the first of several, and let go of the others."""
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(one, name="wait") for one in waits]
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for one in running:
            one.cancel()
