"""The nouns of the day as a person and a shell meet them."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pantheon.core.records import (
    AttemptOutcome,
    AttemptResult,
    BatchRecord,
    NightRecord,
    NodeRecord,
    NodeState,
    TaskRecord,
)
from pantheon.shell.cli.app import run
from pantheon.shell.config import Project
from pantheon.shell.wiring import open_project_store
from pantheon.testing.clock import FakeClock
from pantheon.testing.sample_project import play_night


@pytest.fixture
def project(project: Project) -> Project:
    """A project after a made-up night of eight tasks."""
    asyncio.run(play_night(project.database, project.artifacts, 8))
    return project


def read(capsys: pytest.CaptureFixture[str], project: Project, *words: str) -> str:
    capsys.readouterr()
    assert run(["-C", str(project.root), *words]) == 0, words
    return capsys.readouterr().out


def test_a_denied_change_is_explained(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """Its outcome, the gate's word, the reviewer against it with its reasons, and what was never done."""
    out = read(capsys, project, "gate", "explain", "note-0002")
    for words in (
        "denied",
        "The gate denied it.",
        "review.peerB 1.0.0: fail",
        "the decoy was preferred",
        "merge: ",
    ):
        assert words in out, words
    said = json.loads(read(capsys, project, "gate", "explain", "--json", "note-0002"))
    assert said["decision"]["decision"] == "deny"
    assert [one["verdict"] for one in said["reviews"]] == ["pass", "fail"]


def test_a_review_is_shown_beside_its_diff(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """The diff first, then each comparison with margin, floor and place; without the diff where it is not wanted."""
    out = read(capsys, project, "review", "show", "note-0000")
    assert "+++ b/docs/0-rate-limiter.md" in out
    assert "A day at the office" in out
    assert "\x1b[" not in out, "no colour in a pipe"
    assert "+++ b/" not in read(capsys, project, "review", "show", "--no-diff", "note-0000")
    said = json.loads(read(capsys, project, "review", "show", "--json", "note-0000"))
    assert said["diff"].startswith("diff --git")
    assert said["reviews"][0]["questions"][0]["places"]


HELD_DIFF = b"""diff --git a/a.md b/b.md
similarity index 66%
rename from a.md
rename to b.md
index 94954ab..82175e4 100644
--- a/a.md
+++ b/b.md
@@ -1,2 +1,3 @@
+new
 hello
 world
"""


async def hold(project: Project) -> None:
    """Leave a change in the store that the gate holds for a person."""
    key, night = f"{'a' * 12}/held", "20260102-220000"
    async with open_project_store(project, write=True) as store:
        line = json.dumps({"id": "held", "kind": "docops", "goal": "g"})
        now = FakeClock().now()
        batch = BatchRecord(name="a" * 12, digest="0" * 64, lines=1, enqueued_at=now, path="q")
        await store.add_batch(batch, [TaskRecord(key=key, batch="a" * 12, line=line)])
        record = NightRecord(id=night, base_commit="c" * 40, branch="b", started_at=now)
        await store.open_night(record, [key])
        said = {
            "checks": {"checks": [{"name": "protected", "passed": False, "reason": "a person must look"}]},
            "gate": {"decision": "hold", "explanation": "Held for a person.", "reasons": ["protected"]},
        }
        for node, output in said.items():
            await store.add_nodes([NodeRecord(night=night, key=f"{key}#{node}", task=key, node=node)])
            await store.make_ready(night, [f"{key}#{node}"])
            lease = await store.claim(night, f"{key}#{node}", owner="t", lease_s=60)
            folder = f"{night}/held/{node}/001"
            done = AttemptResult(
                outcome=AttemptOutcome.FAILED,
                node_state=NodeState.FAILED,
                artifacts=folder,
                metrics={"output": output},
            )
            await store.settle(lease, done)
            (project.artifacts / folder).mkdir(parents=True)
            (project.artifacts / folder / "diff.patch").write_bytes(HELD_DIFF)


def test_a_held_change_can_be_taken_by_hand(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """The gate's word, and a command that really makes the change in the work tree."""
    (project.root / "a.md").write_bytes(b"hello\nworld\n")
    subprocess.run(["git", "-C", str(project.root), "add", "a.md"], check=True)
    asyncio.run(hold(project))
    capsys.readouterr()
    assert run(["-C", str(project.root), "gate", "explain", "held"]) == 0
    out, err = capsys.readouterr()
    assert "The gate holds it." in out
    command = err.partition("by hand: ")[2].split()
    subprocess.run(command, check=True, cwd=project.root)
    assert (project.root / "b.md").read_bytes() == b"new\nhello\nworld\n"


def test_bare_nouns_list(project: Project, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The tasks of the last night with their outcomes, and every verdict; nothing where there was no night."""
    rows = [line.split("\t") for line in read(capsys, project, "gate").splitlines()]
    assert len(rows) == 8
    assert rows[2][1] == "denied"
    assert json.loads(read(capsys, project, "gate", "--json"))[0]["outcome"] == "accepted"
    project.database.unlink()
    assert json.loads(read(capsys, project, "review", "--json")) == []


@pytest.mark.parametrize(
    ("typed", "wanted"), [("gate ", "explain"), ("review sh", "show"), ("pub", "publish")]
)
def test_completion_knows_verbs_without_importing_them(typed: str, wanted: str) -> None:
    """A shell is told the verbs of a noun; no command is imported for it."""
    code = (
        "import sys, os\nfrom pantheon.shell.cli.app import cli\n"
        "from click.shell_completion import BashComplete\n"
        f"words = {typed.split(' ')!r}\n"
        "found = [one.value for one in BashComplete(cli, {}, 'pantheon', 'X').get_completions(words[:-1], words[-1])]\n"
        f"assert {wanted!r} in found, found\n"
        "late = {'pantheon.shell.cli.gate_explain', 'pantheon.shell.cli.review_show', 'pydantic'}\n"
        "assert not late & set(sys.modules), late & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
