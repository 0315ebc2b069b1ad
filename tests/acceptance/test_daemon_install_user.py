"""``pantheon daemon install --user`` as a person has it: shown whole, asked, done, and undone."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from pantheon.core.units import timer_drop_in
from pantheon.testing.user_repository import make_repository


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = make_repository(tmp_path / "r", {"a.md": b"x\n"})
    assert pantheon(root, "init").returncode == 0
    return root


def environment(root: Path) -> dict[str, str]:
    home = root.parent / "home"
    return {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_CONFIG_HOME": str(home / "config")}


def pantheon(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pantheon", *words],
        cwd=root, env=environment(root), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip


def units(root: Path) -> set[str]:
    folder = root.parent / "home" / "config" / "systemd" / "user"
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


UNITS = {
    "pantheon.service", "pantheon.service.d/repository.conf", "pantheon-night@.service", "pantheon-night@.timer",
}  # fmt: skip


def units_of(root: Path) -> set[str]:
    """Return the files of an installation: the units, and when the timer of this repository goes off."""
    return {*UNITS, timer_drop_in(str(root))}


def answer(root: Path, word: str) -> int:
    """Install on a terminal, and answer its question."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "pantheon", "daemon", "install", "--user"],
        cwd=root, env=environment(root), stdin=theirs, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        os.write(ours, f"{word}\n".encode())
        code = process.wait(30)
    os.close(ours)
    os.close(theirs)
    return code


def test_a_person_is_asked_and_no_is_no(root: Path) -> None:
    """On a terminal the answer decides; in a pipe nobody can answer, and nothing is done."""
    assert pantheon(root, "daemon", "install", "--user").returncode == 2
    assert answer(root, "n") == 0
    assert units(root) == set()
    assert answer(root, "y") == 0
    assert units(root) == units_of(root)


def test_install_and_uninstall_in_json(root: Path) -> None:
    """Stable keys, the whole content, what was done; afterwards nothing is left but the folders."""
    planned = json.loads(pantheon(root, "daemon", "install", "--user", "--dry-run", "--json").stdout)
    assert (planned["done"], units(root)) == (False, set())
    done = json.loads(pantheon(root, "daemon", "install", "--user", "--yes", "--json").stdout)
    assert (done["scope"], done["repository"], done["done"]) == ("user", str(root), True)
    assert {Path(one["path"]).name for one in done["files"]} == {Path(name).name for name in units_of(root)}
    assert all(Path(one["path"]).read_text() == one["content"] for one in done["files"])
    assert ["systemctl", "--user", "daemon-reload"] in done["commands"]
    service = next(one["content"] for one in done["files"] if one["path"].endswith("/pantheon.service"))
    assert f"ExecStart={sys.executable} -P -m pantheon daemon" in service
    gone = json.loads(pantheon(root, "daemon", "uninstall", "--user", "--yes", "--json").stdout)
    assert len(gone["removed"]) == len(units_of(root))
    assert (gone["left"], units(root)) == ([], set())
    folder = root.parent / "home" / "config" / "systemd" / "user"
    assert list(folder.iterdir()) == [], "no drop-in leaves its folder behind"


def test_a_second_repository_is_refused(root: Path, tmp_path: Path) -> None:
    """One service serves one repository; what is there stays as it is, and the message names the other way."""
    assert pantheon(root, "daemon", "install", "--user", "--yes").returncode == 0
    other = make_repository(tmp_path / "other", {"a.md": b"x\n"})
    assert pantheon(other, "init").returncode == 0
    refused = pantheon(other, "daemon", "install", "--user", "--yes")
    assert refused.returncode == 2
    assert f"the service serves {root} already" in refused.stderr
    assert "pantheon-night@.timer" in refused.stderr
    folder = root.parent / "home" / "config" / "systemd" / "user"
    assert f"WorkingDirectory={root}\n" in (folder / "pantheon.service.d" / "repository.conf").read_text()


def test_a_system_service_needs_root(root: Path) -> None:
    """Somebody else is told so before anything is written; here the user is only asked for, nobody becomes it."""
    script = (
        "import os, sys; os.geteuid = lambda: 1000; from pantheon.shell.cli.app import run;"
        "sys.exit(run(['daemon', 'install', '--yes', '--program', '/bin/true']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=root,
        env=environment(root),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "put in place by root" in done.stderr
    assert "--user" in done.stderr
