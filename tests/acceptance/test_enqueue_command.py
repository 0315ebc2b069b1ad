"""``pantheon enqueue`` as a person and a script meet it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

PANTHEON = [sys.executable, "-m", "pantheon"]
TASK = '{"id":"a","kind":"docops","goal":"Give the note a title","targets":["docs/a.md"]}\n'
MIB = 1024 * 1024


class Repo:
    """A laid-out repository and a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "repo"
        self.keys = folder / "config" / "pantheon" / "keys"
        self.env = {**os.environ, "XDG_CONFIG_HOME": str(folder / "config"), "HOME": str(folder)}
        (self.root / "docs").mkdir(parents=True)
        (self.root / "docs" / "a.md").write_text("one")
        subprocess.run(["git", "init", "-q", str(self.root)], check=True)
        assert self("init").returncode == 0

    def __call__(self, *args: str, text: str | bytes = b"") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*PANTHEON, *args],
            input=text.encode() if isinstance(text, str) else text,
            capture_output=True, check=False, timeout=120, cwd=self.root, env=self.env,
        )  # fmt: skip
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    def data(self, *args: str, text: str | bytes = b"") -> Any:
        done = self(*args, "--json", text=text)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def queued(self) -> list[str]:
        return sorted(
            path.name for path in (self.root / "queue").iterdir() if path.suffix in (".jsonl", ".json")
        )


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path)


def test_a_file_is_frozen_once(repo: Repo) -> None:
    """The first time creates, the second says that there is nothing to do, a label makes another."""
    (repo.root / "tasks.jsonl").write_text(TASK)
    first = repo.data("enqueue", "tasks.jsonl")
    assert (first["outcome"], first["tasks"], first["flows"]) == ("created", 1, {"docops": 1})
    assert repo.queued() == [f"{first['batch']}.attestation.json", f"{first['batch']}.jsonl"]
    again = repo("enqueue", "tasks.jsonl")
    assert again.returncode == 0
    assert again.stdout == f"{first['batch']}\t1\tunchanged\n"
    assert "nothing to do" in again.stderr
    assert repo.data("enqueue", "-", "--label", "again", text=TASK)["outcome"] == "created"
    assert len(repo.queued()) == 4


def test_the_batch_waits_for_the_night(repo: Repo) -> None:
    """What was enqueued is what ``status`` counts."""
    batch = repo.data("enqueue", "-", text=TASK)["batch"]
    assert repo("status").stdout.splitlines()[1] == f"{batch}\t1\t"


def test_the_dry_run_shows_the_graph_and_writes_nothing(repo: Repo) -> None:
    """Flows, kinds, packages and levels; no file, no key, no database."""
    second = TASK.replace('"a"', '"b"', 1).replace("{", '{"needs":["a"],', 1)
    done = repo("enqueue", "-", "--dry-run", text=TASK + second)
    assert done.returncode == 0
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert rows == [
        ["flow", "docops", "2"], ["kind", "docops", "2"], ["package", "", "2"],
        ["level", "0", "1"], ["level", "1", "1"],
    ]  # fmt: skip
    assert repo.queued() == []
    assert not repo.keys.exists()
    assert not (repo.root / ".pantheon" / "pantheon.db").exists()


def test_every_problem_is_named_and_nothing_is_written(repo: Repo) -> None:
    """Exit 2, one line for each problem, and neither batch nor key nor database."""
    (repo.root / "docs" / "out.md").symlink_to("/etc/passwd")
    (repo.root / "tasks.jsonl").write_bytes(
        b'{"kind":"docops","goal":"g","targets":["../x","docs/a.md"]}\n'
        b'{"kind":"docops","goal":"g","targets":["docs/out.md"]}\n'
        b'{"kind":"cooking","goal":"g"}\n'
        b'{"kind":"docops","goal":"g","budget":{"max_steps":NaN}}\n'
        b'{"kind":"docops","goal":"g\x1b[2J","\xe2\x80\xae":1}\n'
        b'{"kind":"docops","goal":"\xff"}\n'
        b'{"kind":"docops","goal":"' + b"x" * 2 * MIB + b'"}\n' + TASK.encode()
    )
    done = repo("enqueue", "tasks.jsonl")
    assert done.returncode == 2
    assert done.stdout == ""
    head, *lines = done.stderr.splitlines()
    assert head == "pantheon: tasks.jsonl: 7 problems; nothing was enqueued"
    expected = (
        "1: targets.0: ", "2: targets.0: docs/out.md is a symbolic link", "3: kind: no flow accepts",
        "4: budget.max_steps: NaN", "5: ", "6: line: not UTF-8", "7: line: longer than",
    )  # fmt: skip
    assert len(lines) == len(expected), lines
    for line, start in zip(lines, expected, strict=True):
        assert line.strip().startswith(f"tasks.jsonl:{start}"), line
    assert "\x1b" not in done.stderr
    assert "\u202e" not in done.stderr
    assert repo.queued() == []
    assert not repo.keys.exists()
    assert not (repo.root / ".pantheon" / "pantheon.db").exists()


