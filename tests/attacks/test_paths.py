"""A tool's paths: nothing outside the work tree is read, written or even opened, by whatever name or trick."""

import asyncio
import ctypes
import errno
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pantheon.adapters import beneath
from pantheon.adapters.clock import SystemClock
from pantheon.adapters.git import delta
from pantheon.adapters.git.commit_stream import read_written
from pantheon.adapters.git.pooled_tree import PooledTree
from pantheon.adapters.git.repository import NightRepository
from pantheon.adapters.git.tree_files import DiskTree
from pantheon.adapters.targets import TargetCheck
from pantheon.core.errors import GitError, PreflightError, SandboxError, ToolError
from pantheon.core.task import Task
from pantheon.shell.checks import Grade, ask, machine_questions
from pantheon.testing.user_repository import make_repository
from pantheon.tools.notes import NOTE_TOOLS
from pantheon.tools.registry import Registry, ToolContext

pytestmark = pytest.mark.primitive("openat2")

SECRET = b"# the canary\n\nnobody may read this\n"
READS = 20_000
IN_OPEN = 0x20

_libc = ctypes.CDLL(None, use_errno=True)


class Place:
    """A work tree, and beside it what must stay unseen."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "tree"
        self.outside = folder / "outside"
        (self.root / "docs").mkdir(parents=True)
        (self.root / "docs" / "note.md").write_bytes(b"# inside\n")
        self.outside.mkdir()
        self.canary = self.outside / "note.md"
        self.canary.write_bytes(SECRET)
        self.tree = DiskTree(self.root)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@contextmanager
def opened(path: Path) -> Iterator[Callable[[], bool]]:
    """Tell, asked inside the block, whether anybody has opened ``path`` since it began."""
    watch = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert watch >= 0 and _libc.inotify_add_watch(watch, os.fsencode(path), IN_OPEN) >= 0
    try:
        yield lambda: bool(select.select([watch], [], [], 0)[0])
    finally:
        os.close(watch)


def outward(place: Place) -> tuple[str, ...]:
    """Return paths that lead to the canary when a path is simply joined and opened."""
    return ("../outside/note.md", "docs/../../outside/note.md", str(place.canary))


ODD = (
    "/etc/passwd", "docs/note.md\0.png", "~root/.profile", "~", "x" * 5_000, "docs/" * 1_000 + "x", "-rf", "--help",
    "docs/note.md\n", "docs\r/note.md", "\x1b[2J", "..", ".", "", "//server/share/x", "docs//note.md",
    "docs/./note.md", "C:\\x", "..\\outside\\note.md", ".git/config", "docs/.GIT/hooks/x",
)  # fmt: skip


def test_a_joined_path_reaches_the_canary(place: Place) -> None:
    """The control: a plain join and open leaves the tree, and a NUL cuts a path short in the C library."""
    for path in outward(place):
        with opened(place.canary) as seen:
            assert not seen()
            assert (place.root / path).read_bytes() == SECRET
            assert seen()
    top = os.open(place.root, os.O_RDONLY)
    cut = _libc.openat(top, b"docs/note.md\0.png", os.O_RDONLY)
    assert os.read(cut, 100) == b"# inside\n"
    os.close(cut)
    os.close(top)


def test_no_path_that_a_tool_is_given_leaves_the_tree(place: Place) -> None:
    """By every tool and every method, and nothing outside is opened on the way to the refusal."""
    task = Task.model_validate({"kind": "docops", "goal": "g", "targets": ["docs/note.md"]})
    context = ToolContext(files=place.tree, task=task)
    registry = Registry(NOTE_TOOLS)
    with opened(place.canary) as seen:
        for path in (*outward(place), *ODD):
            for tool in NOTE_TOOLS:
                if path.startswith("-") and tool.name == "list_neighbours":
                    continue  # a name like any other, whose neighbours may be listed
                with pytest.raises(ToolError):
                    registry.call(tool.name, {**tool.example, "path": path}, context)
            uses: list[Callable[[str], object]] = [
                place.tree.read_bytes,
                lambda p: place.tree.move(p, "new.md"),
            ]
            if path not in ("-rf", "--help"):
                uses += [
                    place.tree.exists,
                    lambda p: place.tree.write_bytes(p, b"out"),
                    lambda p: place.tree.move("docs/note.md", p),
                ]
            for use in uses:
                with pytest.raises(ToolError):
                    use(path)
        assert not seen()
    assert place.canary.read_bytes() == SECRET
    assert place.tree.list_files() == ("docs/note.md",)


def test_a_leading_dash_or_tilde_is_a_letter(place: Place) -> None:
    """Nothing in the adapter gives them a meaning."""
    place.tree.write_bytes("-rf", b"a")
    assert place.tree.read_bytes("-rf") == b"a"
    (place.root / "~").write_bytes(b"b")
    top = os.open(place.root, os.O_RDONLY)
    handle = beneath.open_regular(top, "~")
    assert os.read(handle, 9) == b"b"
    os.close(handle)
    os.close(top)


@pytest.mark.parametrize(
    "path", ["../outside/note.md", "/etc/passwd", "docs/note.md\0x", "x" * 4_096, "", "docs/.."]
)
def test_the_door_itself_refuses_what_cannot_be_below(place: Place, path: str) -> None:
    """Also for a caller that forgot to look at the path."""
    top = os.open(place.root, os.O_RDONLY)
    with pytest.raises(OSError) as caught:
        beneath.open_beneath(top, path, os.O_RDONLY)
    os.close(top)
    assert caught.value.errno == errno.EINVAL


LINKS: dict[str, tuple[str, str, str]] = {
    "file": ("docs/link.md", "{outside}/note.md", "docs/link.md"),
    "relative file": ("docs/link.md", "../../outside/note.md", "docs/link.md"),
    "inside": ("docs/link.md", "note.md", "docs/link.md"),
    "folder": ("linked", "{outside}", "linked/note.md"),
    "chain": ("chain", "linked2", "chain/note.md"),
    "proc root": ("root", "/proc/self/root", "root{outside}/note.md"),
    "proc cwd": ("cwd", "/proc/self/cwd", "cwd/note.md"),
    "proc fd": ("fd", "/proc/self/fd/{fd}", "fd/note.md"),
    "loop": ("loop", "loop", "loop/note.md"),
}


@pytest.mark.parametrize("name", LINKS)
def test_no_link_is_followed(place: Place, name: str) -> None:
    """To a file, to a folder, over several, through /proc: the same path is followed by a plain open."""
    outside = os.open(place.outside, os.O_RDONLY)
    link, target, path = (part.format(outside=place.outside, fd=outside) for part in LINKS[name])
    (place.root / link).symlink_to(target)
    (place.root / "linked2").symlink_to(place.outside)
    if name not in ("loop", "proc cwd"):
        wanted = b"# inside\n" if name == "inside" else SECRET
        assert (place.root / path).read_bytes() == wanted, "the control leads somewhere"
    with opened(place.canary) as seen:
        with pytest.raises(ToolError):
            place.tree.read_bytes(path)
        if "/" in path and link != path:
            with pytest.raises(ToolError):
                place.tree.write_bytes(path, b"out")
            assert "symbolic link" in str(TargetCheck(place.root)(path))
        assert not seen()
    assert link.partition("/")[0] not in place.tree.list_files()
    os.close(outside)
    assert place.canary.read_bytes() == SECRET


def test_writing_where_a_link_is_replaces_nothing_behind_it(place: Place) -> None:
    """A link in the place of the file is refused, and the file behind it stays; a plain open writes through it."""
    (place.root / "docs" / "link.md").symlink_to("../../outside/other.md")
    (place.root / "docs" / "link.md").write_bytes(b"through")
    assert (place.outside / "other.md").read_bytes() == b"through", "the control"
    with pytest.raises(ToolError):
        place.tree.write_bytes("docs/link.md", b"again")
    assert (place.outside / "other.md").read_bytes() == b"through"


SWAPPER = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
one, two = (name.encode() for name in sys.argv[1:])
while True:
    if libc.renameat2(-100, one, -100, two, 2):
        sys.exit(ctypes.get_errno())
"""


