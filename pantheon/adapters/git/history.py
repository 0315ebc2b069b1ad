"""``ports.history.History``: a repository by day, and a git directory for the length of one command.

What is made is made in a directory of our own that borrows the user's objects; it is gone when the command ends. Only
``move`` writes to the user's repository: objects through a pack, then one compare-and-swap of one branch.
"""

import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from pantheon.adapters.git.branch_ref import move_branch
from pantheon.adapters.git.command import GitRunner
from pantheon.adapters.git.commit_stream import identity, message_bytes
from pantheon.adapters.git.own_directory import open_own
from pantheon.adapters.git.past_edits import read_commit, read_past
from pantheon.adapters.threads import run_to_end, take_in_thread
from pantheon.core.errors import GitError, MergeConflictError
from pantheon.core.history import Commit
from pantheon.core.past_changes import PastCommit
from pantheon.ports.clock import Clock
from pantheon.ports.history import Branch, LeftFile

_FORMAT = "--format=%x00%H%x1f%P%x1f%T%x1f%ct%x1f%B"
_STALE_S = 24 * 3600.0
_NAME = re.compile(r"[0-9A-Za-z._-]{1,100}")


class DayHistory:
    """One repository for one command. Make it with ``open_history``."""

    def __init__(self, checkout: GitRunner, user: GitRunner, own: GitRunner, clock: Clock) -> None:
        self._checkout = checkout
        self._user = user
        self._own = own
        self._clock = clock

    async def branches(self) -> tuple[Branch, ...]:
        said = await self._user.text(
            "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", "refs/remotes"
        )
        found = (line.rpartition(" ") for line in said.split("\n") if line)
        return tuple(Branch(name, commit) for name, _, commit in found if not name.endswith("/HEAD"))

    async def head(self) -> str:
        status, out = await self._checkout.run("symbolic-ref", "--quiet", "HEAD", ok=(0, 1))
        return out.decode("utf-8", "surrogateescape").strip() if status == 0 else ""

    async def commits(self, *until: str, without: Sequence[str] = ()) -> tuple[Commit, ...]:
        said = await self._own_or_user(
            "log",
            "--reverse",
            "--topo-order",
            _FORMAT,
            "--end-of-options",
            *until,
            *(f"^{one}" for one in without),
            "--",
        )
        return tuple(read_commit(part) for part in said.split("\0")[1:])

    async def past(self, until: str, most: int) -> tuple[PastCommit, ...]:
        return await read_past(self._user, until, most)

    async def contains(self, commit: str) -> tuple[str, ...]:
        said = await self._user.text(
            "for-each-ref", f"--contains={commit}", "--format=%(refname)", "refs/heads", "refs/remotes"
        )
        return tuple(line for line in said.split("\n") if line and not line.endswith("/HEAD"))

    async def paths(self, base: str, head: str) -> tuple[str, ...]:
        _, out = await self._own.run("diff-tree", "-r", "-z", "--name-only", "--no-renames", base, head)
        return tuple(one for one in out.decode("utf-8", "surrogateescape").split("\0") if one)

    async def pick(self, before: str, after: str, onto: str) -> str:
        # git takes the base of a merge from the commits themselves, so three are made that have the right one.
        base = await self._bare_commit(before)
        ours, theirs = [await self._bare_commit(one, base) for one in (onto, after)]
        status, out = await self._own.run(
            "merge-tree", "--write-tree", "--name-only", "--no-messages", ours, theirs, ok=(0, 1)
        )
        tree, _, rest = out.decode("utf-8", "surrogateescape").partition("\n")
        if status == 1:
            raise MergeConflictError(f"it conflicts in {', '.join(rest.split()[:10])}")
        return tree.strip()

    async def _bare_commit(self, commit: str, *parents: str) -> str:
        named = [part for parent in parents for part in ("-p", parent)]
        return await self._own.text(
            "commit-tree", f"{commit}^{{tree}}", *named, stdin=b"x\n", env=identity(self._clock)
        )

    async def commit(self, tree: str, parent: str, message: str) -> str:
        return await self._own.text(
            "commit-tree", tree, "-p", parent, stdin=message_bytes(message), env=identity(self._clock)
        )

    async def move(self, branch: str, new: str, *, old: str | None, base: str) -> None:
        ref = f"refs/heads/{branch}"
        if used := await self._user.text("for-each-ref", "--format=%(worktreepath)", ref):
            raise GitError(
                f"the branch {branch} is checked out in {used}",
                hint="Check out another branch there; Pantheon never moves a branch somebody works on.",
            )
        wanted = f"{new}\n^{old or base}\n".encode()
        _, pack = await self._own.run("pack-objects", "--revs", "--stdout", "-q", stdin=wanted)
        await self._user.run("unpack-objects", "-q", stdin=pack)
        await move_branch(self._user, ref, new, old, self._clock)

    async def write_bundle(self, file: Path, branches: Sequence[tuple[str, str]], base: str) -> None:
        names = []
        for branch, commit in branches:
            await self._own.run("update-ref", f"refs/heads/{branch}", commit)
            names.append(f"refs/heads/{branch}")
        await self._own.run("bundle", "create", "--quiet", str(file), *names, f"^{base}")

    async def patches(self, base: str, head: str) -> tuple[tuple[str, bytes], ...]:
        found = []
        for number, one in enumerate(await self.commits(head, without=(base,)), start=1):
            _, patch = await self._own.run(
                "format-patch", "-1", "--stdout", "--no-signature", "--text", one.id
            )
            words = "-".join(_NAME.findall(one.subject))[:60].strip(".-") or "change"
            found.append((f"{number:04}-{words}.patch", patch))
        return tuple(found)

    async def left_files(self, base: str, head: str) -> tuple[LeftFile, ...]:
        _, raw = await self._own.run("diff-tree", "-r", "-z", "-M", "--raw", "--no-abbrev", base, head)
        _, counted = await self._own.run("diff-tree", "-r", "-z", "-M", "--numstat", base, head)
        added = {path: count for count, path in _read_counts(counted)}
        return tuple(
            LeftFile(path, blob, added.get(path, 0))
            for status, _, path, blob in _read_raw(raw)
            if status != "D"
        )

    async def contents(self, commit: str) -> Mapping[str, str]:
        _, out = await self._own.run("ls-tree", "-r", "-z", "--full-tree", commit)
        entries = (one.split("\t", 1) for one in out.decode("utf-8", "surrogateescape").split("\0") if one)
        return {path: meta.split(" ")[2] for meta, path in entries}

    async def renames(self, old: str, new: str) -> Mapping[str, str]:
        _, raw = await self._own.run(
            "diff-tree", "-r", "-z", "-M40%", "--diff-filter=R", "--raw", "--no-abbrev", old, new
        )
        return {before: after for _, before, after, _ in _read_raw(raw)}

    async def lines_left(self, commit: str, until: str, path: str) -> int:
        _, out = await self._own.run(
            "blame", "-l", "-s", "-w", "--no-textconv", f"{commit}^..{until}", "--", path
        )
        # Lines from before the range begin with a circumflex.
        return sum(line.startswith(commit.encode()) for line in out.split(b"\n"))

    async def find_contents(self, until: str, without: str, wanted: Mapping[str, str]) -> str | None:
        left = dict(wanted)
        said = await self._own_or_user(
            "log", "--reverse", "--topo-order", "-m", "--raw", "-z", "--no-abbrev", "--no-renames", "--format=%x01%H",
            "--end-of-options", until, f"^{without}", "--", *wanted,
        )  # fmt: skip
        commit = ""
        for part in said.split("\x01")[1:]:
            commit = part[: part.index("\0")]
            for _, _, path, blob in _read_raw(
                part[part.index("\0") :].lstrip("\0\n").encode("utf-8", "surrogateescape")
            ):
                if left.get(path) == blob:
                    del left[path]
            if not left:
                return commit
        return None

    async def _own_or_user(self, *args: str) -> str:
        """Ask the user's repository for its names; what nothing points to yet is in our own alone."""
        try:
            return await self._user.text(*args)
        except GitError:
            return await self._own.text(*args)


