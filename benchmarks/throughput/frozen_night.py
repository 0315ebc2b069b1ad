"""The night that the throughput is measured with: notes, an agent that asks once, and Pantheon's own commands."""

import json
import os
import resource
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pantheon.testing import describe

ROOT = Path(__file__).parents[2]
NIGHT_S = 3_600
ENDED = (0, 1, 6)
"""Exit codes of a night that came to its end, whatever became of its tasks."""
CONFIGURATION = """
[endpoint]
kind = "openai"
url = "http://127.0.0.1:{port}"
context_tokens = 4096
slots = {at_once}

[night]
slots = {{ {model}cpu = 2, git = 1 }}
"""


@dataclass(frozen=True)
class Night:
    """What one frozen night came to.

    ``span_s`` is from the first attempt's start to the last one's end, ``night_s`` the whole command. ``cpu_s`` is the
    CPU time of Pantheon and all of its children, start-up included, the model server not among them. ``call_s`` is the
    mean of what the calls took, ``others`` what cores other programs took meanwhile.
    """

    calls: int
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    span_s: float
    night_s: float
    cpu_s: float
    call_s: float
    others: float = 0.0

    @property
    def per_s(self) -> float:
        return self.output_tokens / self.span_s

    @property
    def whole_per_s(self) -> float:
        """Output tokens a second of the whole command, its start and its report included."""
        return self.output_tokens / self.night_s


def run_night(
    folder: Path, port: int, at_once: int, tasks: int, *, paced: bool = False
) -> tuple[Night, list[dict[str, Any]]]:
    """Work the frozen night once; returns its figures and its calls as they were recorded.

    Args:
        folder: an empty folder for the repository.
        port: the server's, on loopback.
        at_once: calls in flight; with ``paced`` the most that the night may find out to be worth it, as is the default
            of a night whose configuration says nothing of it.
        tasks: how many, one call each.
        paced: whether the night finds out.

    Raises:
        SystemExit: it did not make exactly one call for each task, so that there is nothing to compare.
    """
    _make_repository(folder, tasks)
    slots = "" if paced else f"model = {at_once}, "
    (folder / "pantheon.toml").write_text(CONFIGURATION.format(port=port, at_once=at_once, model=slots))
    _pantheon(folder, "enqueue", "tasks.jsonl")
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    _pantheon(folder, "night", allowed=ENDED)
    night_s = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    files = sorted((folder / "artifacts").rglob("llm_calls.jsonl"))
    calls = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    replies = [call["reply"] for call in calls if call["reply"]]
    if len(replies) != tasks or len(calls) != tasks or any(reply["tries"] != 1 for reply in replies):
        raise SystemExit(f"{tasks} tasks made {len(calls)} calls, of which {len(replies)} were answered")
    used = [reply["usage"] for reply in replies]
    tokens = {name: sum(one[name] for one in used) for name in ("prompt_tokens", "cached_tokens")}
    night = Night(
        calls=tasks,
        output_tokens=sum(one["completion_tokens"] for one in used),
        span_s=_span_s(folder),
        night_s=night_s,
        cpu_s=cpu_s,
        call_s=sum(reply["timings"]["total_s"] for reply in replies) / tasks,
        **tokens,
    )
    return night, calls


def _make_repository(folder: Path, tasks: int) -> None:
    """Make a repository with notes, the measurement's flow and agent, and the tasks in ``tasks.jsonl``."""
    source = sorted((ROOT / "samples" / "notes").rglob("*.md"))
    texts = [text for text in (path.read_text(errors="replace") for path in source) if len(text) > 200]
    notes = folder / "notes"
    notes.mkdir(parents=True)
    lines = []
    for number in range(tasks):
        name = f"notes/{number:03}.md"
        (folder / name).write_text(f"Note {number}.\n\n{texts[number % len(texts)][:900]}\n")
        line = {
            "id": f"n-{number:03}",
            "kind": describe.KIND,
            "goal": "describe the note",
            "package": "notes",
        }
        lines.append(json.dumps(line | {"targets": [name]}))
    (folder / "tasks.jsonl").write_text("\n".join(lines) + "\n")
    git = ["git", "-C", str(folder), "-c", "user.name=Bench", "-c", "user.email=bench@localhost"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "notes"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "Notes"], check=True)
    _pantheon(folder, "init")
    (folder / "flows" / "describe.toml").write_bytes(describe.flow_file())
    agent = folder / "agents" / describe.AGENT
    agent.mkdir()
    for name, data in describe.agent_files().items():
        (agent / name).write_bytes(data)


def _pantheon(folder: Path, *words: str, allowed: tuple[int, ...] = (0,)) -> None:
    """Run one of Pantheon's commands in the repository, with an environment of its own."""
    environment = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
    environment |= dict.fromkeys(("XDG_CONFIG_HOME", "XDG_STATE_HOME"), f"{folder}-home")
    done = subprocess.run(
        [sys.executable, "-m", "pantheon", *words],
        cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        timeout=NIGHT_S,
    )  # fmt: skip
    if done.returncode not in allowed:
        raise SystemExit(f"pantheon {' '.join(words)} ended with {done.returncode}: {done.stderr[-2_000:]}")


def limits(folder: Path) -> list[int]:
    """Return the numbers in flight that a paced night tried, in order."""
    with closing(sqlite3.connect(folder / ".pantheon" / "pantheon.db")) as store:
        found = store.execute(
            "SELECT details FROM events WHERE name = 'concurrency' ORDER BY rowid"
        ).fetchall()
    return [json.loads(details)["limit"] for (details,) in found]


def _span_s(folder: Path) -> float:
    with closing(sqlite3.connect(folder / ".pantheon" / "pantheon.db")) as store:
        [(first, last)] = store.execute("SELECT min(started_at), max(ended_at) FROM attempts")
    return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()
