"""Work trees after a kill, a cancellation and a torn file: the next lease is right, and no work is lost."""

import asyncio
import fcntl
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog.testing

from pantheon.adapters.git import rescue as rescue_module
from pantheon.adapters.git.command import GitRunner
from pantheon.adapters.git.repository import NightRepository
from pantheon.core.errors import GitError
from pantheon.testing.clock import FakeClock
from pantheon.testing.steps import Steps
from pantheon.testing.user_repository import git, make_repository

FILES = {f"d{number % 7}/f{number}.md": b"%d\n" % number for number in range(300)}
MANY_STEPS = 200
"""More than an attempt waits."""
CHILD = """
import asyncio, os, signal, sys
from pathlib import Path
from pantheon.adapters.git.command import GitRunner
from pantheon.adapters.git.repository import NightRepository
from pantheon.testing.clock import FakeClock
root, state, die_at, how = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
run, seen = GitRunner.run, []
async def dying(runner, *args, **more):
    if args[0] == die_at and how == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    if args[0] == die_at and how == "during":
        asyncio.get_running_loop().call_later(0.004, os.kill, os.getpid(), signal.SIGKILL)
    found = await run(runner, *args, **more)
    if args[0] == die_at and how == "after":
        os.kill(os.getpid(), signal.SIGKILL)
    return found
async def main():
    repository = await NightRepository.open(root, state, trees=1, clock=FakeClock())
    head, before = await repository.resolve("HEAD"), await repository.resolve("HEAD~1")
    GitRunner.run = dying
    async with repository.work_tree(before):
        pass
    async with repository.work_tree(head) as tree:
        tree.files.write_bytes("d0/f0.md", b"work")
        tree.files.write_bytes("new/x.md", b"more work")
        if die_at == "tool":
            os.kill(os.getpid(), signal.SIGKILL)
        await tree.commit("done")
        if die_at == "committed":
            os.kill(os.getpid(), signal.SIGKILL)
    if die_at == "returned":
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


@pytest.fixture
def user(tmp_path: Path) -> Path:
    root = make_repository(tmp_path / "user", FILES)
    for number in range(0, 300, 3):
        (root / f"d{number % 7}/f{number}.md").write_bytes(b"second\n")
    git(root, "commit", "-q", "-a", "-m", "second")
    return root


def killed_night(user: Path, state: Path, die_at: str, how: str = "before") -> None:
    done = subprocess.run([sys.executable, "-c", CHILD, user, state, die_at, how], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    # A git that outlives its night holds the tree's lock for a moment, and longer on a busy machine.
    if (state / "trees" / "00.state").exists():
        with hold_lock(state / "trees" / "00.state"):
            pass


def rescued(state: Path) -> list[str]:
    return git(state / "git", "for-each-ref", "--format=%(refname)", "refs/pantheon/rescued").split()


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    with path.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


async def assert_right(repository: NightRepository, state: Path, commit: str) -> None:
    """Lease the one tree at ``commit`` and compare every file."""
    async with asyncio.timeout(30), repository.work_tree(commit) as tree:
        names = tree.files.list_files()
        assert {path: tree.files.read_bytes(path) for path in names} == await repository.read_files(
            commit, await repository.list_files(commit)
        )
    assert not list((state / "trees").glob("*.lock"))


@pytest.mark.parametrize(
    ("die_at", "how", "kept"),
    [
        ("read-tree", "before", False), ("read-tree", "during", False), ("read-tree", "after", False),
        ("clean", "during", None), ("diff-tree", "during", None), ("cat-file", "during", None),
        ("cat-file", "after", False), ("tool", "before", True), ("fast-import", "before", True),
        ("fast-import", "during", True), ("fast-import", "after", True), ("committed", "before", False),
        ("returned", "before", False),
    ],
)  # fmt: skip
async def test_a_killed_night_leaves_right_trees_and_no_lost_work(
    user: Path, tmp_path: Path, die_at: str, how: str, kept: bool | None
) -> None:
    """Killed in a checkout, in a tool or in a commit: what was written is a commit, and the next lease is clean.

    Where ``kept`` is None the kill comes by the clock, and may find the attempt at work already.
    """
    state = tmp_path / "state"
    killed_night(user, state, die_at, how)
    with structlog.testing.capture_logs() as logs:
        repository = await NightRepository.open(user, state, trees=1, clock=FakeClock())
        refs = rescued(state)
        head, before = await repository.resolve("HEAD"), await repository.resolve("HEAD~1")
        await assert_right(repository, state, before)
    await assert_right(repository, state, head)
    assert rescued(state) == refs
    assert kept is None or bool(refs) == kept
    assert [entry["ref"] for entry in logs if entry["event"] == "work_tree_rescued"] == refs
    for ref in refs:
        assert git(state / "git", "rev-parse", f"{ref}^").strip() == head
        assert git(state / "git", "show", f"{ref}:new/x.md") == "more work"
        assert git(state / "git", "show", f"{ref}:d0/f0.md") == "work"
    assert not list((state / "trees").glob("*.kept*"))


async def test_work_on_a_torn_index_or_a_lost_commit_is_set_aside(user: Path, tmp_path: Path) -> None:
    """What git cannot make a commit of stays as a folder."""
    state = tmp_path / "state"
    killed_night(user, state, "tool")
    (state / "trees/00.index").write_bytes(b"torn")
    repository = await NightRepository.open(user, state, trees=1, clock=FakeClock())
    await assert_right(repository, state, await repository.resolve("HEAD"))
    kept = list((state / "trees").glob("00.kept-*"))
    assert [(one / "new/x.md").read_bytes() for one in kept] == [b"more work"]


async def test_work_in_a_tree_that_is_leased_no_more_is_kept_too(user: Path, tmp_path: Path) -> None:
    """A smaller pool forgets no tree; a tree where another process is at work is left alone."""
    state = tmp_path / "state"
    killed_night(user, state, "tool")
    for path in (state / "trees").glob("00*"):
        path.rename(path.with_name(path.name.replace("00", "07")))
    with hold_lock(state / "trees/07.state"):
        await NightRepository.open(user, state, trees=1, clock=FakeClock())
        assert rescued(state) == []
    await NightRepository.open(user, state, trees=1, clock=FakeClock())
    assert len(rescued(state)) == 1


async def test_a_torn_state_sets_the_tree_aside(user: Path, tmp_path: Path) -> None:
    """After a power loss nobody knows what a folder held; it is not cleaned."""
    state = tmp_path / "state"
    killed_night(user, state, "tool")
    (state / "trees/00.state").write_bytes(b"\0" * 256)
    repository = await NightRepository.open(user, state, trees=1, clock=FakeClock())
    await assert_right(repository, state, await repository.resolve("HEAD"))
    assert len(list((state / "trees").glob("00.kept-*"))) == 1


async def test_the_number_of_rescues_is_bounded_and_the_oldest_are_told(
    user: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that crashes every night does not fill the disk silently."""
    monkeypatch.setattr(rescue_module, "MAX_KEPT", 1)
    state, clock = tmp_path / "state", FakeClock()
    logs: list[dict[str, object]] = []
    for _ in range(2):
        killed_night(user, state, "tool")
        clock.advance(60)
        with structlog.testing.capture_logs() as told:
            repository = await NightRepository.open(user, state, trees=1, clock=clock)
            await assert_right(repository, state, await repository.resolve("HEAD"))
        logs.extend(dict(one) for one in told)
    events = [(one["event"], one["ref"]) for one in logs]
    assert [event for event, _ in events] == [
        "work_tree_rescued",
        "work_tree_rescued",
        "rescued_work_dropped",
    ]
    assert events[0][1] == events[2][1]
    assert rescued(state) == [events[1][1]]


