"""A work tree in memory, with the refusals of the real one."""

from collections.abc import Iterable, Mapping

from pantheon.core.errors import ToolError
from pantheon.core.task import check_relative_path

MAX_WRITE_BYTES = 8_000_000


class FakeTree:
    """``ports.worktree.TreeFiles`` over a dictionary.

    Args:
        files: path -> content; text is stored as UTF-8.
        links: paths that are symbolic links; every use of one, or of a path below one, is refused.
    """

    def __init__(self, files: Mapping[str, bytes | str] | None = None, links: Iterable[str] = ()) -> None:
        self.content = {
            path: data.encode() if isinstance(data, str) else data for path, data in (files or {}).items()
        }
        """path -> content, to look at from a test."""
        self.links = frozenset(links)

    def list_files(self) -> tuple[str, ...]:
        return tuple(sorted(self.content))

    def exists(self, path: str) -> bool:
        _check(path)
        if any(above in self.links for above in _above(path)):
            raise ToolError(f"{path}: a symbolic link is on the way")
        return path in self.content or path in self.links or self._is_folder(path)

    def read_bytes(self, path: str, *, max_bytes: int = 1_000_000) -> bytes:
        data = self.content[self._file(path)]
        if len(data) > max_bytes:
            raise ToolError(f"{path}: larger than {max_bytes} bytes")
        return data

    def write_bytes(self, path: str, data: bytes) -> None:
        if len(data) > MAX_WRITE_BYTES:
            raise ToolError(f"{path}: {len(data)} bytes are more than a tool may write")
        self._place_for(path)
        self.content[path] = data

    def move(self, source: str, target: str) -> None:
        if self.exists(target):
            raise ToolError(f"{target}: already exists")
        self._place_for(target)
        self.content[target] = self.content.pop(self._file(source))

    def _file(self, path: str) -> str:
        _check(path)
        if path in self.links or any(above in self.links for above in _above(path)):
            raise ToolError(f"{path}: a symbolic link is on the way")
        if self._is_folder(path):
            raise ToolError(f"{path}: not a regular file")
        if path not in self.content:
            raise ToolError(f"{path}: No such file or directory")
        return path

    def _place_for(self, path: str) -> None:
        """Refuse a path where no file can be put."""
        _check(path)
        if path in self.links or any(above in self.links for above in _above(path)):
            raise ToolError(f"{path}: a symbolic link is on the way")
        if self._is_folder(path):
            raise ToolError(f"{path}: not a regular file")
        if any(above in self.content for above in _above(path)):
            raise ToolError(f"{path}: Not a directory")

    def _is_folder(self, path: str) -> bool:
        return any(known.startswith(f"{path}/") for known in (*self.content, *self.links))


def _check(path: str) -> None:
    try:
        check_relative_path(path)
    except ValueError as error:
        raise ToolError(f"{path[:80]!r}: {error}") from error


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]
