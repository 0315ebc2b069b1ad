"""``ports.worktree.Repository``: the night's commits beside the user's repository.

Candidates live in a git directory of Pantheon's own (``<state>/git``) that borrows the user's objects
through ``alternates``. Only ``publish`` writes to the user's repository: objects through a pack, then one
compare-and-swap of the night's branch. The user's index, work tree, configuration and other branches are
never written, and a branch that is checked out anywhere is refused.
"""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from pantheon.adapters.beneath import require_openat2
from pantheon.adapters.git import delta
from pantheon.adapters.git.branch_ref import move_branch
from pantheon.adapters.git.command import GitRunner
from pantheon.adapters.git.commit_answers import CommitAnswers
from pantheon.adapters.git.commit_stream import identity, message_bytes
from pantheon.adapters.git.own_directory import open_own
from pantheon.adapters.git.pool import TreePool
from pantheon.adapters.git.pooled_tree import PooledTree
from pantheon.core.errors import CommitLostError, GitError, MergeConflictError
from pantheon.ports.clock import Clock
from pantheon.ports.crash_points import CrashPoint, reach
from pantheon.ports.worktree import ChangedPath

_PATHS_A_CALL = 400
_NOWHERE = ".git"
"""A path that no commit can have; asking for it tells whether the commit is there."""
_MAX_PATH_BYTES = 4096
_MAX_KNOWN = 10_000


