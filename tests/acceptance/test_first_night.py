"""The first night as a person has it: the command line, the embedded server, the small model, one real note."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pantheon.testing.qualified import qualify_project
from pantheon.testing.user_repository import make_repository

NOTE = b"""ok so about the flaky upload test

Uploads to the object store fail in CI about once a day. The client gives up after one try, and the store answers
503 while it rebalances. We retry three times with exponential backoff and jitter now, and log the request id.

```python
for attempt in range(3):
    try:
        return client.put(bucket, key, data)
    except ServiceUnavailable:
        sleep(2**attempt + random())
```

Still open: the nightly report should count retries per bucket.
"""

pytestmark = pytest.mark.model


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    notes = {
        "docs/2026.02.03.10.11.md": NOTE,
        "docs/2026.02.04.09.00.md": b"\n",
        "README.md": b"See [this](docs/2026.02.03.10.11.md).\n",
    }
    return make_repository(tmp_path / "repository", notes)


def pantheon(root: Path, small_model: Path, *args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command line with the user's folders in the test's own."""
    home = root.parent / "home"
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "PANTHEON_MODELS_DIR": str(small_model.parent),
        "PANTHEON_MODEL": "qwen2.5-coder-0.5b",
        # Other tests run beside this one, and threads that wait for a busy core wait for each other.
        "PANTHEON_SERVER_THREADS": "1",
        "LC_ALL": "C.UTF-8",
    }
    return subprocess.run(
        [sys.executable, "-m", "pantheon", *args],
        cwd=root,
        input=stdin,
        capture_output=True,
        text=True,
        env=env,
        timeout=560,
    )


def test_a_night_with_the_small_model(repository: Path, small_model: Path) -> None:
    """From init to report with a real server: a proposal, two verdicts, a decision, and nothing else touched."""
    assert pantheon(repository, small_model, "init").returncode == 0
    # What it is worth as a reviewer is not the question here; nobody has measured it.
    qualify_project(repository, model=small_model.stem)
    scoped = pantheon(repository, small_model, "scope", "docops", "docs/**/*.md")
    assert scoped.returncode == 0
    enqueued = pantheon(repository, small_model, "enqueue", "-", stdin=scoped.stdout)
    assert enqueued.returncode == 0, enqueued.stderr
    before = _state(repository)
    night = pantheon(repository, small_model, "night", "--json")
    assert night.returncode in (1, 6), night.stderr
    assert _state(repository) == before
    told = json.loads(night.stdout)
    causes = {task["targets"][0]: (task["outcome"], task["cause"]) for task in told["tasks"]}
    assert causes["docs/2026.02.04.09.00.md"][0] == "failed"
    assert "no text" in causes["docs/2026.02.04.09.00.md"][1]
    outcome, cause = causes["docs/2026.02.03.10.11.md"]
    assert outcome in ("accepted", "denied"), cause
    report = json.loads(Path(told["report"]).with_name("report.json").read_text(encoding="utf-8"))
    _check_calls(repository, told["night"])
    assert Path(told["report"]).stat().st_size > 10_000
    checked = pantheon(repository, small_model, "verify", str(Path(told["report"]).parent))
    assert checked.returncode == 0, checked.stdout
    assert report["sentence"]
    if outcome == "accepted":
        _check_landed(repository, told["branch"])
    again = pantheon(repository, small_model, "night")
    assert again.returncode == 0
    assert "Nothing waits" in again.stderr


def _check_calls(repository: Path, night: str) -> None:
    """The archivist's proposal and both reviewers' answers come from the model, prefix cache included."""
    folder = next((repository / "artifacts" / night).glob("*-docs-2026.02.03.10.11"))
    metrics = {
        node: json.loads(next((folder / node).glob("*/metrics.json")).read_text(encoding="utf-8"))
        for node in ("doc.frontmatter", "review.peerA", "review.peerB")
    }
    assert metrics["doc.frontmatter"]["completion_tokens"] > 20
    assert metrics["review.peerA"]["cached_tokens"] > metrics["review.peerA"]["computed_tokens"]
    for node in ("review.peerA", "review.peerB"):
        review = json.loads(next((folder / node).glob("*/review.json")).read_text(encoding="utf-8"))
        assert review["questions"]
        assert all(0 < question["label_mass"] <= 1 for question in review["questions"])


def _check_landed(repository: Path, branch: str) -> None:
    names = _git(repository, "ls-tree", "-r", "--name-only", branch, "docs").decode().split()
    renamed = next(name for name in names if not re.search(r"\d{4}\.\d\d", name))
    data = _git(repository, "cat-file", "blob", f"{branch}:{renamed}")
    assert data.startswith(b"---\ntitle:")
    assert data.endswith(NOTE)
    assert f"({renamed})".encode() in _git(repository, "cat-file", "blob", f"{branch}:README.md")


def _state(repository: Path) -> tuple[bytes, bytes, bytes]:
    status = _git(repository, "status", "--porcelain", "--untracked-files=all")
    return status, _git(repository, "rev-parse", "HEAD"), (repository / ".git" / "index").read_bytes()


def _git(repository: Path, *args: str) -> bytes:
    return subprocess.run(["git", *args], cwd=repository, check=True, capture_output=True).stdout