@contextmanager
def swapping(place: Place) -> Iterator[None]:
    """Have another process swap ``docs`` with a link to the outside, without a pause."""
    trap = place.root / "trap"
    trap.symlink_to(place.outside)
    swapper = subprocess.Popen([sys.executable, "-c", SWAPPER, str(place.root / "docs"), str(trap)])
    try:
        yield
        assert swapper.poll() is None, "the race ended early"
    finally:
        swapper.kill()
        swapper.wait()


def looked_then_opened(root: Path, path: str) -> bytes:
    """Read as many programs do: resolve, compare, open."""
    real = os.path.realpath(root / path)
    if not real.startswith(f"{os.path.realpath(root)}/"):
        raise PermissionError(path)
    with open(root / path, "rb") as file:
        return file.read()


def test_a_link_swapped_in_at_any_moment_is_never_followed(place: Place) -> None:
    """20,000 reads during the race, and none sees the canary; looking first and opening then does (the control)."""
    with swapping(place):
        deadline, leaked = time.monotonic() + 60, 0
        while not leaked and time.monotonic() < deadline:
            with suppress(OSError):
                leaked += looked_then_opened(place.root, "docs/note.md") == SECRET
        assert leaked, "the race was never won without the control, so it proves nothing"
        with opened(place.canary) as seen:
            got = refused = done = 0
            deadline = time.monotonic() + 60
            # More than that where the other process is not on for as long: without its turns there is no race.
            while done < READS or (not (got and refused) and time.monotonic() < deadline):
                done += 1
                try:
                    assert place.tree.read_bytes("docs/note.md") == b"# inside\n"
                    got += 1
                except ToolError:
                    refused += 1
            assert not seen()
        assert got and refused, "both sides of the race were met"


