"""Artifacts on disk: written once, named safely, digested rightly, and never through a link."""

import asyncio
import errno
import hashlib
import os
import threading
from io import FileIO
from pathlib import Path

import pytest

from pantheon.adapters import artifacts
from pantheon.adapters.artifacts import ArtifactFolder, FolderSink
from pantheon.core.errors import ArtifactError
from pantheon.testing.steps import Steps


async def opened(tmp_path: Path) -> FolderSink:
    """The sink of one attempt."""
    return await ArtifactFolder(tmp_path / "artifacts").open_attempt("n1", "abc/t1", "doc.rename", 1)


async def test_sealed_digests_are_those_of_the_files(tmp_path: Path) -> None:
    """Every artifact is on disk as it was given, and sealed under its SHA-256, appended ones too."""
    sink = await opened(tmp_path)
    await sink.put("input.json", b"{}\n")
    await sink.append("stdout.log", b"one\n")
    await sink.append("stdout.log", b"two\n")
    await sink.put("empty.txt", b"")
    await sink.seal()
    sealed = sink.digests()
    folder = tmp_path / "artifacts" / sink.folder
    assert sink.folder == "n1/abc-t1/doc.rename/001"
    assert (folder / "stdout.log").read_bytes() == b"one\ntwo\n"
    assert list(sealed) == sorted(sealed)
    assert sealed == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


async def test_nothing_is_written_twice(tmp_path: Path) -> None:
    """A whole artifact is not put again with other bytes, nor appended to, and an appended one is not put."""
    sink = await opened(tmp_path)
    await sink.put("output.json", b"first")
    await sink.append("stdout.log", b"line\n")
    await sink.put("output.json", b"first")
    for again in (
        sink.put("output.json", b"second"),
        sink.append("output.json", b"x"),
        sink.put("stdout.log", b"x"),
    ):
        with pytest.raises(ArtifactError, match="already written"):
            await again
    folder = tmp_path / "artifacts" / sink.folder
    assert (folder / "output.json").read_bytes() == b"first"
    assert (folder / "stdout.log").read_bytes() == b"line\n"


async def test_an_attempt_is_never_opened_twice(tmp_path: Path) -> None:
    """The folder of an attempt belongs to one attempt, even for a second process."""
    await opened(tmp_path)
    with pytest.raises(ArtifactError, match="never overwritten"):
        await opened(tmp_path)


async def test_a_file_that_another_process_left_is_not_touched(tmp_path: Path) -> None:
    """What stands under an artifact's name already stays as it is."""
    sink = await opened(tmp_path)
    planted = tmp_path / "artifacts" / sink.folder / "output.json"
    planted.write_bytes(b"planted")
    for write in (sink.put("output.json", b"mine"), sink.append("output.json", b"mine")):
        with pytest.raises(ArtifactError):
            await write
    assert planted.read_bytes() == b"planted"
    await sink.seal()
    assert sink.digests() == {}


async def test_links_are_not_followed(tmp_path: Path) -> None:
    """A link under an artifact's name, planted before or between two lines, leads nowhere."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    sink = await opened(tmp_path)
    folder = tmp_path / "artifacts" / sink.folder
    (folder / "output.json").symlink_to(victim)
    (folder / "dangling.json").symlink_to(tmp_path / "nowhere")
    await sink.append("stdout.log", b"line\n")
    (folder / "stdout.log").unlink()
    (folder / "stdout.log").symlink_to(victim)
    for write in (
        sink.put("output.json", b"x"),
        sink.put("dangling.json", b"x"),
        sink.append("stdout.log", b"x"),
    ):
        with pytest.raises(ArtifactError):
            await write
    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("link", ["n1", "n1/abc-t1", "n1/abc-t1/doc.rename"])
async def test_a_linked_folder_is_refused(tmp_path: Path, link: str) -> None:
    """A folder on the way that is a link does not lead evidence out of the artifacts."""
    outside = tmp_path / "outside"
    outside.mkdir()
    place = tmp_path / "artifacts" / link
    place.parent.mkdir(parents=True)
    place.symlink_to(outside)
    with pytest.raises(ArtifactError):
        await opened(tmp_path)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../up",
        "a/b",
        "/etc/passwd",
        "a\x00b",
        "a\n",
        "-rf",
        ".hidden",
        "Output.json",
        "é",
        "a" * 65,
    ],
)
async def test_names_are_checked(tmp_path: Path, name: str) -> None:
    """Only plain lower-case names; nothing that leaves the folder, hides, or breaks a line."""
    sink = await opened(tmp_path)
    for write in (sink.put(name, b"x"), sink.append(name, b"x")):
        with pytest.raises(ArtifactError, match="not the name"):
            await write
    with pytest.raises(ArtifactError, match="not the name"):
        await ArtifactFolder(tmp_path).put_night_file("n1", name, b"x")


@pytest.mark.parametrize(
    ("night", "task", "node"),
    [
        ("..", "t", "n"),
        ("", "t", "n"),
        ("n/../..", "t", "n"),
        ("n", "../../t", "n"),
        ("n", "", "n"),
        ("n", "t", "../n"),
        ("n", "t", ".git"),
        ("n", "t\n", "n"),
        ("n", "t" * 300, "n"),
    ],
)
async def test_parts_of_the_path_are_checked(tmp_path: Path, night: str, task: str, node: str) -> None:
    """No id leads out of the artifacts or makes a name that tools stumble over."""
    with pytest.raises(ArtifactError):
        await ArtifactFolder(tmp_path / "artifacts").open_attempt(night, task, node, 1)
    assert not (tmp_path / "artifacts").exists()


async def test_tasks_that_differ_never_share_a_folder(tmp_path: Path) -> None:
    """A slash in a task's key does not make it another task's folder."""
    store = ArtifactFolder(tmp_path)
    first = await store.open_attempt("n", "abc/t", "x", 1)
    second = await store.open_attempt("n", "abd/t", "x", 1)
    assert first.folder != second.folder


async def test_a_night_file_is_replaced_whole(tmp_path: Path) -> None:
    """A file of the night is always the old one or the new one, and nothing is left beside it."""
    store = ArtifactFolder(tmp_path)
    path = await store.put_night_file("n1", "report.json", b"old")
    assert await store.put_night_file("n1", "report.json", b"new") == path
    assert path == str(tmp_path / "n1/report.json")
    assert (tmp_path / "n1/report.json").read_bytes() == b"new"
    assert os.listdir(tmp_path / "n1") == ["report.json"]


async def test_a_night_file_is_not_written_through_a_link(tmp_path: Path) -> None:
    """A link planted under the file's name, or under the name of its draft, is not followed."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    night = tmp_path / "artifacts/n1"
    night.mkdir(parents=True)
    (night / "report.json").symlink_to(victim)
    (night / ".report.json.new").symlink_to(victim)
    await ArtifactFolder(tmp_path / "artifacts").put_night_file("n1", "report.json", b"x")
    assert (night / "report.json").read_bytes() == b"x"
    assert not (night / "report.json").is_symlink()
    assert victim.read_bytes() == b"precious"


