"""The benchmark of the idle daemon runs, and its limits hold also on a short look."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "idle_daemon.py"


def test_an_idle_daemon_is_measured_in_and_outside_its_window(tmp_path: Path) -> None:
    """Both subjects, figures within what an idle service may cost, nothing left behind."""
    command = [sys.executable, str(SCRIPT), "--seconds", "3", "--folder", str(tmp_path), "--json"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=90).stdout)
    assert [row["subject"] for row in found["rows"]] == ["window closed", "window open"]
    assert all(0 < row["peak_mb"] < 120 for row in found["rows"])
    assert all(row["cpu_percent"] <= 1 for row in found["rows"])
    assert list(tmp_path.iterdir()) == []