def test_an_empty_input_and_a_missing_file_are_refused(repo: Repo) -> None:
    """Exit 2, and the message names what is missing."""
    empty = repo("enqueue", "-")
    assert empty.returncode == 2
    assert "stdin:1: line: the file holds no task" in empty.stderr
    missing = repo("enqueue", "nowhere.jsonl")
    assert missing.returncode == 2
    assert "nowhere.jsonl" in missing.stderr
    folder = repo("enqueue", "docs")
    assert folder.returncode == 2


def test_altered_lines_stop_the_enqueue(repo: Repo) -> None:
    """Exit 3: the queue was altered, and the file is named."""
    batch = repo.data("enqueue", "-", text=TASK)["batch"]
    file = repo.root / "queue" / f"{batch}.jsonl"
    file.write_bytes(file.read_bytes().replace(b"title", b"tiger"))
    done = repo("enqueue", "-", text=TASK)
    assert done.returncode == 3
    assert f"queue/{batch}.jsonl was altered" in done.stderr


def test_a_key_that_others_can_read_stops_the_enqueue(repo: Repo) -> None:
    """Exit 3, and the message says how to mend it; nothing is queued."""
    repo.data("enqueue", "-", text=TASK)
    key = repo.keys / "night.ed25519"
    assert key.stat().st_mode & 0o777 == 0o600
    key.chmod(0o644)
    done = repo("enqueue", "-", "--label", "x", text=TASK)
    assert done.returncode == 3
    assert "chmod 600" in done.stderr
    assert len(repo.queued()) == 2


def test_a_changed_flow_is_signed_again(repo: Repo) -> None:
    """Drift is named, and the batch holds with what is in force now."""
    repo.data("enqueue", "-", text=TASK)
    flow = repo.root / "flows" / "docops.toml"
    flow.write_text(flow.read_text() + "\n# changed\n")
    again = repo.data("enqueue", "-", text=TASK)
    assert again["outcome"] == "renewed"
    assert again["drift"] == ["flows/docops has changed"]
    assert repo.data("enqueue", "-", text=TASK)["outcome"] == "unchanged"


