"""Our engine, floors and peers on the same work, one process each, in one run.

    python benchmarks/engine/run.py [--repeat 3] [--tiny] [--only pantheon,huey] [--json FILE] [--markdown FILE]

Peers run in their own environment (``make bench-setup``); without it they are left out and named. One that does not
start, fails or does not finish in time is a row that says so; the others go on.
"""

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from workload import judge_kill

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent.parent / ".bench" / "venv" / "bin" / "python"
SUBJECTS: dict[str, tuple[str, ...]] = {
    "pantheon": ("ours.py",),
    "floor: each": ("floors.py", "each"),
    "floor: group": ("floors.py", "group"),
    "floor: levels": ("floors.py", "levels"),
    "floor: ready": ("floors.py", "ready"),
    "huey": ("peer_huey.py",),
    "procrastinate": ("peer_procrastinate.py",),
    "dbos (wal)": ("peer_dbos.py", "wal"),
    "dbos (plain)": ("peer_dbos.py", "plain"),
    "langgraph": ("peer_langgraph.py",),
    "luigi": ("peer_luigi.py",),
    "dask": ("peer_dask.py",),
    "ray": ("peer_ray.py",),
    "prefect": ("peer_prefect.py",),
}
NOT_DURABLE = frozenset({"floor: levels", "floor: ready", "dask", "ray"})
WORKS = (("noop", 2000, 32), ("noop", 2000, 1), ("dag", 1000, 32), ("agentlike", 640, 32))
TINY = (("noop", 40, 8), ("noop", 20, 1), ("dag", 40, 8), ("agentlike", 20, 8))
OURS = (
    ("signed", 1000, 32),
    ("noop", 1000, 32),
    ("noop", 10_000, 32),
    ("noop", 100_000, 32),
    ("plan", 100_000, 1),
)
LIMIT_S = 300.0
"""Longest time for one run, in seconds."""
AGAIN_S = 60.0
"""Longest time for what a killed run had left."""
KILLS = ("kill", "killdag")
"""Works that are killed in the middle and started again: tasks without edges, and a graph."""
KILL_SIZE = 500


def command(subject: str) -> list[str]:
    """Return how a subject's script is started."""
    script, *mode = SUBJECTS[subject]
    python = str(PEERS) if script.startswith("peer_") else sys.executable
    return [python, str(HERE / script), *mode]