def test_nothing_is_written_or_committed_through_a_link_swapped_in(place: Place) -> None:
    """Writing, moving, listing, what a commit reads and what a checkout writes, during the same race."""
    entry = {"docs/checkout.md": delta.Entry("100644", "0" * 40)}
    blob = b"0" * 40 + b" blob 3\nout\n"
    with swapping(place):
        for number in range(1_500):
            for use in (
                lambda: place.tree.write_bytes("docs/new.md", b"out"),
                lambda: place.tree.write_bytes("docs/new/deep.md", b"out"),
                lambda: place.tree.exists("docs/note.md"),
                lambda number=number: place.tree.move("docs/new.md", f"docs/moved-{number}.md"),
            ):
                with suppress(ToolError):
                    use()
            try:
                for one in read_written(place.root, ["docs/note.md"]) or ():
                    assert one.data != SECRET
                delta.apply(place.root, entry, _Stream(blob), lambda: False)
            except OSError:
                pass
            with suppress(ToolError):
                assert not any("canary" in name for name in place.tree.list_files())
    assert sorted(os.listdir(place.outside)) == ["note.md"]
    assert place.canary.read_bytes() == SECRET


class _Stream:
    """What ``git cat-file --batch`` says, again for each use."""

    def __init__(self, data: bytes) -> None:
        self._head, _, self._rest = data.partition(b"\n")

    def readline(self) -> bytes:
        return self._head + b"\n"

    def read(self, size: int) -> bytes:
        found, self._rest = self._rest[:size], self._rest[size:]
        return found


def test_a_file_with_a_second_name_outside_is_refused(place: Place) -> None:
    """A hard link shows the outside file as if it were inside."""
    os.link(place.canary, place.root / "docs" / "hard.md")
    assert (place.root / "docs" / "hard.md").read_bytes() == SECRET, "the control"
    for use in (
        lambda: place.tree.read_bytes("docs/hard.md"),
        lambda: place.tree.write_bytes("docs/hard.md", b"out"),
        lambda: place.tree.move("docs/hard.md", "docs/soft.md"),
        lambda: read_written(place.root, ["docs/hard.md"]),
    ):
        with pytest.raises((ToolError, OSError), match="hard links"):
            use()
    assert place.canary.read_bytes() == SECRET


def test_what_is_no_file_neither_answers_nor_waits(place: Place) -> None:
    """A FIFO without a writer, a socket, a device: refused at once; a plain open of the FIFO waits for ever."""
    os.mkfifo(place.root / "docs" / "pipe.md")
    os.mknod(place.root / "docs" / "device.md", 0o600 | 0o020000, os.makedev(1, 5))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place.root / "docs" / "socket.md"))
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(["cat", place.root / "docs" / "pipe.md"], timeout=0.5, check=False)
    with (place.root / "docs" / "device.md").open("rb") as device:
        assert device.read(4) == bytes(4), "the control"
    for name in ("pipe", "device", "socket"):
        began = time.monotonic()
        for use in (
            lambda name=name: place.tree.read_bytes(f"docs/{name}.md"),
            lambda name=name: place.tree.write_bytes(f"docs/{name}.md", b"x"),
            lambda name=name: place.tree.move(f"docs/{name}.md", "docs/new.md"),
            lambda name=name: read_written(place.root, [f"docs/{name}.md"]),
        ):
            with pytest.raises((ToolError, OSError)):
                use()
        assert time.monotonic() - began < 2
    assert place.tree.list_files() == ("docs/note.md",)


