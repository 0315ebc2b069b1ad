"""The small parts of the embedded server: threads, counters, socket folder, settings."""

import ast
import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantheon.adapters import llama_child
from pantheon.adapters.cores import count_cores
from pantheon.adapters.llama_server import ServerSettings
from pantheon.adapters.metrics_text import parse_load, parse_metrics
from pantheon.adapters.socket_folder import MAX_PATH_BYTES, socket_folder
from pantheon.core.concurrency import Load
from pantheon.core.errors import ModelError

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def machine(tmp_path: Path, siblings: dict[int, str], share: str = "max 100000") -> tuple[Path, Path]:
    for number, text in siblings.items():
        place = tmp_path / f"cpu{number}" / "topology"
        place.mkdir(parents=True)
        (place / "thread_siblings_list").write_text(text + "\n")
    limit = tmp_path / "cpu.max"
    limit.write_text(share + "\n")
    return tmp_path, limit


@pytest.mark.parametrize(
    ("siblings", "share", "cores"),
    [
        ({0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}, "max 100000", 2),
        ({0: "0", 1: "1", 2: "2", 3: "3"}, "max 100000", 4),
        ({0: "0", 1: "1", 2: "2", 3: "3"}, "250000 100000", 2),
        ({0: "0", 1: "1", 2: "2", 3: "3"}, "50000 100000", 1),
        ({0: "0", 1: "1", 2: "2", 3: "3"}, "nonsense", 4),
        ({}, "800000 100000", 4),
    ],
)
def test_counts_physical_cores_within_the_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, siblings: dict[int, str], share: str, cores: int
) -> None:
    """Hyper-threads count once, a container's share is respected, an unknown machine counts its processors."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
    assert count_cores(*machine(tmp_path, siblings, share)) == cores


def test_counts_only_allowed_processors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is pinned to one processor gets one thread."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1})
    assert count_cores(*machine(tmp_path, {0: "0", 1: "1"})) == 1


def test_reads_counters() -> None:
    """Names lose their prefix; comments and what is no finite number are left out."""
    text = '# HELP llamacpp:a x\nllamacpp:a 12\nllamacpp:b 1.5e3\nvllm 7\nllamacpp:c NaN\nllamacpp:d{x="1"} 3\n\nrest'
    assert parse_metrics(text) == {"a": 12.0, "b": 1500.0, "vllm": 7.0}


@given(st.text())
def test_reads_any_counters_without_a_crash(text: str) -> None:
    """Whatever a server answers, the result is finite numbers."""
    assert all(value == value and abs(value) < float("inf") for value in parse_metrics(text).values())


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's, however deep pytest's own folders are."""
    with tempfile.TemporaryDirectory(prefix="p-", dir="/tmp") as folder:
        yield Path(folder)


def test_folder_is_private_short_and_removed(short: Path) -> None:
    """Only its owner may enter, the socket's path is short, and nothing stays."""
    with socket_folder({"XDG_RUNTIME_DIR": str(short)}, NOW) as folder:
        assert folder.parent == short
        assert folder.stat().st_mode & 0o777 == 0o700
        assert len(os.fsencode(folder / "s.sock")) <= MAX_PATH_BYTES
        with socket_folder({"XDG_RUNTIME_DIR": str(short)}, NOW) as other:
            assert other != folder
    assert list(short.iterdir()) == []


def test_folder_goes_where_there_is_a_place(tmp_path: Path) -> None:
    """A long, relative or missing base is passed over."""
    long = tmp_path / ("x" * 90)
    long.mkdir()
    for base in (str(long), "relative", str(tmp_path / "missing")):
        with socket_folder({"XDG_RUNTIME_DIR": base, "TMPDIR": base}, NOW) as folder:
            assert str(folder).startswith("/tmp/")


def test_folder_errors_of_the_body_stay_as_they_are(short: Path) -> None:
    """What goes wrong inside is not dressed up as a problem of the folder."""
    with pytest.raises(OSError, match="mine"), socket_folder({"TMPDIR": str(short)}, NOW):
        raise OSError("mine")
    assert list(short.iterdir()) == []


def test_sweeps_what_a_killed_owner_left(short: Path) -> None:
    """A folder that is old and not locked goes; a locked, a young, a foreign one and a link stay."""
    later = datetime.fromtimestamp(time.time(), UTC) + timedelta(hours=1)
    dead, live, odd, target = (short / f"pantheon-llama-{n}" for n in ("dead", "live", "odd", "link"))
    for folder in (dead, live, odd):
        folder.mkdir()
    (dead / "s.sock").touch()
    (dead / "lock").touch()
    (live / "lock").touch()
    target.symlink_to(live)
    with (live / "lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with socket_folder({"TMPDIR": str(short)}, datetime.fromtimestamp(time.time(), UTC)):
            assert dead.exists()
        with socket_folder({"TMPDIR": str(short)}, later):
            assert not dead.exists()
            assert live.exists()
            assert odd.exists()
            assert target.is_symlink()


def test_no_place_for_the_folder_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """When no folder can be made, each try is named."""

    def refuse(**_: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(ModelError, match="/tmp: Permission denied"), socket_folder({}, NOW):
        pass


@pytest.mark.parametrize("wrong", [{"slots": 0}, {"context_tokens": 1}, {"threads": -1}, {"other": 1}])
def test_settings_refuse_nonsense(wrong: dict[str, int]) -> None:
    """A setting out of range is an error, not a surprise in the night."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ServerSettings(**wrong)


def test_the_child_needs_only_the_standard_library_to_start() -> None:
    """Nothing of Pantheon and no engine is imported before the order to serve has come."""
    tree = ast.parse(Path(llama_child.__file__).read_text())
    top = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    top |= {str(node.module) for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert top <= set(sys.stdlib_module_names)


def test_a_child_without_an_order_leaves() -> None:
    """Started by nobody, it ends at once and says so by its exit code."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pantheon.adapters.llama_child"],
        stdin=subprocess.DEVNULL,
        timeout=20,
        check=False,
    )
    assert done.returncode == llama_child.ORPHANED


def test_the_load_is_read_from_either_server() -> None:
    """vLLM's gauges with their labels, summed over engines; llama.cpp's; nothing from a page that is something else."""
    told = (
        'vllm:num_requests_running{engine="0",model_name="m"} 3.0\n'
        'vllm:num_requests_running{engine="1",model_name="m"} 2.0\n'
        'vllm:num_requests_waiting{engine="0"} 1.0\nvllm:kv_cache_usage_perc{engine="0"} 0.25\n'
        'vllm:kv_cache_usage_perc{engine="1"} 0.5\n'
    )
    assert parse_load(told) == Load(running=5, waiting=1, cache_use=0.5)
    assert parse_load("llamacpp:requests_processing 1\nllamacpp:requests_deferred 0\n") == Load(
        running=1, waiting=0
    )
    assert parse_load("<html>vllm:num_requests_running</html>\nvllm:num_requests_waiting NaN\n") == Load()
