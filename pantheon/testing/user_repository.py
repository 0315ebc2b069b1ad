"""A user's repository for tests, made by plain git."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path


def git(root: Path, *args: str) -> str:
    """Run git as the user would, with a neutral configuration."""
    return subprocess.run(
        ["git", "-c", "user.name=U", "-c", "user.email=u@localhost", *args],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"},
    ).stdout


def make_repository(root: Path, files: Mapping[str, bytes]) -> Path:
    """Make a repository with one commit that holds the files."""
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    git(root, "add", "-A", "-f")
    git(root, "commit", "-q", "-m", "start")
    return root
