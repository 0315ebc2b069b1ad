"""pip fetches data and nothing else: no code of a package, a folder or a former process runs."""

import asyncio
import importlib.util
import os
import shlex
import shutil
import tarfile
import time
from pathlib import Path

import pytest

from pantheon.adapters.pip_download import PipFetcher, allowed_environment
from pantheon.core.errors import ArtifactError
from pantheon.testing.models import make_wheel

NAME = "tiny-part1"
META = b"Metadata-Version: 2.1\nName: tiny-part1\nVersion: 1.0\nRequires-Dist: another-package\n"
WHEEL = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """A folder that pip searches instead of an index."""
    folder = tmp_path / "index"
    folder.mkdir()
    return folder


def environment(index: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"], "HOME": str(index.parent), "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "SECRET_TOKEN": "x",
    }  # fmt: skip


def add_wheel(index: Path, data: bytes = b"data") -> bytes:
    info = "tiny_part1-1.0.dist-info"
    wheel = make_wheel(
        {
            "tiny_part1/data/part01.bin": data,
            f"{info}/METADATA": META,
            f"{info}/WHEEL": WHEEL,
            f"{info}/RECORD": b"",
        }
    )
    (index / "tiny_part1-1.0-py3-none-any.whl").write_bytes(wheel)
    return wheel


def add_source_package(index: Path, mark: Path) -> None:
    setup = index.parent / "setup.py"
    setup.write_text(
        f"open({str(mark)!r}, 'w')\nfrom setuptools import setup\nsetup(name='tiny-part1', version='1.0')\n"
    )
    with tarfile.open(index / "tiny-part1-1.0.tar.gz", "w:gz") as archive:
        archive.add(setup, "tiny-part1-1.0/setup.py")


def make_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


async def test_fetches_exactly_one_wheel(index: Path, tmp_path: Path) -> None:
    """The wheel arrives byte for byte; its dependency is not asked for; no scratch file stays outside."""
    wheel = add_wheel(index)
    path = await PipFetcher(environment(index)).download(NAME, "1.0", make_folder(tmp_path), max_bytes=10**6)
    assert path.read_bytes() == wheel
    assert path.parent == tmp_path / "target"


async def test_builds_nothing(index: Path, tmp_path: Path) -> None:
    """A source package of that name would run code of strangers; it is not even considered."""
    add_source_package(index, tmp_path / "ran")
    with pytest.raises(ArtifactError, match=r"pip could not download tiny-part1==1\.0") as caught:
        await PipFetcher(environment(index)).download(NAME, "1.0", make_folder(tmp_path), max_bytes=10**6)
    assert "No matching distribution" in caught.value.hint
    assert not (tmp_path / "ran").exists()


async def test_a_module_in_the_current_folder_is_not_pip(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Standing in a hostile repository, pip is still the interpreter's own."""
    add_wheel(index)
    for place in (tmp_path / "pip", make_folder(tmp_path) / "pip"):
        place.mkdir()
        (place / "__init__.py").write_text("")
        (place / "__main__.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    fetcher = PipFetcher(environment(index) | {"PYTHONPATH": str(tmp_path)})
    assert (await fetcher.download(NAME, "1.0", tmp_path / "target", max_bytes=10**6)).is_file()
    assert not (tmp_path / "ran").exists()


async def test_a_wheel_that_is_too_large_is_cut_off(index: Path, tmp_path: Path) -> None:
    """The kernel stops pip from writing more than the ceiling."""
    add_wheel(index, os.urandom(3_000_000))
    with pytest.raises(ArtifactError, match="could not download"):
        await PipFetcher(environment(index)).download(NAME, "1.0", make_folder(tmp_path), max_bytes=10**6)
    assert (
        max((p.stat().st_size for p in tmp_path.joinpath("target").rglob("*") if p.is_file()), default=0)
        <= 10**6
    )


def stalling(tmp_path: Path) -> tuple[str, ...]:
    """Return a command that starts a child of its own and then both stall; a shell, which has begun in no time."""
    script = tmp_path / "stall.sh"
    script.write_text(
        f"( /bin/sleep 30; : > {shlex.quote(str(tmp_path / 'ended'))} ) &\n"
        f"echo $$ $! > {shlex.quote(str(tmp_path / 'pids.new'))}\n"
        f"/bin/mv {shlex.quote(str(tmp_path / 'pids.new'))} {shlex.quote(str(tmp_path / 'pids'))}\n"
        "wait\n"
    )
    return ("/bin/sh", str(script))


def alive(tmp_path: Path) -> list[int]:
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    return [pid for pid in pids if _state(pid) not in ("", "Z")]


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def wait_gone(tmp_path: Path) -> None:
    deadline = time.monotonic() + 20
    while alive(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert alive(tmp_path) == []
    assert not (tmp_path / "ended").exists(), "nobody waited until it ended by itself"


def wait_file(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)


async def test_a_stalled_pip_ends_at_its_time_limit(tmp_path: Path) -> None:
    """Past its time pip is killed with everything it started."""
    fetcher = PipFetcher({}, timeout_s=1, command=stalling(tmp_path))
    with pytest.raises(ArtifactError, match=r"did not finish tiny-part1==1\.0 within 1 s"):
        await fetcher.download(NAME, "1.0", make_folder(tmp_path), max_bytes=10**6)
    wait_gone(tmp_path)


async def test_cancellation_kills_pip(tmp_path: Path) -> None:
    """Cancelled, nothing keeps running."""
    fetcher = PipFetcher({}, command=stalling(tmp_path))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(
            fetcher.download(NAME, "1.0", make_folder(tmp_path), max_bytes=10**6), name="download"
        )
        await asyncio.to_thread(wait_file, tmp_path / "pids")
        task.cancel()
    assert task.cancelled()
    wait_gone(tmp_path)


async def test_what_pip_says_is_in_the_error(tmp_path: Path) -> None:
    """The end of pip's words helps to mend; a flood of them is cut."""
    script = tmp_path / "loud.py"
    script.write_text(
        "import sys\nsys.stderr.write('x' * 1_000_000 + '\\nERROR: the real reason\\n')\nsys.exit(2)"
    )
    fetcher = PipFetcher({}, command=(shutil.which("python3") or "python3", "-S", str(script)))
    with pytest.raises(ArtifactError, match="exit 2") as caught:
        await fetcher.download(NAME, "1.0", make_folder(tmp_path), max_bytes=10**6)
    assert "the real reason" in caught.value.hint
    assert len(caught.value.hint) < 2_000


async def test_without_pip_the_error_says_how_to_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment that was made without pip gets the command that adds it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ArtifactError, match="has no pip") as caught:
        await PipFetcher({}).download(NAME, "1.0", make_folder(tmp_path), max_bytes=10**6)
    assert "-m ensurepip" in caught.value.hint


def test_pip_sees_its_settings_and_no_secret() -> None:
    """Settings of pip, proxies and certificates pass; credentials of other programs do not."""
    given = {
        "PATH": "p", "HOME": "h", "PIP_INDEX_URL": "i", "https_proxy": "x", "HTTPS_PROXY": "x", "SSL_CERT_FILE": "c",
        "AWS_SECRET_ACCESS_KEY": "s", "GITHUB_TOKEN": "s", "PYTHONPATH": "s", "PYTHONSTARTUP": "s", "LD_PRELOAD": "s",
    }  # fmt: skip
    seen = allowed_environment(given)
    assert set(seen) == {"PATH", "HOME", "PIP_INDEX_URL", "https_proxy", "HTTPS_PROXY", "SSL_CERT_FILE"}