@asynccontextmanager
async def open_history(root: Path, state: Path, clock: Clock) -> AsyncIterator[DayHistory]:
    """Open the repository at ``root`` for the length of a ``with``.

    Args:
        root: the user's work tree.
        state: folder for what is Pantheon's own.
        clock: for the time in commits.

    Raises:
        GitError: ``root`` is no git repository.
    """
    checkout = GitRunner(root / ".git")
    try:
        common = await checkout.text("rev-parse", "--path-format=absolute", "--git-common-dir")
    except GitError as error:
        raise GitError(f"{root} is not a git repository", hint=f"git -C {root} init") from error
    form = await checkout.text("rev-parse", "--show-object-format")
    await run_to_end(lambda: state.mkdir(parents=True, exist_ok=True))
    now = clock.now().timestamp()
    await run_to_end(lambda: _sweep(state, now - _STALE_S))
    made = await take_in_thread(lambda: tempfile.mkdtemp(prefix="day-", dir=state), shutil.rmtree)
    folder = Path(made)
    try:
        own = await open_own(folder / "git", Path(common), object_format=form, clock=clock)
        yield DayHistory(checkout, GitRunner(Path(common)), own, clock)
    finally:
        await run_to_end(lambda: shutil.rmtree(folder))


def _sweep(state: Path, before: float) -> None:
    """Remove what killed commands have left; no command takes a day."""
    for left in state.glob("day-????????"):
        with suppress(FileNotFoundError):  # another command sweeps too
            if left.is_dir() and not left.is_symlink() and left.stat().st_mtime < before:
                shutil.rmtree(left, ignore_errors=True)


def _read_raw(out: bytes) -> Iterator[tuple[str, str, str, str]]:
    """Yield (status, old path, new path, id of the new content) of git's raw format between NULs."""
    fields = iter(out.decode("utf-8", "surrogateescape").split("\0"))
    for meta in fields:
        if not meta:
            continue
        _, _, _, blob, status = meta.split(" ")
        old = next(fields)
        yield status[0], old, next(fields) if status[0] in "RC" else old, blob


def _read_counts(out: bytes) -> Iterator[tuple[int, str]]:
    """Yield (added lines, new path) of git's counts between NULs."""
    fields = iter(out.decode("utf-8", "surrogateescape").split("\0"))
    for one in fields:
        if not one:
            continue
        added, _, path = one.split("\t")
        if not path:
            next(fields)
            path = next(fields)
        yield (int(added) if added.isdecimal() else 0), path
