"""The queue's folder: whole files or none, nothing through links, nothing left behind."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from threading import Event, Thread

import pytest

from pantheon.adapters import task_input
from pantheon.adapters.queue_files import FileQueue
from pantheon.adapters.targets import TargetCheck
from pantheon.adapters.task_input import open_task_file
from pantheon.core.errors import ConfigError, StoreError

NAME = "0123456789ab"


def test_a_kept_batch_is_two_files(tmp_path: Path) -> None:
    """Lines and envelope are there byte for byte, and no draft is."""
    queue = FileQueue(tmp_path / "queue")
    draft = queue.open_draft()
    for line in (b'{"id":"a"}', b'{"id":"b"}'):
        draft.add(line)
    assert queue.names() == ()
    assert not queue.has(NAME)
    queue.keep(draft, NAME, b"{}\n")
    draft.discard()
    assert queue.has(NAME)
    assert queue.names() == (NAME,)
    assert list(queue.read_lines(NAME)) == [b'{"id":"a"}', b'{"id":"b"}']
    assert queue.read_envelope(NAME) == b"{}\n"
    data = (tmp_path / "queue" / f"{NAME}.jsonl").read_bytes()
    assert queue.lines_digest(NAME) == draft.digest == hashlib.sha256(data).hexdigest()
    assert sorted(os.listdir(tmp_path / "queue")) == [f"{NAME}.attestation.json", f"{NAME}.jsonl"]


def test_a_discarded_draft_leaves_nothing(tmp_path: Path) -> None:
    """Twice is as good as once."""
    draft = FileQueue(tmp_path).open_draft()
    draft.add(b"x")
    draft.discard()
    draft.discard()
    assert os.listdir(tmp_path) == []


def test_lines_without_an_envelope_are_no_batch(tmp_path: Path) -> None:
    """A kill between the two files leaves what no night takes."""
    (tmp_path / f"{NAME}.jsonl").write_bytes(b"{}\n")
    queue = FileQueue(tmp_path)
    assert queue.names() == ()
    assert not queue.has(NAME)
    with pytest.raises(StoreError):
        queue.read_envelope(NAME)


def test_a_killed_process_leaves_a_draft_that_the_next_one_removes(tmp_path: Path) -> None:
    """The draft of a living process stays, that of a dead one goes."""
    living = FileQueue(tmp_path).open_draft()
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom pantheon.adapters.queue_files import FileQueue\n"
        "draft = FileQueue(Path(sys.argv[1])).open_draft()\nprint('open', flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert len(os.listdir(tmp_path)) == 2
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert len(os.listdir(tmp_path)) == 2
    fresh = FileQueue(tmp_path).open_draft()
    assert sorted(os.listdir(tmp_path)) == sorted([living.path.name, fresh.path.name])
    living.discard()
    fresh.discard()


def test_nothing_is_read_through_a_link(tmp_path: Path) -> None:
    """A repository that ships links in its queue reaches nothing outside it."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"{}\n")
    folder = tmp_path / "queue"
    folder.mkdir()
    (folder / f"{NAME}.jsonl").symlink_to(secret)
    (folder / f"{NAME}.attestation.json").symlink_to(secret)
    queue = FileQueue(folder)
    for read in (queue.read_envelope, queue.lines_digest, lambda name: list(queue.read_lines(name))):
        with pytest.raises(StoreError, match="symbolic link"):
            read(NAME)


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    """Links in the way are replaced, never followed; a planted draft does not stop the queue."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    folder = tmp_path / "queue"
    folder.mkdir()
    for name in (f"{NAME}.jsonl", f"{NAME}.attestation.json", ".draft-planted"):
        (folder / name).symlink_to(victim)
    queue = FileQueue(folder)
    draft = queue.open_draft()
    draft.add(b"{}")
    queue.keep(draft, NAME, b"{}")
    draft.discard()
    assert victim.read_bytes() == b"precious"
    assert not (folder / f"{NAME}.jsonl").is_symlink()


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    """A pipe in the queue does not hang the night."""
    os.mkfifo(tmp_path / f"{NAME}.jsonl")
    with pytest.raises(StoreError):
        FileQueue(tmp_path).lines_digest(NAME)


def test_a_folder_that_cannot_be_written_is_a_store_error(tmp_path: Path) -> None:
    """Foreign exceptions stop at the port."""
    (tmp_path / "queue").write_bytes(b"a file")
    with pytest.raises(StoreError):
        FileQueue(tmp_path / "queue").open_draft()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_a_store_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that do not fit are an error before anything gets its name."""
    queue = FileQueue(tmp_path)
    draft = queue.open_draft()
    draft._file.close()
    monkeypatch.setattr(draft, "_file", open("/dev/full", "wb"))  # noqa: SIM115 (the draft closes it)
    draft.add(b"x")
    with pytest.raises(StoreError, match="No space"):
        queue.keep(draft, NAME, b"{}")
    draft.discard()
    assert os.listdir(tmp_path) == []


