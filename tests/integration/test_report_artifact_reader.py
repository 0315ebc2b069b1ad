"""Artifacts on disk that somebody has tampered with."""

import os

import pytest

from pantheon.adapters.artifact_reader import FolderEvidence
from pantheon.ports.evidence import Portion

WANTED = {"output.json": Portion(1000)}


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "artifacts" / "n" / "t" / "node" / "001"
    place.mkdir(parents=True)
    return place


async def read(tmp_path, folder="n/t/node/001"):
    pieces = await FolderEvidence(tmp_path / "artifacts").read_attempt(folder, WANTED)
    return pieces["output.json"]


async def test_a_link_to_a_secret_is_not_followed(tmp_path, folder):
    """An artifact that is a symbolic link gives no byte of what it points to."""
    (tmp_path / "secret").write_text("key")
    (folder / "output.json").symlink_to(tmp_path / "secret")
    piece = await read(tmp_path)
    assert piece.data == b""
    assert "cannot be opened" in piece.problem


async def test_a_linked_folder_is_not_entered(tmp_path, folder):
    """A link anywhere on the way below the root is refused."""
    outside = tmp_path / "outside" / "node" / "001"
    outside.mkdir(parents=True)
    (outside / "output.json").write_text("key")
    (folder.parents[2] / "evil").symlink_to(tmp_path / "outside")
    piece = await read(tmp_path, "n/evil/node/001")
    assert piece.data == b""
    assert piece.problem


@pytest.mark.parametrize("kind", ["pipe", "folder"])
async def test_what_is_no_file_holds_nobody_up(tmp_path, folder, kind):
    """A pipe without a writer would block a careless reader for ever."""
    if kind == "pipe":
        os.mkfifo(folder / "output.json")
    else:
        (folder / "output.json").mkdir()
    piece = await read(tmp_path)
    assert (piece.data, piece.problem) == (b"", "is not a regular file")


async def test_many_reads_leave_no_open_handle(tmp_path, folder):
    """Every folder and file that was opened is closed, also after a refusal."""
    (folder / "output.json").symlink_to("/etc/passwd")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        await read(tmp_path)
        await FolderEvidence(tmp_path / "artifacts").read_attempt("n/none/x", WANTED)
    assert len(os.listdir("/proc/self/fd")) <= before + 1