async def test_a_git_that_outlives_its_night_is_waited_for(user: Path, tmp_path: Path) -> None:
    """Its late writes never land in a tree that the next night has leased."""
    state = tmp_path / "state"
    repository = await NightRepository.open(user, state, trees=1, clock=FakeClock())
    head = await repository.resolve("HEAD")
    await assert_right(repository, state, head)
    late = tmp_path / "late"
    orphan = (
        "import fcntl, pathlib, sys, time\nheld = open(sys.argv[1], 'r+')\nfcntl.flock(held, fcntl.LOCK_EX)\n"
        "print(flush=True)\ntime.sleep(0.5)\npathlib.Path(sys.argv[2]).touch()\n"
    )
    with subprocess.Popen(  # noqa: ASYNC220 - the line it prints comes at once
        [sys.executable, "-c", orphan, state / "trees/00.state", late], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        await assert_right(repository, state, head)
        assert late.exists(), "it had ended"


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("before_it", ["HEAD", "HEAD~1"])
async def test_cancelled_at_every_await_the_tree_comes_back_right(
    before_it: str, late: bool, user: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever a lease or a commit is cancelled: no process is left, and the next lease and commit are right."""
    state = tmp_path / "state"
    repository = await NightRepository.open(user, state, trees=1, clock=FakeClock())
    head, before = await repository.resolve("HEAD"), await repository.resolve("HEAD~1")
    stands = await repository.resolve(before_it)
    children: list[asyncio.subprocess.Process] = []
    start = asyncio.create_subprocess_exec

    async def noted(*args: str, **more: object) -> asyncio.subprocess.Process:
        child = await start(*args, **more)  # type: ignore[arg-type]
        children.append(child)
        return child

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noted)

    async def attempt(commit: str) -> str:
        async with repository.work_tree(commit) as tree:
            tree.files.write_bytes("d0/f0.md", b"attempt")
            tree.files.write_bytes("made/x.md", b"attempt")
            return await tree.commit("attempt")

    for at, then in itertools.product(range(1, MANY_STEPS), (head, before)):
        await assert_right(repository, state, stands)
        steps = Steps(at, late=late)
        async with asyncio.timeout(30):
            await asyncio.wait([steps.start(attempt(head), name="attempt")])
        assert all(child.returncode is not None for child in children)
        await assert_right(repository, state, then)
        if steps.count < at:
            break
    else:
        pytest.fail("the attempt never came to its end")
    assert at > 5, "each git process, each thread is waited for"
    assert await attempt(head) == await attempt(head)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)  # noqa: ASYNC222 - it does not wait


async def test_a_failed_commit_loses_no_path(
    user: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that failed can be made again, and holds what was written before it."""
    repository = await NightRepository.open(user, tmp_path / "state", trees=1, clock=FakeClock())
    head = await repository.resolve("HEAD")
    run = GitRunner.run

    async def failing(runner: GitRunner, *args: str, **more: object) -> tuple[int, bytes]:
        if args[0] == "fast-import":
            raise GitError("no space left")
        return await run(runner, *args, **more)  # type: ignore[arg-type]

    async with repository.work_tree(head) as tree:
        tree.files.write_bytes("d0/f0.md", b"kept")
        with monkeypatch.context() as patched:
            patched.setattr(GitRunner, "run", failing)
            with pytest.raises(GitError):
                await tree.commit("first")
        tree.files.write_bytes("d1/f1.md", b"kept too")
        commit = await tree.commit("second")
    assert {path for _, path, *_ in await repository.changed_paths(head, commit)} == {"d0/f0.md", "d1/f1.md"}
    await assert_right(repository, tmp_path / "state", head)
