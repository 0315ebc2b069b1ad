"""The engine's benchmark stays alive: our scripts at a tiny size, the peers' as far as Python reads them."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "engine"
OWN = "pantheon,floor: each,floor: group,floor: levels,floor: ready"


def run(tmp_path: Path, script: str, *args: str) -> str:
    """Run one script and return what it prints."""
    done = subprocess.run(
        [sys.executable, str(FOLDER / script), *args],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_our_engine_and_the_floors_run_at_a_tiny_size_and_lose_nothing_to_a_kill(tmp_path: Path) -> None:
    """One run gives one table and one JSON file; after a kill nothing is lost and nothing that ended runs again."""
    shown = run(tmp_path, "run.py", "--tiny", "--only", OWN, "--json", "found.json")
    rows = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))["rows"]
    assert not [row for row in rows if "error" in row]
    assert {row["work"] for row in rows} == {"noop", "dag", "agentlike", "kill", "killdag"}
    killed = [row for row in rows if row["work"].startswith("kill") and row["subject"] == "pantheon"]
    assert [(row["lost"], row["exit"]) for row in killed] == [(0, 0), (0, 0)]
    assert "| pantheon | noop | 40 | 8 |" in shown


@pytest.mark.parametrize("work", ["signed", "plan"])
def test_what_only_our_engine_does_is_measured_too(tmp_path: Path, work: str) -> None:
    """Artifacts with signatures, and planning alone, run at a tiny size."""
    found = json.loads(run(tmp_path, "ours.py", work, "--size", "20"))
    assert found["wall_s"] > 0


def test_a_recorded_workflow_is_replayed(tmp_path: Path) -> None:
    """A trace in the WfCommons format is replayed by virtual clock; on one chain every order meets the bound."""
    names = ("a", "b")
    trace = {
        "workflow": {
            "specification": {"tasks": [{"id": "a", "parents": []}, {"id": "b", "parents": ["a"]}]},
            "execution": {"tasks": [{"id": name, "runtimeInSeconds": 2.5} for name in names]},
        }
    }
    (tmp_path / "chain.json").write_text(json.dumps(trace), encoding="utf-8")
    (row,) = json.loads(run(tmp_path, "replay.py", str(tmp_path), "--workers", "2", "--json"))
    assert (row["ours"], row["levels"], row["over the simple bound"]) == (1.0, 1.0, 1.0)


def test_critical_paths_beat_a_barrier_on_the_made_traces(tmp_path: Path) -> None:
    """The shipped shapes end sooner by our order than by levels, and no later than 1.04 of the lower bound."""
    rows = json.loads(run(tmp_path, "replay.py", "--workers", "8", "--json"))
    assert all(row["ours"] <= min(row["levels"], row["longest path"], 1.04) for row in rows)


@pytest.mark.parametrize("script", sorted(FOLDER.glob("peer_*.py")), ids=lambda path: path.stem)
def test_a_peer_is_python_and_does_the_same_work(script: Path) -> None:
    """A peer's script reads as Python and takes its work from where ours does."""
    tree = ast.parse(script.read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {"subject", "workload"} <= imported


def test_growth_is_plotted_from_what_was_measured(tmp_path: Path) -> None:
    """Two sizes of which one takes ten times as long give a plot that says it is linear; one size gives none."""
    row = {"subject": "pantheon", "work": "noop", "at_once": 32, "imports_mb": 70.0}
    rows = [{**row, "size": 1000 * k, "wall_s": 0.5 * k, "peak_mb": 70.0 + 5 * k} for k in (1, 10)]
    (tmp_path / "found.json").write_text(json.dumps({"rows": rows}), encoding="utf-8")
    assert "10,000 tasks" in run(tmp_path, "growth.py", "found.json", "plot.svg")
    plot = (tmp_path / "plot.svg").read_text(encoding="utf-8")
    assert plot.count("slope 1.00") == 2
    (tmp_path / "found.json").write_text(json.dumps({"rows": rows[:1]}), encoding="utf-8")
    with pytest.raises(AssertionError, match="nothing to plot"):
        run(tmp_path, "growth.py", "found.json", "none.svg")
