"""One work tree of the pool: a plain folder, without a ``.git`` that a tool could rewrite.

Invariants:
- what ``files`` writes is noted before it is written, so a commit and the next lease look at those paths alone,
  whatever the size of the repository; once ``folder`` was handed out, they look at every file;
- when anything broke off in the middle, or another process had the tree, the next lease makes all of it again;
- what a killed attempt left is kept as a commit before the folder is cleaned.
"""

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import structlog

from pantheon.adapters.git import delta
from pantheon.adapters.git.command import GitRunner
from pantheon.adapters.git.commit_stream import Written, commit_stream, identity, parse_answer, read_written
from pantheon.adapters.git.folders import remove_named, remove_tree, sweep_empty
from pantheon.adapters.git.rescue import commit_whole, rescue
from pantheon.adapters.git.tree_files import DiskTree, Journal
from pantheon.adapters.git.tree_state import StateFile, TreeState, hold
from pantheon.adapters.threads import run_stoppable, run_to_end
from pantheon.core.errors import GitError
from pantheon.ports.clock import Clock
from pantheon.ports.crash_points import CrashPoint, reach

MAX_DELTA_PATHS = 1000
"""Beyond that, git writes the folder faster."""
FULL_CHECKOUT_S = 1800.0
"""For a checkout of every file, on a slow disk."""
_log = structlog.get_logger()
T = TypeVar("T")


