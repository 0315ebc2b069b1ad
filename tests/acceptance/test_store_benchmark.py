"""The store's benchmark runs."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "store.py"


def test_the_benchmark_measures_every_subject(tmp_path: Path) -> None:
    """A tiny run prints figures for the floor, the fake and both widths, and leaves nothing behind."""
    command = [sys.executable, str(SCRIPT), "--nodes", "20", "--folder", str(tmp_path), "--json"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)
    assert [(row["subject"], row["at_once"]) for row in found["rows"]] == [
        ("floor: commits", 1),
        ("memory", 32),
        ("sqlite", 32),
        ("sqlite", 1),
    ]
    assert all(row["per_s"] > 0 for row in found["rows"])
    assert found["about"]["nodes"] == 20
    assert list(tmp_path.iterdir()) == []
