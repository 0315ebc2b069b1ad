"""``ports.worktree.Repository``: the night's commits beside the user's repository.

Candidates live in a git directory of Pantheon's own (``<state>/git``) that borrows the user's objects
through ``alternates``. Only ``publish`` writes to the user's repository: objects through a pack, then one
compare-and-swap of the night's branch. The user's index, work tree, configuration and other branches are
never written, and a branch that is checked out anywhere is refused.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from pantheon.adapters.git.command import GitRunner
from pantheon.adapters.git.pool import TreePool
from pantheon.adapters.git.pooled_tree import PooledTree, identity
from pantheon.core.errors import GitError, MergeConflictError
from pantheon.ports.clock import Clock
from pantheon.ports.crash_points import CrashPoint, reach
from pantheon.ports.worktree import ChangedPath

# Whatever a repository's attributes say, content is compared and checked out as it is.
_ATTRIBUTES = b"* !diff !filter !merge !eol !ident !working-tree-encoding -text\n"


class NightRepository:
    """Commits of one repository. Make it with ``open``."""

    def __init__(
        self, checkout: GitRunner, user: GitRunner, own: GitRunner, pool: TreePool, clock: Clock
    ) -> None:
        self._checkout = checkout
        self._user = user
        self._own = own
        self._pool = pool
        self._clock = clock

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
        """
        finder = GitRunner(root / ".git")
        try:
            common = await finder.text("rev-parse", "--path-format=absolute", "--git-common-dir")
        except GitError as error:
            raise GitError(f"{root} is not a git repository", hint=f"git -C {root} init") from error
        user = GitRunner(Path(common))
        form = await finder.text("rev-parse", "--show-object-format")
        own_dir = state / "git"
        await asyncio.to_thread(state.mkdir, parents=True, exist_ok=True)
        own = GitRunner(own_dir)
        await own.run("init", "--quiet", "--bare", "--template=", f"--object-format={form}", str(own_dir))
        await asyncio.to_thread(_write_settings, own_dir, Path(common))
        pool = TreePool(own, state / "trees", size=trees, clock=clock)
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
        async with self._pool.lease(commit) as tree:
            yield tree

    async def diff(self, base: str, head: str) -> bytes:
        _, out = await self._own.run(
            "diff-tree", "-p", "-r", "-M", "--binary", "--full-index", "--no-ext-diff", "--no-textconv",
            "--no-color", base, head,
        )  # fmt: skip
        return out

    async def changed_paths(self, base: str, head: str) -> tuple[ChangedPath, ...]:
        _, out = await self._own.run("diff-tree", "-r", "-z", "--raw", "--no-renames", base, head)
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
        for other in commits[1:]:
            merged = await self._merge_two(merged, other)
        return merged

    async def read_file(self, commit: str, path: str) -> bytes | None:
        _, entry = await self._own.run(
            "ls-tree", "-z", commit, "--", path, env={"GIT_LITERAL_PATHSPECS": "1"}
        )
        meta = entry.split(b"\t")[0].split(b" ")
        if len(meta) != 3 or not meta[0].startswith(b"100"):
            return None
        _, data = await self._own.run("cat-file", "blob", meta[2].decode())
        return data

    async def read_files(self, commit: str, paths: Sequence[str]) -> Mapping[str, bytes]:
        asked = [path for path in paths if "\n" not in path]
        names = "".join(f"{commit}:{path}\n" for path in asked).encode("utf-8", "surrogateescape")
        _, out = await self._own.run("cat-file", "--batch", stdin=names)
        found, place = {}, 0
        for path in asked:
            head = out[place : out.index(b"\n", place)]
            place += len(head) + 1
            kind = head.rsplit(b" ", 2)
            if head.endswith(b" missing") or len(kind) != 3:
                continue
            size = int(kind[2])
            if kind[1] == b"blob":
                found[path] = out[place : place + size]
            place += size + 1
        return found

    async def find_text(self, commit: str, texts: Sequence[str]) -> tuple[str, ...]:
        patterns = [part for text in texts for part in ("-e", text)]
        if not patterns:
            return ()
        _, out = await self._own.run(
            "grep",
            "--files-with-matches",
            "-z",
            "--text",
            "--fixed-strings",
            *patterns,
            commit,
            "--",
            ok=(0, 1),
        )
        names = out.decode("utf-8", "surrogateescape").split("\0")
        return tuple(name.removeprefix(f"{commit}:") for name in names if name)

    async def list_files(self, commit: str) -> tuple[str, ...]:
        _, out = await self._own.run("ls-tree", "-r", "-z", commit)
        entries = (line.split("\t", 1) for line in out.decode("utf-8", "surrogateescape").split("\0") if line)
        return tuple(sorted(path for meta, path in entries if meta.startswith("100")))

    async def commit_tree_of(self, commit: str, parent: str, message: str) -> str:
        return await self._own.text(
            "commit-tree",
            f"{commit}^{{tree}}",
            "-p",
            parent,
            stdin=message.encode(),
            env=identity(self._clock),
        )

    async def tree_of(self, commit: str) -> str:
        return await self._own.text("rev-parse", f"{commit}^{{tree}}")

    async def trailer_values(self, base: str, head: str, key: str) -> tuple[str, ...]:
        shown = f"--format=%(trailers:key={key},valueonly,unfold)"
        out = await self._own.text("log", "--reverse", "--topo-order", shown, f"{base}..{head}")
        return tuple(line for line in out.split("\n") if line)

    async def find_landed(self, branch: str, base: str, trailer: str, value: str) -> str | None:
        head = await self.branch(branch)
        if head is None:
            return None
        out = await self._user.text(
            "log",
            "--format=%H%x00%(trailers:key=" + trailer + ",valueonly,separator=%x2C)",
            f"{base}..{head}",
        )
        for line in out.splitlines():
            commit, _, found = line.partition("\0")
            if found.strip() == value:
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
        _, pack = await self._own.run("pack-objects", "--revs", "--stdout", "-q", stdin=wanted.encode())
        await self._user.run("unpack-objects", "-q", stdin=pack)
        reach(CrashPoint.PUBLISH_MIDWAY)
        await self._user.run("update-ref", "--no-deref", "-m", "pantheon: accepted", ref, new, old or "")
        reach(CrashPoint.PUBLISH_AFTER)

    async def _merge_two(self, ours: str, theirs: str) -> str:
        if ours == theirs or await self._is_ancestor(theirs, ours):
            return ours
        if await self._is_ancestor(ours, theirs):
            return theirs
        status, out = await self._own.run(
            "merge-tree", "--write-tree", "--name-only", ours, theirs, ok=(0, 1)
        )
        tree, _, rest = out.decode("utf-8", "replace").partition("\n")
        if status == 1:
            raise MergeConflictError(f"the changes conflict: {rest.strip()[:500]}")
        return await self._own.text(
            "commit-tree", tree, "-p", ours, "-p", theirs, stdin=b"Join\n", env=identity(self._clock)
        )

    async def _is_ancestor(self, old: str, new: str) -> bool:
        status, _ = await self._own.run("merge-base", "--is-ancestor", old, new, ok=(0, 1))
        return status == 0


def _write_settings(own: Path, user: Path) -> None:
    (own / "info").mkdir(exist_ok=True)
    (own / "info" / "attributes").write_bytes(_ATTRIBUTES)
    (own / "objects" / "info").mkdir(parents=True, exist_ok=True)
    (own / "objects" / "info" / "alternates").write_bytes(os.fsencode(user / "objects") + b"\n")
    # Where the user's history was cut off, the commits that are not there must not be looked for.
    try:
        shutil.copyfile(user / "shallow", own / "shallow")
    except FileNotFoundError:
        (own / "shallow").unlink(missing_ok=True)
