"""The work trees' benchmark runs."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "worktrees.py"


def test_the_benchmark_measures_every_subject(tmp_path: Path) -> None:
    """A tiny run prints times and processes of every subject, and leaves nothing behind."""
    command = [
        sys.executable,
        str(SCRIPT),
        "--files",
        "120",
        "--rounds",
        "3",
        "--folder",
        str(tmp_path),
        "--json",
    ]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)
    assert [(row["subject"], row["processes"]) for row in found["rows"]] == [
        ("full checkout", 1),
        ("git in one folder", 6),
        ("pool", 3),
        ("pool, reader", 0),
    ]
    assert all(row["ms"] > 0 for row in found["rows"])
    assert found["about"]["rounds"] == 3
    assert list(tmp_path.iterdir()) == []
