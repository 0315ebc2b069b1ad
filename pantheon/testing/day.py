"""The morning after: a user's repository with a closed night in it, for commands of the day."""

import asyncio
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pantheon.core.task import Task
from pantheon.testing.night import BATCH, NoteScript, opened
from pantheon.testing.project import pantheon
from pantheon.testing.sample_notes import NOTES, PROPOSALS
from pantheon.testing.user_repository import git, make_repository

NIGHT = "n1"
BRANCH = f"pantheon/night-{NIGHT}"
PACKAGES = {"docs/2026.01.01.md": "alpha", "docs/2026.01.02.md": "beta"}


@dataclass(frozen=True)
class Morning:
    """What a night left, where the command line finds it."""

    root: Path
    config: Path
    """``XDG_CONFIG_HOME``, with the user's key."""
    state_home: Path
    """``XDG_STATE_HOME``."""
    keys: tuple[str, ...]
    """Task keys, in queue order."""

    @property
    def artifacts(self) -> Path:
        """The night's folder."""
        return self.root / "artifacts" / NIGHT

    def git(self, *args: str) -> str:
        """Run git as the user, without the last line's end."""
        return git(self.root, *args).rstrip("\n")


def make_morning(
    top: Path,
    *,
    packages: Mapping[str, str] = PACKAGES,
    notes: Mapping[str, bytes] = NOTES,
    against: Sequence[str] = (),
) -> Morning:
    """Run a night over one note each and lay its leavings out as a project has them.

    Args:
        top: an empty folder.
        packages: note -> package of its task.
        notes: note -> content.
        against: first words of the notes whose proposals the reviewers do not prefer.
    """
    root = make_repository(top / "user", notes)
    night = top / "night"
    script = NoteScript(PROPOSALS, prefers=lambda asked: not any(one in asked for one in against))

    async def run() -> None:
        async with opened(root, night, script) as bench:
            stems = [Path(note).stem for note in packages]
            # One after the other, so that they land in the same order every time.
            tasks = [
                Task(
                    id=stem,
                    kind="docops",
                    goal="Catalogue the note",
                    targets=(note,),
                    package=package,
                    needs=tuple(stems[max(place - 1, 0) : place]),
                )
                for place, (stem, (note, package)) in enumerate(zip(stems, packages.items(), strict=True))
            ]
            await bench.work(tasks, night=NIGHT)

    asyncio.run(run())
    config = top / "config"
    (config / "pantheon" / "keys").mkdir(parents=True, mode=0o700)
    for suffix in ("", ".pub.pem"):
        shutil.move(
            night / "keys" / f"night{suffix}", config / "pantheon" / "keys" / f"night.ed25519{suffix}"
        )
    shutil.move(night / "state", root / ".pantheon")
    shutil.move(night / "artifacts", root / "artifacts")
    return Morning(root, config, top / "state", tuple(f"{BATCH}/{Path(note).stem}" for note in packages))


def open_morning(made: Morning, top: Path, monkeypatch: pytest.MonkeyPatch) -> Morning:
    """Copy a morning into a folder, and have the commands of this process find the copy."""
    shutil.copytree(made.root, top / "user", symlinks=True)
    shutil.copytree(made.config, top / "config")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(top / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(top / "state"))
    return replace(made, root=top / "user", config=top / "config", state_home=top / "state")


def add_remote(morning: Morning, remote: Path) -> None:
    """Make a bare repository the origin of a morning's, with the user's branch in it."""
    subprocess.run(["git", "init", "-q", "--bare", str(remote)], check=True)
    morning.git("remote", "add", "origin", str(remote))
    morning.git("push", "-q", "origin", "main")


def make_project_morning(top: Path) -> Morning:
    """Return a morning in whose repository Pantheon was set up, as it is before any command of the day."""
    morning = make_morning(top)
    assert pantheon(morning.root, "init").returncode == 0
    return morning
