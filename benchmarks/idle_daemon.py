"""What a daemon costs that has nothing to do: CPU time as a share of one core, and its memory at its highest.

    python benchmarks/idle_daemon.py [--seconds 60] [--folder DIR] [--json]

Two daemons side by side, each a process of ``pantheon daemon`` under a watchdog, over a repository with a store: one
outside its window, one inside an open window in which nothing waits. CPU time is what ``/proc/PID/stat`` says of the
process and of the children it waited for, from when it is ready; the start is told beside it.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from pantheon.adapters.clock import SystemClock
from pantheon.testing.user_repository import make_repository

WATCHDOG_S = 60
READY_S = 30.0
LEAVE_S = 30.0
MAX_CPU_PERCENT, MAX_MB = 1.0, 120.0
TICKS = os.sysconf("SC_CLK_TCK")
NOTE = b"---\ntitle: Nothing\n---\n\nA note.\n"


@dataclass
class Subject:
    """One daemon that idles."""

    name: str
    process: subprocess.Popen[bytes]
    start_cpu_s: float = 0.0

    def cpu_s(self) -> float:
        """Return the CPU time so far, its children's included."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(one) for one in fields[11:15]) / TICKS

    def peak_mb(self) -> float:
        """Return the highest resident size so far."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def prepare(folder: Path, name: str, window: str) -> tuple[Path, dict[str, str]]:
    """Make a repository with an enqueued, worked-off past and a window of its own."""
    root = make_repository(folder / name, {"docs/a.md": NOTE})
    home = folder / f"{name}-home"
    env = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "TZ": "UTC"}
    run(root, env, "init")
    tasks = folder / f"{name}.jsonl"
    tasks.write_text(
        '{"id": "a", "kind": "docops", "goal": "Catalogue the note", "targets": ["docs/a.md"]}\n'
    )
    run(root, env, "enqueue", str(tasks))
    run(root, env, "cancel", "a", "--reason", "only a benchmark")
    policy = root / "policies" / "night.toml"
    head, _, rest = policy.read_text().partition("[window]\n")
    policy.write_text(f"{head}[window]\n{window}\n[budget]{rest.partition('[budget]')[2]}")
    return root, env


def run(root: Path, env: dict[str, str], *words: str) -> None:
    """Run one command to its good end."""
    subprocess.run([*command(root), *words], env=env, check=True, capture_output=True)


def command(root: Path) -> list[str]:
    return [sys.executable, "-P", "-m", "pantheon", "-C", str(root)]


def start(folder: Path, name: str, window: str) -> Subject:
    """Start a daemon and wait until it waits."""
    root, env = prepare(folder, name, window)
    log = folder / f"{name}.log"
    notify = {"NOTIFY_SOCKET": "@pantheon-benchmark-nobody", "WATCHDOG_USEC": str(WATCHDOG_S * 1_000_000)}
    with log.open("wb") as file:
        process = subprocess.Popen([*command(root), "daemon"], env={**env, **notify}, stderr=file)
    subject = Subject(name, process)
    give_up = time.monotonic() + READY_S
    while "until" not in log.read_text():
        if process.poll() is not None or time.monotonic() > give_up:
            sys.exit(f"{name}: the daemon does not wait: {log.read_text()}")
        time.sleep(0.1)
    subject.start_cpu_s = subject.cpu_s()
    return subject


def measure(folder: Path, seconds: float) -> list[dict[str, Any]]:
    """Let both daemons idle, and return a row for each."""
    later = SystemClock().now() + timedelta(hours=6)
    closed = f"start = '{later:%H}:00'\nend = '{later + timedelta(hours=1):%H}:00'\ntime_zone = 'UTC'"
    always = "start = '00:00'\nend = '00:00'\nlast_start_s = 0\ntime_zone = 'UTC'"
    subjects = [start(folder, "closed", closed), start(folder, "open", always)]
    try:
        begun, before = time.monotonic(), [one.cpu_s() for one in subjects]
        time.sleep(seconds)
        wall_s = time.monotonic() - begun
        return [
            {
                "subject": f"window {one.name}",
                "cpu_percent": 100 * (one.cpu_s() - at) / wall_s,
                "peak_mb": one.peak_mb(),
                "start_cpu_s": one.start_cpu_s,
                "wall_s": wall_s,
            }
            for one, at in zip(subjects, before, strict=True)
        ]
    finally:
        for one in subjects:
            one.process.terminate()
        for one in subjects:
            one.process.wait(LEAVE_S)


def say(line: str) -> None:
    """Write one line of the result."""
    sys.stdout.write(f"{line}\n")


def main() -> None:
    """Measure, print, and fail when an idle daemon costs more than it may."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument(
        "--folder", type=Path, help="where the repositories are made; a temporary one by default"
    )
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="idle-") as folder:
        rows = measure(Path(folder), given.seconds)
    about = {
        "python": platform.python_version(),
        "machine": f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "when": SystemClock().now().isoformat(timespec="seconds"),
        "limits": {"cpu_percent": MAX_CPU_PERCENT, "peak_mb": MAX_MB},
    }
    if given.json:
        say(json.dumps({"about": about, "rows": rows}, indent=1))
    else:
        say(f"{'subject':16} {'CPU %':>7} {'peak MB':>8} {'start s':>8}")
        for row in rows:
            say(
                f"{row['subject']:16} {row['cpu_percent']:7.3f} {row['peak_mb']:8.1f} {row['start_cpu_s']:8.2f}"
            )
        say(json.dumps(about))
    if any(row["cpu_percent"] > MAX_CPU_PERCENT or row["peak_mb"] > MAX_MB for row in rows):
        sys.exit("an idle daemon costs more than it may")


if __name__ == "__main__":
    main()
