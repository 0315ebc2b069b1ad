"""What acceptance tests share: repositories that Pantheon was just set up in."""

import subprocess
from pathlib import Path

import pytest

from pantheon.shell.cli.app import run
from pantheon.shell.config import Project, load_project


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh repository after ``pantheon init``, with user folders of its own and no proxy."""
    root = tmp_path / "repo"
    root.mkdir()
    git = ("git", "-C", str(root), "-c", "user.name=t", "-c", "user.email=t@localhost")
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PANTHEON_MODELS_DIR", str(tmp_path / "models"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert run(["-C", str(root), "init"]) == 0
    return root


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project without a commit or a night."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    assert run(["-C", str(tmp_path), "init"]) == 0
    return load_project(tmp_path)
