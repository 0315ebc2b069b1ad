"""A change as the checks look at it: its paths, its operations, and every file read once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from pantheon.core.operation import Operation, follow_path
from pantheon.engine.services import NodeContext, Services
from pantheon.ports.worktree import ChangedPath, Repository


@dataclass(frozen=True)
class Change:
    """A change as the checks look at it."""

    services: Services
    context: NodeContext
    base: str
    head: str
    paths: tuple[ChangedPath, ...]
    operations: tuple[Operation, ...]
    _files: dict[tuple[str, str], bytes] = field(default_factory=dict)

    @property
    def repository(self) -> Repository:
        """The commits."""
        return self.services.repository

    @cached_property
    def renames(self) -> Mapping[str, str]:
        """Old path -> new path of every target that was renamed."""
        moved = {target: follow_path(target, self.operations) for target in self.context.task.targets}
        return {old: new for old, new in moved.items() if old != new}

    @cached_property
    def came_from(self) -> Mapping[str, str]:
        """New path -> old path of the same."""
        return {new: old for old, new in self.renames.items()}

    async def text_before(self, path: str) -> str:
        """Return a file at the base as text, whatever its bytes."""
        return (await self.before(path)).decode("utf-8", "replace")

    async def text_after(self, path: str) -> str:
        """Return a file at the head as text, whatever its bytes."""
        return (await self.after(path)).decode("utf-8", "replace")

    async def before(self, path: str) -> bytes:
        """Return a file at the base; empty when it was not there."""
        return await self._read(self.base, path)

    async def after(self, path: str) -> bytes:
        """Return a file at the head; empty when it is not there."""
        return await self._read(self.head, path)

    async def _read(self, commit: str, path: str) -> bytes:
        """Return a file, asking git for it once; several checks look at the same ones."""
        if (commit, path) not in self._files:
            self._files[commit, path] = await self.repository.read_file(commit, path) or b""
        return self._files[commit, path]
