"""The command line as a person and as a script meet it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pantheon.shell.cli.app import COMMANDS, run

PANTHEON = [sys.executable, "-m", "pantheon"]


def call(*args: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PANTHEON, *args],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=cwd,
        env={**os.environ, **env},
    )


def test_help_imports_no_heavy_library() -> None:
    """Help is quick because it imports no command and no library of one."""
    code = (
        "import sys\nfrom pantheon.shell.cli.app import run\nassert run(['--help']) == 0\n"
        "heavy = {'pydantic', 'httpx', 'rich', 'networkx', 'asyncio', 'aiosqlite', 'cryptography', 'jinja2'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_help_lists_every_command_in_the_order_of_a_day() -> None:
    """A bare ``pantheon`` is help."""
    done = call()
    assert done.returncode == 0
    places = [done.stdout.index(f"\n  {name} ") for name in COMMANDS]
    assert places == sorted(places)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_exists(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The table promises nothing that cannot be called."""
    assert run([name, "--help"]) == 0
    assert f"pantheon {name}" in capsys.readouterr().out


def test_version() -> None:
    """``--version`` answers on stdout."""
    done = call("--version")
    assert (done.returncode, done.stdout.startswith("pantheon")) == (0, True)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("nigth",), "did you mean 'night'?"),
        (("--no-such",), "No such option"),
        (("status", "--no-such"), "See: pantheon status --help"),
        (("--set", "x", "status"), "--set x: say KEY=VALUE"),
    ],
)
def test_usage_errors_exit_2_and_say_where_help_is(args: tuple[str, ...], said: str) -> None:
    """A typing mistake is never a traceback."""
    done = call(*args)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""


def test_errors_are_json_when_asked(tmp_path: Path) -> None:
    """With --json a script can read the error: one object on stderr, nothing on stdout."""
    done = call("status", "--json", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    error = json.loads(done.stderr)["error"]
    assert error["code"] == "config"
    assert "pantheon init" in error["hint"]


def test_hostile_names_do_not_reach_the_terminal(tmp_path: Path) -> None:
    """A folder's name cannot move the cursor."""
    evil = tmp_path / "a\x1b[2Jb\u202e"
    evil.mkdir()
    done = call("-C", str(evil), "status")
    assert "\x1b" not in done.stderr
    assert "\\u001b[2Jb\\u202e" in done.stderr


def test_a_closed_pipe_is_quiet() -> None:
    """``pantheon ... | head -0`` ends without a traceback."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as nobody:
        done = subprocess.run(
            [*PANTHEON, "--help"], stdout=nobody, stderr=subprocess.PIPE, check=False, timeout=60
        )
    assert (done.returncode, done.stderr) == (141, b"")


def test_an_unexpected_error_is_a_sentence_with_a_place_for_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A bug exits 4 and keeps its traceback for the person who mends it."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("pantheon.shell.cli.app.Session", lambda **_: 1 / 0)
    assert run(["status"]) == 4
    said = capsys.readouterr().err
    assert "unexpected ZeroDivisionError" in said
    assert "Traceback" not in said
    (kept,) = tmp_path.glob("pantheon-*.traceback")
    assert "ZeroDivisionError" in kept.read_text()
    assert kept.stat().st_mode & 0o077 == 0
    monkeypatch.setenv("PANTHEON_DEBUG", "1")
    assert run(["status"]) == 4
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("group", [False, True])
def test_an_interrupt_exits_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], group: bool
) -> None:
    """Ctrl-C is no error of ours, also when it comes out of a task group."""

    def interrupted(**_: object) -> None:
        if group:
            raise BaseExceptionGroup("tasks", [KeyboardInterrupt()])
        raise KeyboardInterrupt

    monkeypatch.setattr("pantheon.shell.cli.app.Session", interrupted)
    assert run(["status"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_signal_ends_a_real_process_with_130(tmp_path: Path) -> None:
    """The exit code holds for the process as a shell sees it."""
    code = (
        "import sys, time, pantheon.shell.cli.app as app\n"
        "def wait(**_):\n    print('ready', flush=True)\n    time.sleep(30)\n"
        "app.Session = wait\nsys.exit(app.run(['status']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A job in the background of a shell inherits an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130


def test_completion_of_command_names_imports_no_command() -> None:
    """Pressing the tab key is quick."""
    done = call(_PANTHEON_COMPLETE="bash_complete", COMP_WORDS="pantheon s", COMP_CWORD="1")
    assert [line.partition(",")[2] for line in done.stdout.split()] == [
        "scope",
        "status",
        "show",
        "server",
        "signer",
    ]
