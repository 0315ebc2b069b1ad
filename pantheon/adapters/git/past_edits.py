"""Reads what the commits of a branch did to which files, in one call of git, newest ones only.

Messages and file names are anybody's: the output is read field by field between NULs, which neither can hold.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from pantheon.adapters.git.command import GitRunner
from pantheon.core.errors import GitError
from pantheon.core.history import Commit
from pantheon.core.past_changes import Edit, PastCommit

_LAST_S = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())
_FORMAT = "--format=%x01%H%x1f%P%x1f%T%x1f%ct%x1f%B"


async def read_past(runner: GitRunner, until: str, most: int) -> tuple[PastCommit, ...]:
    """Return the newest commits that lead to one, and what they changed; oldest first.

    A merge has the files that it left as none of its parents had them.

    Args:
        runner: the repository.
        until: a commit.
        most: commits.

    Raises:
        GitError: git refused.
    """
    _, out = await runner.run(
        "log", "--topo-order", f"--max-count={most}", "--raw", "-z", "-M", "-l400", "--no-abbrev", "--no-color",
        "--encoding=UTF-8", "--diff-merges=combined", _FORMAT, "--end-of-options", until, "--",
    )  # fmt: skip
    return tuple(reversed(list(_read(out.decode("utf-8", "surrogateescape")))))


def _read(said: str) -> Iterator[PastCommit]:
    fields = iter(said.split("\0"))
    commit: Commit | None = None
    edits: list[Edit] = []
    for field in fields:
        if field.startswith("\x01"):
            if commit is not None:
                yield PastCommit(commit, tuple(edits))
            commit, edits = read_commit(field[1:]), []
        elif field.lstrip("\n").startswith(":"):
            edits.append(_read_edit(field.lstrip("\n"), fields))
        elif field.strip("\n"):
            raise GitError("git log: a line that is none of its raw format")
    if commit is not None:
        yield PastCommit(commit, tuple(edits))


def _read_edit(meta: str, fields: Iterator[str]) -> Edit:
    parents = len(meta) - len(meta.lstrip(":"))
    words = meta[parents:].split(" ")
    modes, blobs, status = words[: parents + 1], words[parents + 1 : -1], words[-1]
    old = next(fields)
    new = next(fields) if parents == 1 and status[0] in "RC" else old
    return Edit(status[0], old, new, modes[0], modes[-1], blobs[0], blobs[-1])


def read_commit(text: str) -> Commit:
    """Return a commit from (id, parents, tree, seconds, message) with unit separators between."""
    commit, parents, tree, at, message = text.split("\x1f", 4)
    return Commit(
        id=commit,
        parents=tuple(parents.split()),
        tree=tree,
        # Who makes a commit writes any time into it: one that no calendar has is the end of ours.
        at=datetime.fromtimestamp(min(max(int(at), 0), _LAST_S), UTC),
        message=message.strip("\n").encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
    )