def test_targets_behind_links_are_refused(tmp_path: Path) -> None:
    """A link as the file, as a folder above it, or hanging in the air; what is not there yet is fine."""
    outside = tmp_path / "outside"
    (outside / "sub").mkdir(parents=True)
    (outside / "sub" / "x.md").touch()
    root = tmp_path / "root"
    (root / "docs").mkdir(parents=True)
    (root / "docs" / "good.md").touch()
    (root / "docs" / "link.md").symlink_to(outside / "sub" / "x.md")
    (root / "docs" / "hanging.md").symlink_to("nowhere")
    (root / "docs" / "inner.md").symlink_to("good.md")
    (root / "away").symlink_to(outside)
    os.mkfifo(root / "docs" / "pipe.md")
    check = TargetCheck(root)
    assert check("docs/good.md") is None
    assert check("docs/new.md") is None
    assert check("new/folder/x.md") is None
    assert check("docs/link.md") == "docs/link.md is a symbolic link"
    assert check("docs/hanging.md") == "docs/hanging.md is a symbolic link"
    assert check("docs/inner.md") == "docs/inner.md is a symbolic link"
    assert check("away/sub/x.md") == "away is a symbolic link"
    assert check("away/sub/deeper/y.md") == "away is a symbolic link"
    assert check("docs/good.md/x") == "docs/good.md is not a folder"
    assert check("docs") == "docs is not a file"
    assert check("docs/pipe.md") == "docs/pipe.md is not a file"
    assert "cannot be looked at" in str(check("x" * 300))


def test_a_long_line_is_dropped_while_it_is_read(tmp_path: Path) -> None:
    """A line of 10 MB between two good ones costs its own place and nothing else."""
    file = tmp_path / "tasks.jsonl"
    file.write_bytes(b"a\n" + b"x" * 10_000_000 + b"\nb")
    with open_task_file(str(file), max_line_bytes=1_000_000, stop=Event()) as lines:
        assert list(lines) == [b"a", None, b"b"]


@pytest.mark.parametrize("name", ["missing", "folder", "a\0b", "x" * 300])
def test_a_file_that_cannot_be_read_is_a_config_error(tmp_path: Path, name: str) -> None:
    """The message names the file; what is wrong is the caller's to mend."""
    (tmp_path / "folder").mkdir()
    with (
        pytest.raises(ConfigError, match="cannot be read"),
        open_task_file(f"{tmp_path}/{name}", max_line_bytes=10, stop=Event()) as lines,
    ):
        list(lines)


def test_a_silent_pipe_can_be_left(tmp_path: Path) -> None:
    """Stopping the reader ends it soon, though nobody ever writes or closes the pipe."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR)
    stop = Event()
    got: list[bytes | None] = []

    def read() -> None:
        with open_task_file(str(pipe), max_line_bytes=10, stop=stop) as lines:
            got.extend(lines)

    thread = Thread(target=read)
    thread.start()
    os.write(writer, b"one\ntw")
    end = time.monotonic() + 20
    while not got and time.monotonic() < end:
        time.sleep(0.001)
    stop.set()
    thread.join(20)
    os.close(writer)
    assert not thread.is_alive()
    assert got == [b"one", b"tw"]


def test_a_pipe_that_nobody_writes_to_is_empty(tmp_path: Path) -> None:
    """Opening it does not wait for a writer who never comes."""
    os.mkfifo(tmp_path / "pipe")
    with open_task_file(str(tmp_path / "pipe"), max_line_bytes=10, stop=Event()) as lines:
        assert list(lines) == []


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/null", "/dev/tty", "/"])
def test_what_is_neither_file_nor_pipe_is_refused(name: str) -> None:
    """A device would never end; it is refused before a byte is read."""
    with (
        pytest.raises(ConfigError, match="cannot be read"),
        open_task_file(name, max_line_bytes=10, stop=Event()) as lines,
    ):
        next(lines)


def test_a_socket_by_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listening socket is no file."""
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s.sock")
        with (
            pytest.raises(ConfigError, match="cannot be read"),
            open_task_file("s.sock", max_line_bytes=10, stop=Event()),
        ):
            pass


@pytest.mark.parametrize(
    ("name", "ceiling", "words"), [("MAX_FILE_BYTES", 9, "9 bytes"), ("MAX_LINES", 3, "3 lines")]
)
def test_what_goes_on_and_on_ends_at_a_ceiling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, ceiling: int, words: str
) -> None:
    """Bytes and lines are counted while they are read; up to the ceiling is fine."""
    monkeypatch.setattr(task_input, name, ceiling)
    file = tmp_path / "tasks.jsonl"
    file.write_bytes(b"aaa\nbb\nc\n")
    with open_task_file(str(file), max_line_bytes=100, stop=Event()) as lines:
        assert list(lines) == [b"aaa", b"bb", b"c"]
    file.write_bytes(b"aaa\nbb\nc\nd")
    with (
        pytest.raises(ConfigError, match=words),
        open_task_file(str(file), max_line_bytes=100, stop=Event()) as lines,
    ):
        list(lines)


def test_an_envelope_that_vanishes_is_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is taken away between the listing and the look at it is left out; the others stay."""
    gone = tmp_path / "aaaaaaaaaaaa.attestation.json"
    for path in (gone, tmp_path / f"{NAME}.attestation.json"):
        path.write_bytes(b"{}")
    look = Path.lstat

    def take_away(path: Path) -> os.stat_result:
        if path == gone:
            gone.unlink(missing_ok=True)
        return look(path)

    monkeypatch.setattr(Path, "lstat", take_away)
    assert FileQueue(tmp_path).names() == (NAME,)


@pytest.mark.parametrize("linked", [".jsonl", ".attestation.json"])
def test_a_link_is_not_a_batch(tmp_path: Path, linked: str) -> None:
    """A batch one of whose files is a link elsewhere is not there, as it could not be read either."""
    queue, folder = FileQueue(tmp_path / "queue"), tmp_path / "queue"
    folder.mkdir()
    for suffix in (".jsonl", ".attestation.json"):
        (folder / f"{NAME}{suffix}").write_bytes(b"{}\n")
    assert queue.has(NAME)
    (folder / f"{NAME}{linked}").rename(tmp_path / "elsewhere")
    (folder / f"{NAME}{linked}").symlink_to(tmp_path / "elsewhere")
    assert not queue.has(NAME)
