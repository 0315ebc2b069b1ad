"""A user's repository that Pantheon was set up in, and the command line in it, as a person calls it."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pantheon.testing.qualified import qualify_project
from pantheon.testing.user_repository import make_repository


def pantheon(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of Pantheon for the project in a folder, with the environment of the test."""
    return subprocess.run(
        [sys.executable, "-m", "pantheon", "-C", str(folder), *words],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@dataclass(frozen=True)
class QueuedProject:
    """A repository whose notes are queued, with a home of its own beside it."""

    top: Path

    @classmethod
    def make(cls, top: Path, notes: Mapping[str, bytes], configuration: str) -> "QueuedProject":
        """Set it up in an empty folder.

        Args:
            top: the folder.
            notes: path -> content, each of them a task.
            configuration: text of ``pantheon.toml``.
        """
        project = cls(top)
        make_repository(project.root, notes)
        assert project.run("init").returncode == 0
        qualify_project(project.root)
        (project.root / "pantheon.toml").write_text(configuration)
        scoped = project.run("scope", "docops", "docs/**/*.md")
        assert project.run("enqueue", "-", stdin=scoped.stdout).returncode == 0
        return project

    @property
    def root(self) -> Path:
        """The user's repository."""
        return self.top / "user"

    def run(self, *words: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Run a command of Pantheon in the repository."""
        variables = {"PATH": os.environ["PATH"], "HOME": str(self.top / "home"), "LC_ALL": "C.UTF-8"}
        return subprocess.run(
            [sys.executable, "-m", "pantheon", *words], cwd=self.root, env=variables, input=stdin,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