async def test_a_linked_night_gets_no_file(tmp_path: Path) -> None:
    """A night's folder that is a link is refused for the night's files too."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "n1").symlink_to(tmp_path / "outside")
    with pytest.raises(ArtifactError, match="symbolic link"):
        await ArtifactFolder(tmp_path).put_night_file("n1", "report.json", b"x")
    assert list((tmp_path / "outside").iterdir()) == []


async def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A folder that is gone is an error of the artifacts, with the path and the reason."""
    sink = await opened(tmp_path)
    folder = tmp_path / "artifacts" / sink.folder
    folder.rmdir()
    with pytest.raises(ArtifactError, match=r"output\.json cannot be written: No such file"):
        await sink.put("output.json", b"x")
    with pytest.raises(ArtifactError, match="made durable"):
        await sink.seal()


@pytest.mark.parametrize("room", [0, 3])
async def test_a_full_disk_leaves_no_byte_behind(
    room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be written whole is not there at all, can be tried again, and the digests still fit."""
    sink = await opened(tmp_path)
    await sink.append("stdout.log", b"kept\n")

    def full(file: FileIO, data: bytes) -> None:
        file.write(data[:room])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(artifacts, "_write_all", full)
        with pytest.raises(ArtifactError, match="No space left"):
            await sink.put("output.json", b"whole")
        with pytest.raises(ArtifactError, match="No space left"):
            await sink.append("stdout.log", b"torn line\n")
        with pytest.raises(ArtifactError, match="No space left"):
            await sink.append("stderr.log", b"first line\n")
    await sink.put("output.json", b"whole")
    folder = tmp_path / "artifacts" / sink.folder
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    assert found == dict(sink.digests())
    assert (folder / "stdout.log").read_bytes() == b"kept\n"
    assert set(found) == {"output.json", "stdout.log"}


async def test_what_is_written_while_a_seal_flushes_is_flushed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that arrives in the middle of a seal is neither lost from the next one nor does it break this one."""
    sink = await opened(tmp_path)
    await sink.append("stdout.log", b"one\n")
    flushed: list[str] = []
    flushing, go_on = threading.Event(), threading.Event()
    flush = artifacts._flush

    def slow_flush(path: Path) -> None:
        flush(path)
        flushed.append(path.name)
        flushing.set()
        go_on.wait(5)

    monkeypatch.setattr(artifacts, "_flush", slow_flush)
    async with asyncio.TaskGroup() as group:
        group.create_task(sink.seal(), name="seal")
        assert await asyncio.to_thread(flushing.wait, 5)
        await sink.append("stdout.log", b"two\n")
        await sink.put("late.txt", b"late")
        go_on.set()
    assert "late.txt" not in flushed
    flushed.clear()
    await sink.seal()
    assert {"late.txt", "stdout.log"} <= set(flushed)


async def test_what_could_not_be_flushed_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A seal that failed leaves its artifacts to the next one."""
    sink = await opened(tmp_path)
    await sink.put("input.json", b"{}\n")

    def broken(path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error", str(path))

    with monkeypatch.context() as patched, pytest.raises(ArtifactError, match="cannot be made durable"):
        patched.setattr(artifacts, "_flush", broken)
        await sink.seal()
    flushed: list[str] = []
    monkeypatch.setattr(artifacts, "_flush", lambda path: flushed.append(path.name))
    await sink.seal()
    assert "input.json" in flushed


@pytest.mark.parametrize("late", [False, True])
async def test_a_seal_makes_durable_what_a_cancelled_attempt_made_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """However an opening is cancelled, the next attempt's way from the root is flushed before its seal counts."""
    for at in (1, 2):
        folder = ArtifactFolder(tmp_path / f"{at}")
        steps = Steps(at, late=late)
        await asyncio.wait([steps.start(folder.open_attempt("n1", "b/t", "node", 1), name="open")])
        sink = await folder.open_attempt("n1", "b/t", "node", 2)
        flushed: list[Path] = []
        with monkeypatch.context() as patched:
            patched.setattr(artifacts, "_flush", flushed.append)
            await sink.seal()
            first = set(flushed)
            await sink.seal()
        assert first >= {tmp_path / f"{at}" / one for one in ("", "n1", "n1/b-t", "n1/b-t/node")}
        assert len(flushed) == len(first) + 1, "what is durable is not flushed again"
