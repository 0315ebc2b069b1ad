"""The daemon under a real systemd: a container that is booted from a tree which ``make test-systemd`` makes.

The unit is the shipped one with all its hardening; a drop-in gives it shorter times, and a program and a user that the
container has. The night is a child that only waits: what is looked at is systemd and the daemon.
"""

import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

TREE = os.environ.get("PANTHEON_SYSTEMD_TREE", "")
REPOSITORY = Path(__file__).parents[2]
DROP_IN = """
[Service]
User=root
Group=root
ReadWritePaths=/var/lib/project
ExecStart=
ExecStart=/usr/bin/python3 /var/lib/project/serve.py
WorkingDirectory=/var/lib/project
Environment=PYTHONPATH=/opt/pantheon:/opt/site PYTHONDONTWRITEBYTECODE=1 HOME=/root LANG=C.UTF-8
Environment=STOP_WITHIN=90
RestartSec=1s
WatchdogSec=4s
TimeoutAbortSec=4s
TimeoutStartSec=60s
TimeoutStopSec=100s
"""
SERVE = '''
import asyncio, os, sys, time
from pathlib import Path
from pantheon.core.daemon import Work
from pantheon.adapters.night_process import start_child
from pantheon.shell import daemon, daemon_wiring
from pantheon.shell.cli.app import main

HERE = Path("/var/lib/project")
NIGHT = """
import signal, sys, time
told = []
signal.signal(signal.SIGTERM, lambda *_: told.append(1))
with open("nights", "a") as file: file.write("began\\\\n")
while len(told) < int(open("obeys").read()): time.sleep(0.05)
with open("nights", "a") as file: file.write("asked %d\\\\n" % len(told))
sys.exit(130)
"""

async def look(self):
    return Work(tasks=1 if (HERE / "work").exists() else 0)

async def start(self, last_start, **_):
    return await start_child((sys.executable, "-c", NIGHT), dict(os.environ), cwd=HERE)

async def stamp(self):
    return (HERE / "work").exists()

tick = daemon.Daemon._tick

async def _tick(self):
    async with asyncio.TaskGroup() as group:
        group.create_task(tick(self))
        while not (HERE / "block").exists():
            await asyncio.sleep(0.2)
        (HERE / "block").unlink()
        time.sleep(600)

daemon_wiring.ProjectNights.look = look
daemon_wiring.ProjectNights.start = start
daemon_wiring.ProjectNights.stamp = stamp
daemon.Daemon._tick = _tick
sys.argv = ["pantheon", "-C", "/var/lib/project", "daemon", "--stop-within", os.environ["STOP_WITHIN"]]
main()
'''
POLICY = 'containment = "netns"\n'

pytestmark = pytest.mark.systemd


@dataclass
class Machine:
    """A booted container."""

    process: "subprocess.Popen[bytes]"
    project: Path

    @property
    def init(self) -> int:
        """The host's id of the container's first process."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def run(self, *words: str, check: bool = True) -> str:
        """Run a command inside."""
        enter = ("nsenter", "-t", str(self.init), "-m", "-p", "-u", "-i", "-n", "-C", "--")
        done = subprocess.run((*enter, *words), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0 or not check, (done.stderr, self.journal())
        return done.stdout.strip()

    def journal(self) -> str:
        """Return what the service said last."""
        return self.run("journalctl", "-u", "pantheon", "-n", "40", "--no-pager", check=False)

    def show(self, *names: str) -> dict[str, str]:
        """Return properties of the service."""
        text = self.run("systemctl", "show", "pantheon.service", "-p", ",".join(names))
        return dict(line.split("=", 1) for line in text.splitlines())

    def wait(self, what: Callable[[], bool], seconds: float = 30) -> None:
        """Wait until something is so."""
        end = time.monotonic() + seconds
        while not what():
            state = self.show("ActiveState", "SubState", "StatusText", "NRestarts", "Result")
            assert time.monotonic() < end, (
                state,
                self.run("journalctl", "-u", "pantheon", "-n", "30", check=False),
            )
            time.sleep(0.2)

    def nights(self) -> list[str]:
        """Return what became of nights."""
        log = self.project / "nights"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a repository, its policy, and the program that serves it."""
    folder = tmp_path_factory.mktemp("project")
    subprocess.run(("git", "init", "-q", "-b", "main", folder), check=True)
    command = (sys.executable, "-P", "-m", "pantheon", "-C", str(folder), "init", "--yes")
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode == 2:
        done = subprocess.run(command[:-1], capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "policies/night.toml").write_text(POLICY)
    (folder / "serve.py").write_text(SERVE)
    (folder / "obeys").write_text("1")
    return folder


def boot(project: Path) -> Machine:
    """Boot a container over a throw-away copy of the tree."""
    assert TREE, "say make test-systemd, which makes the tree to boot"
    (project / "test.conf").write_text(DROP_IN)
    units = "/etc/systemd/system"
    machine = f"pantheon-{os.getpid()}"
    site = sysconfig.get_paths()["purelib"]
    command = (
        "systemd-nspawn", "-q", "-D", TREE, "--volatile=overlay", "-b", "--private-network", "--register=no",
        "--keep-unit", "--console=pipe", "--link-journal=no", f"--machine={machine}",
        f"--bind={project}:/var/lib/project", f"--bind-ro={REPOSITORY}:/opt/pantheon", f"--bind-ro={site}:/opt/site",
        f"--bind-ro={REPOSITORY}/systemd/pantheon.service:{units}/pantheon.service",
        f"--bind-ro={project}/test.conf:{units}/pantheon.service.d/test.conf",
    )  # fmt: skip
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
    )
    booted = Machine(process, project)
    end = time.monotonic() + 60
    while True:
        assert process.poll() is None, "the container did not start"
        assert time.monotonic() < end, "the container did not boot"
        with suppress(OSError, IndexError, AssertionError):
            state = booted.run("systemctl", "is-system-running", check=False)
            if state in ("running", "degraded"):
                return booted
        time.sleep(0.3)