class PooledTree:
    """``ports.worktree.WorkTree`` on one folder, used by one lease after the other.

    Args:
        git: the night's own git directory.
        folder: where the files are.
        owner: name of the pool, unlike any other's.
        clock: for the time in commits.
    """

    def __init__(self, git: GitRunner, folder: Path, *, owner: str, clock: Clock) -> None:
        self._git = git
        self._folder = folder
        self._index = folder.with_name(f"{folder.name}.index")
        self._state_path = folder.with_name(f"{folder.name}.state")
        self._owner = owner
        self._clock = clock
        self._env = {"GIT_INDEX_FILE": str(self._index), "GIT_WORK_TREE": str(folder)}
        self._journal = Journal()
        self._state: StateFile | None = None
        self._start = ""
        self.at: str | None = None
        """The commit that the folder equals but for the journal's paths; None when that is not known."""

    @property
    def files(self) -> DiskTree:
        return DiskTree(self._folder, self._journal)

    @property
    def folder(self) -> Path:
        """The folder itself, for a process; from now on every file is looked at."""
        self._journal.unsure = True
        return self._folder

    @asynccontextmanager
    async def lease(self, commit: str) -> AsyncIterator["PooledTree"]:
        """Make the folder equal to ``commit`` and lend it.

        Raises:
            GitError: there is no such commit, or the folder cannot be written.

        Cancellation:
            git's process has ended; the next lease makes the folder again.
        """
        await self._disk(self._make_folder)
        async with hold(self._state_path) as state:
            # Until that is done the state stays as it was found: it says what is still to be kept.
            at, last = await self._take_over(state)
            self._state = state
            try:
                await self._stand_at(commit, at, last, state)
                yield self
            finally:
                self._state = None
                state.write(TreeState(self._owner, None))

    async def recover(self) -> None:
        """Keep what a killed night left here. Raises ``GitError`` when somebody is at work here, or it fails."""
        async with hold(self._state_path, wait_s=0) as state:
            found = state.read()
            if found is not None and found.open_at is not None and found.owner != self._owner:
                await self._disk(self._remove_locks)
                await self._keep_what_is_left(found, state)
                state.write(TreeState(found.owner, None))

    async def commit(self, message: str) -> str:
        state = self._state
        if state is None:
            raise GitError("the lease of this work tree has ended")
        reach(CrashPoint.TREE_COMMIT_BEFORE)
        standing = False
        try:
            commit = await self._commit(message, state)
            reach(CrashPoint.TREE_COMMIT_AFTER)
            state.write(TreeState(self._owner, commit))
            self.at, standing = commit, True
        finally:
            if not standing:
                # Wherever it broke off, the folder stands where it stood, below all that this lease has written.
                self._journal.fresh |= self._journal.paths
        return commit

    async def _commit(self, message: str, state: StateFile) -> str:
        written = None if self._journal.unsure else await self._disk(self._snapshot)
        if written is not None and not written:
            return self._start
        reach(CrashPoint.TREE_COMMIT_MIDWAY)
        if written is not None:
            return await self._import(written, message, state)
        return await commit_whole(
            self._git, {**self._env, **identity(self._clock)}, (state.handle,),
            parent=self._start, message=message,
        )  # fmt: skip

    async def _take_over(self, state: StateFile) -> tuple[str | None, Journal]:
        """End the last lease, and keep what another process left; returns where the folder stands but for a journal."""
        reach(CrashPoint.CHECKOUT_BEFORE)
        at, self.at = self.at, None
        last, self._journal = self._journal, Journal()

        def end_last() -> None:
            last.close()
            self._remove_locks()

        await self._disk(end_last)
        found = state.read()
        if found is None or found.owner != self._owner:
            at = None
            await self._keep_what_is_left(found, state)
        return at, last

    async def _stand_at(self, commit: str, at: str | None, last: Journal, state: StateFile) -> None:
        state.write(TreeState(self._owner, None))
        if at is None or last.unsure or not await self._follow(at, commit, last, state):
            await self._make_again(commit, state)
        reach(CrashPoint.CHECKOUT_AFTER)
        state.write(TreeState(self._owner, commit))
        self.at = self._start = commit

    async def _follow(self, at: str, commit: str, last: Journal, state: StateFile) -> bool:
        """Write only what differs; return False when everything has to be written."""
        touched = set(last.fresh)
        if at == commit and not last.paths:
            return True
        wanted: dict[str, delta.Entry | None] = {}
        if at != commit:
            _, out = await self._git.run(
                "diff-tree", "-r", "-z", "--raw", "--no-renames", at, commit, keep=(state.handle,)
            )
            wanted = delta.parse_difference(out)
        # A folder that a write made, or a move emptied, is no path of any commit; it is looked at all the same.
        above = {
            "/".join(path.split("/")[:depth]) for path in touched for depth in range(1, path.count("/") + 1)
        }
        asked = sorted((touched | above) - wanted.keys())
        if len(wanted) + len(asked) > MAX_DELTA_PATHS:
            return False
        if asked:
            _, out = await self._git.run(
                "ls-tree", "-z", "--full-tree", commit, "--", *asked, env={"GIT_LITERAL_PATHSPECS": "1"}
            )
            wanted.update(delta.parse_entries(out, asked))
        return await self._apply(wanted, last.paths, state)

    async def _apply(self, wanted: delta.Wanted, emptied: set[str], state: StateFile) -> bool:
        names = delta.blobs_of(wanted)
        try:
            with tempfile.TemporaryFile(dir=self._folder.parent) as blobs:
                if names:
                    asked = "".join(f"{name}\n" for name in names).encode()
                    await self._git.run("cat-file", "--batch", stdin=asked, into=blobs, keep=(state.handle,))
                    blobs.seek(0)

                def work(stopped: Callable[[], bool]) -> None:
                    delta.apply(self._folder, wanted, blobs, stopped)
                    for path in emptied:
                        sweep_empty(self._folder, path)

                await run_stoppable(work)
        except (OSError, ValueError) as error:
            _log.info("work_tree_delta_failed", tree=self._folder.name, why=str(error))
            return False
        return True

    def _snapshot(self) -> list[Written] | None:
        with self._journal.lock:
            written = read_written(self._folder, self._journal.paths)
            self._journal.fresh.clear()
        return written

    async def _import(self, written: list[Written], message: str, state: StateFile) -> str:
        stream = commit_stream(
            written,
            ref=self._ref,
            parent=self._start,
            message=message,
            at=int(self._clock.now().timestamp()),
        )
        _, out = await self._git.run(
            "fast-import", "--quiet", "--force", "--cat-blob-fd=1", stdin=stream, keep=(state.handle,)
        )
        try:
            commit, changed = parse_answer(out)
        except ValueError as error:
            raise GitError(f"git fast-import answered {out[:200]!r}") from error
        return commit if changed else self._start

    async def _make_again(self, commit: str, state: StateFile) -> None:
        await self._disk(self._remove_locks)
        try:
            await self._reset(commit, state)
        except GitError:
            await self._git.run("cat-file", "-e", f"{commit}^{{tree}}")
            # A torn index, or something that git cannot remove; no attempt is at work here, so all of it may go.
            await self._disk(self._discard)
            await self._reset(commit, state)

    async def _reset(self, commit: str, state: StateFile) -> None:
        await self._git.run(
            "read-tree", "--reset", "-u", commit,
            env=self._env, keep=(state.handle,), timeout_s=FULL_CHECKOUT_S,
        )  # fmt: skip
        reach(CrashPoint.CHECKOUT_MIDWAY)
        await self._git.run("clean", "-ffdxq", env=self._env, keep=(state.handle,))
        await self._disk(lambda: remove_named(self._folder, ".git"))

    async def _keep_what_is_left(self, found: TreeState | None, state: StateFile) -> None:
        """Keep what an attempt of another process may have left here."""
        if found is not None and found.open_at is None:
            return
        why = "nobody knows at which commit it stood"
        if found is not None and found.open_at is not None:
            env = {**self._env, **identity(self._clock)}
            try:
                await rescue(
                    self._git, env, (state.handle,),
                    folder=self._folder, open_at=found.open_at, clock=self._clock,
                )  # fmt: skip
                return
            except GitError as error:
                # The index may be torn, or the commit gone: what is in the folder is kept as it is.
                why = error.message
        stamp = self._clock.now().strftime("%Y%m%dT%H%M%SZ")
        kept = self._folder.with_name(f"{self._folder.name}.kept-{stamp}-{self._owner[:8]}")
        if await self._disk(lambda: self._set_aside(kept)):
            _log.warning("work_tree_set_aside", tree=self._folder.name, folder=str(kept), why=why)

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            return
        self.at = None

    def _set_aside(self, kept: Path) -> bool:
        if not any(self._folder.iterdir()):
            return False
        self._folder.rename(kept)
        self._folder.mkdir(mode=0o700)
        self._index.unlink(missing_ok=True)
        return True

    def _discard(self) -> None:
        self._index.unlink(missing_ok=True)
        self._remove_locks()
        remove_tree(self._folder)
        self._folder.mkdir(mode=0o700)

    async def _disk(self, work: Callable[[], T]) -> T:
        try:
            return await run_to_end(work)
        except OSError as error:
            raise GitError(f"the work tree {self._folder}: {error.strerror or error}") from error

    def _remove_locks(self) -> None:
        """Remove what a killed git left locked: whoever holds this tree's state knows that no git is at work on it."""
        self._index.with_name(f"{self._index.name}.lock").unlink(missing_ok=True)
        (self._git.git_dir / f"{self._ref}.lock").unlink(missing_ok=True)

    @property
    def _ref(self) -> str:
        return f"refs/pantheon/trees/{self._folder.name}"