def test_a_file_of_ten_gigabytes_costs_no_memory(place: Place) -> None:
    """Sparse, so that it is there at no cost; the control is its size."""
    with (place.root / "docs" / "huge.md").open("wb") as file:
        file.truncate(10_000_000_000)
    assert (place.root / "docs" / "huge.md").stat().st_size == 10_000_000_000
    began = time.monotonic()
    with pytest.raises(ToolError, match="larger than"):
        place.tree.read_bytes("docs/huge.md")
    assert read_written(place.root, ["docs/huge.md"]) is None
    assert time.monotonic() - began < 5


MOUNTED = """
import pathlib, subprocess, sys
from pantheon.adapters.git.repository import NightRepository
from pantheon.adapters.git.tree_files import DiskTree
from pantheon.adapters.targets import TargetCheck
from pantheon.core.errors import ToolError
root, outside = map(pathlib.Path, sys.argv[1:])
subprocess.run(["mount", "--make-rprivate", "/"], check=True)
(root / "mounted").mkdir()
subprocess.run(["mount", "--bind", outside, root / "mounted"], check=True)
subprocess.run(["mount", "--bind", outside / "note.md", root / "docs" / "note.md"], check=True)
for path in ("mounted/note.md", "docs/note.md"):
    assert b"canary" in (root / path).read_bytes(), "the control"
    for use in (DiskTree(root).read_bytes, lambda p: DiskTree(root).write_bytes(p, b"out")):
        try:
            use(path)
        except ToolError as error:
            print(error.message)
    print(TargetCheck(root)(path))
"""


@pytest.mark.primitive("mount_namespace")
def test_nothing_behind_a_mount_is_read(place: Place) -> None:
    """A folder or a file of the tree that shows another place of the same disk."""
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", MOUNTED, place.root, place.outside],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout.count("nvalid cross-device link") >= 3 and done.stdout.count("another file system") == 2
    )
    assert place.canary.read_bytes() == SECRET


async def test_what_a_process_leaves_in_a_tree_is_committed_as_files_or_refused(tmp_path: Path) -> None:
    """FIFOs and devices make nobody wait and are in no commit; a file with a second name outside is refused."""
    root = make_repository(tmp_path / "repo", {"a.md": b"a"})
    repository = await NightRepository.open(root, tmp_path / "state", trees=1, clock=SystemClock())
    base = await repository.resolve("HEAD")
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    async with asyncio.timeout(20), repository.work_tree(base) as tree:
        assert isinstance(tree, PooledTree)
        os.mkfifo(tree.folder / "pipe")
        os.mknod(tree.folder / "device", 0o600 | 0o020000, os.makedev(1, 5))
        (tree.folder / "b.md").write_bytes(b"b")
        assert await repository.list_files(await tree.commit("Whole\n")) == ("a.md", "b.md"), "the control"
        os.link(secret, tree.folder / "hard.md")
        assert (tree.folder / "hard.md").read_bytes() == SECRET, "the control"
        with pytest.raises(GitError, match=r"hard\.md has other hard links"):
            await tree.commit("Leaked\n")
    async with asyncio.timeout(20), repository.work_tree(base) as tree:
        assert tree.files.list_files() == ("a.md",)
    assert secret.read_bytes() == SECRET


async def test_a_night_and_doctor_name_a_kernel_without_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is started; on this kernel both are content (the control)."""
    root = make_repository(tmp_path / "repo", {"a.md": b"a"})
    await NightRepository.open(root, tmp_path / "state", trees=1, clock=SystemClock())
    files = {"files": machine_questions({})["files"]}
    assert [one.grade for one in await ask(files)] == [Grade.OK]
    monkeypatch.setattr(beneath, "_NUMBER", ctypes.c_long(100_000))
    with pytest.raises(PreflightError, match="openat2"):
        await NightRepository.open(root, tmp_path / "state2", trees=1, clock=SystemClock())
    assert not (tmp_path / "state2").exists()
    (finding,) = await ask(files)
    assert finding.grade is Grade.FAIL and "openat2" in finding.message and "5.6" in finding.mend


def test_a_kernel_without_the_call_is_a_refusal_by_name(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no second way to open a file, so nothing is read."""
    monkeypatch.setattr(beneath, "_NUMBER", ctypes.c_long(100_000))
    for use in (
        lambda: place.tree.read_bytes("docs/note.md"),
        lambda: place.tree.write_bytes("docs/note.md", b"x"),
        place.tree.list_files,
        lambda: place.tree.exists("docs/note.md"),
        lambda: TargetCheck(place.root)("docs/note.md"),
    ):
        with pytest.raises(SandboxError, match="openat2"):
            use()