def halt(machine: Machine) -> None:
    """End a container, and be sure of it."""
    with suppress(OSError, IndexError, AssertionError):
        os.kill(machine.init, signal.SIGRTMIN + 4)
    try:
        machine.process.wait(timeout=40)
    except subprocess.TimeoutExpired:
        power_off(machine)


def power_off(machine: Machine) -> None:
    """Take the power away: every process of the container dies at once."""
    with suppress(OSError, IndexError):
        os.kill(machine.init, signal.SIGKILL)
    machine.process.wait(timeout=30)


@pytest.fixture
def machine(project: Path) -> Iterator[Machine]:
    for name in ("work", "block", "nights"):
        (project / name).unlink(missing_ok=True)
    (project / "obeys").write_text("1")
    booted = boot(project)
    try:
        yield booted
    finally:
        halt(booted)


def test_ready_status_reload_and_one_instance(machine: Machine) -> None:
    """Start returns when the daemon is ready; its line says what it waits for; SIGHUP reads the policy; a second one is
    refused; what stops it is told before the process ends."""
    machine.run("systemctl", "start", "pantheon")
    assert machine.show("ActiveState", "Type") == {"ActiveState": "active", "Type": "notify"}
    machine.wait(lambda: machine.show("StatusText")["StatusText"].startswith("nothing to do"))
    pid = machine.show("MainPID")["MainPID"]
    assert machine.run("readlink", f"/proc/{pid}/ns/net") != machine.run("readlink", "/proc/1/ns/net")
    assert "NoNewPrivs:\t1" in machine.run("cat", f"/proc/{pid}/status")
    # Not the minute in which this runs.
    hour = 10 if time.localtime().tm_hour >= 16 else 22
    (machine.project / "policies/night.toml").write_text(
        POLICY + f'[window]\nstart = "{hour}:00"\nend = "{hour}:01"\nlast_start_s = 0\n'
    )
    machine.run("systemctl", "reload", "pantheon")
    machine.wait(lambda: "window" in machine.show("StatusText")["StatusText"])
    assert machine.show("ActiveState", "NRestarts") == {"ActiveState": "active", "NRestarts": "0"}
    (machine.project / "policies/night.toml").write_text("wrong = 1\n")
    machine.run("systemctl", "reload", "pantheon")
    machine.wait(lambda: "old policy stays" in machine.journal())
    assert machine.show("ActiveState")["ActiveState"] == "active"
    (machine.project / "policies/night.toml").write_text(POLICY)
    machine.run("systemctl", "reload", "pantheon")
    second = machine.run(
        "env", "PYTHONPATH=/opt/pantheon:/opt/site", "STOP_WITHIN=90", "HOME=/root", "sh", "-c",
        "python3 /var/lib/project/serve.py; echo ended with $?", check=False,
    )  # fmt: skip
    assert "ended with 4" in second
    machine.run("systemctl", "stop", "pantheon")
    assert machine.show("Result", "ActiveState") == {"Result": "success", "ActiveState": "inactive"}


def test_a_blocked_loop_is_killed_and_restarted(machine: Machine) -> None:
    """Positive control: a loop that idles lives on under the watchdog. One that is blocked does not."""
    machine.run("systemctl", "start", "pantheon")
    before = machine.show("MainPID")["MainPID"]
    time.sleep(9)
    assert machine.show("MainPID", "NRestarts") == {"MainPID": before, "NRestarts": "0"}
    (machine.project / "block").touch()
    machine.wait(lambda: machine.show("NRestarts")["NRestarts"] == "1", 40)
    machine.wait(lambda: machine.show("ActiveState")["ActiveState"] == "active", 30)
    assert machine.show("MainPID")["MainPID"] != before
    assert "atchdog" in machine.journal()


def test_stop_drains_the_night_and_one_that_does_not_end_is_cancelled(machine: Machine) -> None:
    """A night that ends when it is asked is asked once; one that does not is told again; nothing has to be killed."""
    machine.run("systemctl", "start", "pantheon")
    (machine.project / "work").touch()
    machine.wait(lambda: machine.nights() == ["began"])
    machine.run("systemctl", "stop", "pantheon")
    assert machine.nights() == ["began", "asked 1"]
    assert machine.show("Result")["Result"] == "success"
    (machine.project / "obeys").write_text("2")
    machine.run("systemctl", "start", "pantheon")
    machine.wait(lambda: machine.nights()[2:] == ["began"])
    began = time.monotonic()
    machine.run("systemctl", "stop", "pantheon")
    assert machine.nights()[2:] == ["began", "asked 2"]
    assert machine.show("Result")["Result"] == "success"
    assert time.monotonic() - began < 60, "well inside TimeoutStopSec="


def test_a_clean_start_after_the_power_was_lost(machine: Machine, project: Path) -> None:
    """Every process dies at once, under a running night; after the next boot the daemon starts and works."""
    machine.run("systemctl", "start", "pantheon")
    (project / "work").touch()
    machine.wait(lambda: machine.nights() == ["began"])
    power_off(machine)
    assert json.loads((project / ".pantheon/daemon.json").read_text())
    again = boot(project)
    try:
        again.run("systemctl", "start", "pantheon")
        again.wait(lambda: again.nights() == ["began", "began"])
        assert again.show("ActiveState", "NRestarts") == {"ActiveState": "active", "NRestarts": "0"}
    finally:
        halt(again)
