"""The benchmark of the client path runs."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "throughput" / "client.py"


def test_the_benchmark_measures_both_ways_to_connect() -> None:
    """A tiny run calls over the Unix socket and over loopback, and prints figures for each."""
    command = [sys.executable, str(SCRIPT), "--calls", "40", "--repeat", "1", "--streams", "4", "--json"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)
    assert [(row["over"], row["streams"]) for row in found["rows"]] == [("uds", 4), ("tcp", 4)]
    assert all(row["calls_per_s"] > 0 and row["cpu_ms_per_call"] > 0 for row in found["rows"])