def measure(subject: str, work: str, size: int, at_once: int, limit_s: float) -> dict[str, Any]:
    """Run one subject once in a process and a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=".") as folder:
        args = [work, "--folder", folder, "--size", str(size), "--at-once", str(at_once)]
        code, shown, said = finish([*command(subject), *args], limit_s)
    if code is None:
        return {"error": f"did not run: not finished within {limit_s:.0f} s"}
    if code != 0 or not shown.strip():
        lines = said.strip().splitlines() or [f"exit code {code}, no message"]
        return {"error": f"did not run: {lines[-1]}"}
    found: dict[str, Any] = json.loads(shown.splitlines()[-1])
    return found


def finish(args: list[str], limit_s: float) -> tuple[int | None, str, str]:
    """Run a program; returns its exit code, None when it had to be killed, and what it printed.

    Whatever it has started belongs to its session and ends with it.
    """
    with tempfile.TemporaryFile("w+") as shown, tempfile.TemporaryFile("w+") as said:
        running = subprocess.Popen(args, stdout=shown, stderr=said, start_new_session=True)
        code: int | None = None
        with suppress(subprocess.TimeoutExpired):
            code = running.wait(limit_s)
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        shown.seek(0), said.seek(0)
        return code, shown.read(), said.read()


def middle(
    subject: str, work: str, size: int, at_once: int, repeats: int, limit_s: float = LIMIT_S
) -> dict[str, Any]:
    """Return the run with the median wall time; a first run that fails is not repeated."""
    runs = [measure(subject, work, size, at_once, limit_s)]
    if "error" not in runs[0]:
        runs += [measure(subject, work, size, at_once, limit_s) for _ in range(repeats - 1)]
    good = sorted((one for one in runs if "error" not in one), key=lambda one: float(one["wall_s"]))
    row = good[(len(good) - 1) // 2] if good else runs[0]
    return {**row, "subject": subject, "work": work, "size": size, "at_once": at_once, "repeats": repeats}


def kill(subject: str, work: str, size: int, at_once: int) -> dict[str, Any]:
    """Kill a subject with its whole group in mid-run, start it again, and count."""
    row: dict[str, Any] = {"subject": subject, "work": work, "size": size, "at_once": at_once}
    with tempfile.TemporaryDirectory(prefix="bench-", dir=".") as name:
        folder = Path(name)
        args = [work, "--folder", name, "--size", str(size), "--at-once", str(at_once)]
        quiet = subprocess.DEVNULL
        first = subprocess.Popen(
            [*command(subject), *args], stdout=quiet, stderr=quiet, start_new_session=True
        )
        log, deadline = folder / "kill.log", time.monotonic() + LIMIT_S
        while first.poll() is None and time.monotonic() < deadline:
            if log.exists() and log.read_bytes().count(b"end") >= size * 2 // 5:
                break
            time.sleep(0.002)
        if first.poll() is None:
            os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        if not log.exists():
            return {**row, "error": "did not run: nothing was begun"}
        with log.open("ab") as file:
            file.write(b"killed 0\n")
        code, _, _ = finish([*command(subject), *args], AGAIN_S)
        row |= {"stuck": True} if code is None else {"exit": code}
        return {**row, **judge_kill(folder, size)._asdict()}


def table(rows: list[dict[str, Any]]) -> str:
    """Return the results as Markdown."""
    lines = [
        "| subject | work | size | at once | wall s | per second | CPU ms each | MB beyond imports | over the bound |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in (one for one in rows if one["work"] not in KILLS):
        name = row["subject"] + (" (not durable)" if row["subject"] in NOT_DURABLE else "")
        head = f"| {name} | {row['work']} | {row['size']} | {row['at_once']} |"
        if "error" in row:
            lines.append(f"{head} {row['error'][:120].replace('|', '/')} | | | | |")
            continue
        size, ratio = row["size"], f"{row['ratio']:.3f}" if "ratio" in row else ""
        lines.append(
            f"{head} {row['wall_s']:.3f} | {size / row['wall_s']:.0f} | {row['cpu_s'] / size * 1000:.3f}"
            f" | {row['peak_mb'] - row['imports_mb']:.0f} | {ratio} |"
        )
    lines += [
        "",
        "| subject | work | killed at 40 % of | lost | finished, rerun | in flight, rerun |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for row in (one for one in rows if one["work"] in KILLS):
        cells = [row["error"], "", ""] if "error" in row else [row["lost"], row["rerun"], row["in_flight"]]
        shown = " | ".join(map(str, cells))
        lines.append(f"| {row['subject']} | {row['work']} | {row['size']} | {shown} |")
    return "\n".join(lines)


def versions(rows: list[dict[str, Any]]) -> str:
    """Return the versions of everything that was measured, in one line."""
    found: dict[str, str] = {}
    for row in rows:
        found |= row.get("versions", {})
    return ", ".join(f"{name} {version}" for name, version in sorted(found.items()))


def main() -> int:
    """Measure everything that is there and print the table."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--repeat", type=int, default=3, help="runs of each; the median one counts")
    options.add_argument("--limit", type=float, default=LIMIT_S, help="seconds for one run of one subject")
    options.add_argument("--tiny", action="store_true", help="sizes that only show that everything runs")
    options.add_argument("--only", default="", help="subjects, separated by commas")
    options.add_argument("--json", type=Path, help="also write the results here")
    options.add_argument("--markdown", type=Path, help="also write the table here")
    chosen = options.parse_args()
    names = [name.strip() for name in chosen.only.split(",") if name.strip()] or list(SUBJECTS)
    if unknown := sorted(set(names) - set(SUBJECTS)):
        options.error(f"no subject is called {unknown[0]!r} (subjects: {', '.join(SUBJECTS)})")
    if not PEERS.exists() and (left := [name for name in names if SUBJECTS[name][0].startswith("peer_")]):
        sys.stderr.write(f"left out, `make bench-setup` installs them: {', '.join(left)}\n")
        names = [name for name in names if name not in left]
    works, repeats = (TINY, 1) if chosen.tiny else (WORKS, chosen.repeat)
    rows: list[dict[str, Any]] = []
    for work, size, at_once in works:
        for name in names:
            rows.append(middle(name, work, size, at_once, repeats, chosen.limit))
            sys.stderr.write(f"{name}: {work} of {size}, {at_once} at once\n")
    if "pantheon" in names and not chosen.tiny:
        rows += [middle("pantheon", *own, 1 if own[1] >= 100_000 else repeats) for own in OURS]
    for name in names:
        if name not in NOT_DURABLE:
            size, at_once = (60, 8) if chosen.tiny else (KILL_SIZE, 32)
            rows += [kill(name, work, size, at_once) for work in KILLS]
    about = {
        "python": platform.python_version(), "system": platform.platform(), "cores": os.cpu_count(),
        "repeats": repeats, "load": statistics.mean(os.getloadavg()),
    }  # fmt: skip
    if chosen.json is not None:
        chosen.json.write_text(json.dumps({"about": about, "rows": rows}, indent=2) + "\n", encoding="utf-8")
    shown = f"{table(rows)}\n\n{versions(rows)}\n\n{', '.join(f'{key} {value}' for key, value in about.items())}\n"
    shown += "Command: python benchmarks/engine/run.py\n"
    if chosen.markdown is not None:
        chosen.markdown.write_text(shown, encoding="utf-8")
    sys.stdout.write(shown)
    return 1 if any("error" in row for row in rows if row["subject"] == "pantheon") else 0


if __name__ == "__main__":
    sys.exit(main())