def test_an_interrupt_ends_a_waiting_enqueue(repo: Repo) -> None:
    """Ctrl-C while nobody types: exit 130 within seconds, and nothing is left."""
    with subprocess.Popen(
        [*PANTHEON, "enqueue", "-"],
        cwd=repo.root, env=repo.env, stdin=subprocess.PIPE, stderr=subprocess.PIPE,
        # A job in the background of a shell inherits an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(TASK.encode())
        process.stdin.flush()
        wait_for_draft(repo)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 130
    assert list((repo.root / "queue").glob(".draft-*")) == []
    assert repo.queued() == []


def test_a_killed_enqueue_is_repeated_safely(repo: Repo) -> None:
    """SIGKILL in the middle leaves no batch; the repetition succeeds and clears away the rest."""
    with subprocess.Popen(
        [*PANTHEON, "enqueue", "-"], cwd=repo.root, env=repo.env, stdin=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        process.stdin.write(TASK.encode())
        process.stdin.flush()
        wait_for_draft(repo)
        process.kill()
        process.wait()
    assert repo.queued() == []
    assert repo.data("enqueue", "-", text=TASK)["outcome"] == "created"
    assert list((repo.root / "queue").glob(".draft-*")) == []


def wait_for_draft(repo: Repo) -> None:
    end = time.monotonic() + 20
    while not list((repo.root / "queue").glob(".draft-*")):
        assert time.monotonic() < end, "the enqueue never started"
        time.sleep(0.02)


def test_a_hundred_thousand_lines_need_little_memory(repo: Repo) -> None:
    """A chain of 100,000 tasks in 45 MB: streamed, so that the process stays far below file plus tasks."""
    file = repo.root / "tasks.jsonl"
    with file.open("w") as out:
        for number in range(100_000):
            task = {
                "id": f"t{number}", "kind": "docops", "goal": "Give the note a title, a description and tags " * 6,
                "targets": [f"docs/{number}.md"], "needs": [f"t{number - 1}"] if number else [],
                "accept": ["front matter has title, description and 3 to 8 tags"],
            }  # fmt: skip
            out.write(json.dumps(task) + "\n")
    code = (
        "import sys, time\nfrom pantheon.shell.cli.app import run\nstart = time.monotonic()\n"
        "code = run(sys.argv[1:])\n"
        # Not what getrusage says: to it belongs what the process was before it became this program, a worker of pytest.
        "kib = open('/proc/self/status').read().partition('VmHWM:')[2].split()[0]\n"
        "print(code, kib, time.monotonic() - start)\n"
    )
    for args, limit in ((("--dry-run",), 200), ((), 300)):
        done = subprocess.run(
            [sys.executable, "-c", code, "enqueue", *args, "tasks.jsonl"],
            cwd=repo.root, env=repo.env, capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
        status, kib, seconds = done.stdout.splitlines()[-1].split()
        assert status == "0", done.stderr
        assert int(kib) / 1024 < limit, f"{int(kib) / 1024:.0f} MiB in {seconds} s"


FORBIDDEN = (
    ("goal", " \t"), ("goal", "a\0b"), ("package", "../../x"), ("package", "a\x1b[2J"),
    ("targets.0", "docs/a\u202eb.md"), ("targets.0", ".pantheon/pantheon.db"), ("targets.0", "queue/x.jsonl"),
    ("targets.0", "policies/gate.toml"), ("targets.0", "agents/docops/prompt.md"), ("targets.0", "flows/new.toml"),
    ("targets.0", "artifacts/x"), ("targets.0", ".git/config"), ("targets.0", "pantheon.toml"),
)  # fmt: skip


def test_what_no_task_may_say_is_named(repo: Repo) -> None:
    """File, line and field, exit code 2, and nothing is queued; the same line without it is taken (the control)."""
    task = {"kind": "docops", "goal": "Give the note a title", "targets": ["docs/a.md"], "package": "docs"}
    assert repo("enqueue", "-", "--dry-run", text=json.dumps(task)).returncode == 0
    lines = []
    for number, (field, value) in enumerate(FORBIDDEN):
        key = field.partition(".")[0]
        lines.append(json.dumps({**task, "id": f"t{number}", key: [value] if key == "targets" else value}))
    done = repo("enqueue", "-", text="\n".join(lines))
    assert done.returncode == 2, done.stderr
    for number, (field, _) in enumerate(FORBIDDEN, 1):
        assert f"stdin:{number}: {field}: " in done.stderr
    assert f"{len(FORBIDDEN)} problems" in done.stderr
    assert not any(hidden in done.stderr for hidden in ("\0", "\u202e", "\x1b[2J"))
    assert repo.queued() == []


def test_folders_with_other_names_are_own_too(repo: Repo) -> None:
    """What ``[folders]`` calls them counts; the usual names are then ordinary."""
    (repo.root / "inbox").mkdir()
    task = json.dumps({"kind": "docops", "goal": "g", "targets": ["inbox/x", "queue/x"]})
    done = repo("--set", "folders.queue=inbox", "enqueue", "-", text=task)
    assert done.returncode == 2
    assert "targets.0: inbox/x is Pantheon's own" in done.stderr
    assert "targets.1" not in done.stderr


@pytest.mark.parametrize("source", ["/dev/zero", "/dev/urandom", "docs"])
def test_what_never_ends_is_refused_at_once(repo: Repo, source: str) -> None:
    """A device or a folder as the file: exit code 2 and what to give instead."""
    done = repo("enqueue", source)
    assert done.returncode == 2
    assert f"{source}: cannot be read: it is a" in done.stderr and "pipe" in done.stderr


def test_a_device_as_standard_input_is_refused_at_once(repo: Repo) -> None:
    """The same through standard input."""
    with open("/dev/zero", "rb") as device:
        done = subprocess.run(
            [*PANTHEON, "enqueue", "-"], stdin=device, capture_output=True, check=False, timeout=60,
            cwd=repo.root, env=repo.env,
        )  # fmt: skip
    assert done.returncode == 2
    assert b"stdin: cannot be read: it is a device" in done.stderr