class NightRepository:
    """Commits of one repository. Make it with ``open``."""

    def __init__(
        self, checkout: GitRunner, user: GitRunner, own: GitRunner, pool: TreePool, clock: Clock
    ) -> None:
        self._checkout = checkout
        self._user = user
        self._own = own
        self._of_commits = CommitAnswers(own)
        self._pool = pool
        self._clock = clock
        self._known: set[str] = set()

    @classmethod
    async def open(cls, root: Path, state: Path, *, trees: int, clock: Clock) -> "NightRepository":
        """Open the repository at ``root``, keeping what is Pantheon's own under ``state``.

        Args:
            root: the user's work tree.
            state: folder for the git directory and the pool.
            trees: number of work trees that may be leased at once.
            clock: for the time in commits.

        Raises:
            GitError: ``root`` is no git repository.
            PreflightError: the kernel cannot keep a tool inside a work tree.
        """
        require_openat2()
        finder = GitRunner(root / ".git")
        try:
            common = await finder.text("rev-parse", "--path-format=absolute", "--git-common-dir")
        except GitError as error:
            raise GitError(f"{root} is not a git repository", hint=f"git -C {root} init") from error
        user = GitRunner(Path(common))
        form = await finder.text("rev-parse", "--show-object-format")
        own = await open_own(state / "git", Path(common), object_format=form, clock=clock)
        pool = TreePool(own, state / "trees", size=trees, clock=clock)
        await pool.recover()
        return cls(finder, user, own, pool, clock)

    async def resolve(self, revision: str) -> str:
        try:
            return await self._checkout.text(
                "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
            )
        except GitError as error:
            raise GitError(
                f"the repository has no commit {revision!r}", hint="Commit something first."
            ) from error

    @asynccontextmanager
    async def work_tree(self, commit: str) -> AsyncIterator[PooledTree]:
        async with AsyncExitStack() as stack:
            async with self._naming(commit):
                tree = await stack.enter_async_context(self._pool.lease(commit))
            yield tree

    async def diff(self, base: str, head: str) -> bytes:
        async with self._naming(base, head):
            return await self._of_commits.ask(
                "diff-tree", "-p", "-r", "-M", "--text", "--full-index", "--no-ext-diff", "--no-textconv",
                "--no-color", "--ignore-submodules=none", base, head, objects=(base, head),
            )  # fmt: skip

    async def changed_paths(self, base: str, head: str) -> tuple[ChangedPath, ...]:
        async with self._naming(base, head):
            out = await self._of_commits.ask(
                "diff-tree", "-r", "-z", "--raw", "--no-renames", "--ignore-submodules=none", base, head,
                objects=(base, head),
            )  # fmt: skip
        fields = out.decode("utf-8", "surrogateescape").split("\0")
        return tuple(
            ChangedPath(
                status=meta.split(" ")[4][0],
                path=path,
                old_mode=meta.split(" ")[0].removeprefix(":"),
                mode=meta.split(" ")[1],
            )
            for meta, path in zip(fields[0::2], fields[1::2], strict=False)
        )

    async def merge(self, commits: Sequence[str]) -> str:
        merged = commits[0]
        async with self._naming(*commits):
            if merged not in self._known:
                self._remember(
                    await self._own.text("rev-parse", "--verify", "--quiet", f"{merged}^{{commit}}")
                )
            for other in commits[1:]:
                merged = await self._merge_two(merged, other)
        return merged

    async def read_file(self, commit: str, path: str) -> bytes | None:
        return (await self.read_files(commit, [path])).get(path)

    async def read_files(self, commit: str, paths: Sequence[str]) -> Mapping[str, bytes]:
        asked = sorted({path for path in paths if _may_be_there(path)})
        entries: dict[str, delta.Entry | None] = {}
        async with self._naming(commit):
            for place in range(0, max(len(asked), 1), _PATHS_A_CALL):
                some = asked[place : place + _PATHS_A_CALL] or [_NOWHERE]
                listed = await self._of_commits.ask(
                    "ls-tree", "-z", "--full-tree", commit, "--", *some,
                    objects=(commit,), env={"GIT_LITERAL_PATHSPECS": "1"},
                )  # fmt: skip
                entries.update(delta.parse_entries(listed, some))
            files = {path: one.name for path, one in entries.items() if one and one.mode.startswith("100")}
            if not files:
                return {}
            names = tuple(files.values())
            out = await self._of_commits.ask(
                "cat-file", "--batch", objects=names, stdin="".join(f"{name}\n" for name in names).encode(),
                whole=lambda answer: len(delta.parse_blobs(answer, names)) == len(names),
            )  # fmt: skip
        found = delta.parse_blobs(out, names)
        if len(found) < len(files):
            path = list(files)[len(found)]
            raise CommitLostError(f"the content of {path} at {commit} is gone from {self._own.git_dir}")
        return dict(zip(files, found, strict=True))

    async def find_text(self, commit: str, texts: Sequence[str]) -> tuple[str, ...]:
        if not texts:
            return ()
        patterns = "\n".join(texts).encode("utf-8", "surrogateescape")
        async with self._naming(commit):
            _, out = await self._own.run(
                "grep", "--files-with-matches", "-z", "--text", "--fixed-strings", "-f", "-", commit, "--",
                stdin=patterns, ok=(0, 1),
            )  # fmt: skip
        names = out.decode("utf-8", "surrogateescape").split("\0")
        return tuple(name.removeprefix(f"{commit}:") for name in names if name)

    async def list_files(self, commit: str) -> tuple[str, ...]:
        async with self._naming(commit):
            out = await self._of_commits.ask("ls-tree", "-r", "-z", commit, objects=(commit,))
        entries = (line.split("\t", 1) for line in out.decode("utf-8", "surrogateescape").split("\0") if line)
        return tuple(sorted(path for meta, path in entries if meta.startswith("100")))

    async def commit_tree_of(self, commit: str, parent: str, message: str) -> str:
        async with self._naming(commit, parent):
            return await self._own.text(
                "commit-tree", f"{commit}^{{tree}}", "-p", parent,
                stdin=message_bytes(message), env=identity(self._clock),
            )  # fmt: skip

    async def tree_of(self, commit: str) -> str:
        async with self._naming(commit):
            out = await self._of_commits.ask(
                "rev-parse", "--verify", "--quiet", f"{commit}^{{tree}}", objects=(commit,)
            )
        return out.decode().strip()

    async def trailer_values(self, base: str, head: str, key: str) -> tuple[str, ...]:
        shown = f"--format=%(trailers:key={key},valueonly,unfold)"
        async with self._naming(base, head):
            out = await self._of_commits.ask(
                "log", "--reverse", "--topo-order", shown, f"{base}..{head}", objects=(base, head)
            )
        return tuple(line for line in out.decode("utf-8", "surrogateescape").split("\n") if line)

    async def find_landed(self, branch: str, base: str, trailer: str, value: str) -> str | None:
        head = await self.branch(branch)
        if head is None:
            return None
        shown = f"--format=%x01%H%n%(trailers:key={trailer},valueonly,unfold)"
        commit = ""
        for line in (await self._user.text("log", shown, f"{base}..{head}")).split("\n"):
            if line.startswith("\x01"):
                commit = line[1:]
            elif value and line == value:
                return commit
        return None

    async def branch(self, name: str) -> str | None:
        status, out = await self._user.run(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"refs/heads/{name}", ok=(0, 1)
        )
        return out.decode().strip() if status == 0 else None

    async def publish(self, branch: str, new: str, *, old: str | None, base: str) -> None:
        ref = f"refs/heads/{branch}"
        used = await self._user.text("for-each-ref", "--format=%(worktreepath)", ref)
        if used:
            raise GitError(
                f"the branch {branch} is checked out in {used}",
                hint="Check out another branch there; the night never moves a branch somebody works on.",
            )
        reach(CrashPoint.PUBLISH_BEFORE)
        wanted = f"{new}\n^{old or base}\n"
        async with self._naming(new):
            _, pack = await self._own.run("pack-objects", "--revs", "--stdout", "-q", stdin=wanted.encode())
        await self._user.run("unpack-objects", "-q", stdin=pack)
        reach(CrashPoint.PUBLISH_MIDWAY)
        await move_branch(self._user, ref, new, old, self._clock)
        reach(CrashPoint.PUBLISH_AFTER)

    async def _merge_two(self, ours: str, theirs: str) -> str:
        if ours == theirs:
            return ours
        _, out = await self._own.run("merge-base", ours, theirs, ok=(0, 1))
        base = out.decode().strip()
        if base in (ours, theirs):
            return theirs if base == ours else ours
        status, out = await self._own.run(
            "merge-tree", "--write-tree", "--name-only", ours, theirs, ok=(0, 1)
        )
        tree, _, rest = out.decode("utf-8", "replace").partition("\n")
        if status == 1:
            names = rest.partition("\n\n")[0].splitlines()
            raise MergeConflictError(
                f"the changes conflict: {rest.strip()[:500]}", files=names, commits=[ours, theirs]
            )
        return await self._own.text(
            "commit-tree", tree, "-p", ours, "-p", theirs, stdin=b"Join\n", env=identity(self._clock)
        )

    def _remember(self, commit: str) -> None:
        if len(self._known) > _MAX_KNOWN:
            self._known.clear()
        self._known.add(commit)

    @asynccontextmanager
    async def _naming(self, *commits: str) -> AsyncIterator[None]:
        """Tell a commit that is gone from everything else that git may say."""
        try:
            yield
        except MergeConflictError:
            raise
        except GitError as error:
            for commit in commits:
                status, _ = await self._own.run("cat-file", "-e", f"{commit}^{{tree}}", ok=(0, 1, 128))
                if status != 0:
                    raise CommitLostError(
                        f"commit {commit} is not in {self._own.git_dir}",
                        hint="Start the night again: nodes whose commits are gone are done again.",
                    ) from error
            raise


def _may_be_there(path: str) -> bool:
    """Tell whether a commit may have a file at ``path``; git refuses to be asked for some others."""
    try:
        name = os.fsencode(path)
    except UnicodeEncodeError:
        return False
    parts = name.split(b"/")
    return len(name) <= _MAX_PATH_BYTES and b"\0" not in name and not {b"", b".", b".."} & set(parts)
