"""The embedded server's address: there while it serves, gone with it, and the caller's where the caller names one."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from pantheon.adapters.socket_server import SocketServer
from pantheon.core.errors import ModelError
from pantheon.testing.clock import FakeClock

ENVIRONMENT = {"TMPDIR": "/tmp"}
"""Short enough for a socket."""


class Served(SocketServer):
    """Serves nothing, and remembers what became of it."""

    fails = False
    ended = False

    async def _serve(self, socket: Path, stack: AsyncExitStack) -> None:
        stack.callback(self._note_end)
        await asyncio.to_thread(socket.touch)
        if self.fails:
            raise ModelError("it does not serve")

    def _note_end(self) -> None:
        assert self.socket.exists(), "what serves ends before its folder is gone"
        self.ended = True


async def test_the_folder_lasts_as_long_as_it_serves() -> None:
    """A private folder of its own; left, the server is ended first and then the folder is gone."""
    server = Served(ENVIRONMENT, FakeClock())
    async with server as inside:
        folder = inside.socket.parent
        assert (folder.stat().st_mode & 0o777, inside.base_url) == (0o700, "http://localhost")
    assert server.ended
    assert not folder.exists()


async def test_what_does_not_begin_leaves_nothing() -> None:
    """It fails half way: what was begun is ended, and no folder is left."""
    server = Served(ENVIRONMENT, FakeClock())
    server.fails = True
    with pytest.raises(ModelError, match="does not serve"):
        await server.__aenter__()
    assert server.ended
    assert not server.socket.parent.exists()


async def test_a_socket_that_the_caller_names_is_the_callers(tmp_path: Path) -> None:
    """It is served there, and its folder stays."""
    async with Served(ENVIRONMENT, FakeClock(), tmp_path / "s.sock") as server:
        assert server.socket == tmp_path / "s.sock"
    assert await asyncio.to_thread(tmp_path.is_dir)
