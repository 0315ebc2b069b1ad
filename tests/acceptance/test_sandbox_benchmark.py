"""The sandbox's benchmark runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "sandbox.py"


@pytest.mark.parametrize("user", [(), ("--user", "60321")], ids=["root", "ordinary user"])
def test_the_benchmark_measures_every_subject(user: tuple[str, ...]) -> None:
    """A tiny run prints what each subject takes, and over a plain start."""
    command = [sys.executable, str(SCRIPT), "--rounds", "3", "--json", *user]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)
    assert [row["subject"] for row in found["rows"]] == ["plain", "none", "bare", "bubblewrap"]
    assert found["rows"][2]["over_plain_ms"] > 0
