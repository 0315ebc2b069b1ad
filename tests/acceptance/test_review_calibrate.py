"""``pantheon review calibrate`` as a person has it: with a scripted model, interrupted, and with the real small one."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pantheon.core.notes.frontmatter import split_note
from pantheon.shell.known_changes import shipped_notes
from pantheon.testing.scripted_model import Reply, Say, serve_script
from pantheon.testing.user_repository import git, make_repository

CASES = 20
CASES_A_NOTE = 5


class Home:
    """A user with one repository.

    Args:
        top: where everything goes.
        settings: what the repository is configured with.
    """

    def __init__(self, top: Path, settings: Mapping[str, str], models: str = "") -> None:
        self.root = make_repository(top / "user", {"README.md": b"Nothing is catalogued here.\n"})
        self.settings = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(top), "XDG_CONFIG_HOME": str(top / "config"),
            # Other tests run beside these, and threads that wait for a busy core wait for each other.
            "PANTHEON_SERVER_THREADS": "1",
            "LC_ALL": "C.UTF-8", **({"PANTHEON_MODELS_DIR": models} if models else {}),
        }  # fmt: skip

    def commit(
        self, monkeypatch: pytest.MonkeyPatch, at: str, message: str, files: Mapping[str, bytes]
    ) -> None:
        """Commit files as a person did at a time."""
        monkeypatch.setenv("GIT_COMMITTER_DATE", at)
        for name, data in files.items():
            (self.root / name).write_bytes(data)
        git(self.root, "add", "--", *files)
        git(self.root, "commit", "-q", "-m", message)

    async def run(self, *words: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pantheon", *self.settings, *words, cwd=self.root, env=self.environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, told = await process.communicate()
        return process.returncode or 0, out.decode(), told.decode()


def undecided(_: Mapping[str, Any]) -> Reply:
    """A model that never prefers anything."""
    return Say("A", finish_reason="length", logprobs={"A": -0.7, "B": -0.7})


async def test_a_short_calibration_tells_and_resumes_and_qualifies_nobody(tmp_path: Path) -> None:
    """Twenty cases with all figures; a second run asks nothing again, though its file was cut in the last line."""
    socket = tmp_path / "m.sock"
    home = Home(tmp_path, {"endpoint.kind": "openai", "endpoint.uds": str(socket)})
    async with asyncio.timeout(150), serve_script(undecided, socket) as server:
        assert (await home.run("init"))[0] == 0
        code, out, told = await home.run("review", "calibrate", "--short", "--json")
        assert code == 0, told
        found = json.loads(out)
        figures = found["figures"]
        assert figures["cases"] == CASES
        assert figures["false_accepts"]["hits"] == 0
        assert figures["false_rejects"]["share"] == 1.0
        assert {one["reviewer"] for one in figures["reviewers"]} == {"review.peerA", "review.peerB"}
        # Undecided on all that it is asked about; what speaks to reviewers is failed unasked.
        areas = [one["area"]["value"] for one in figures["reviewers"]]
        assert all(0.5 <= area < 0.75 for area in areas), areas
        assert found["written"] is None
        assert not (home.root / ".pantheon" / "qualifications.json").exists()
        results = Path(found["results"])
        lines = (await asyncio.to_thread(results.read_bytes)).splitlines(keepends=True)
        assert len(lines) == CASES
        await asyncio.to_thread(results.write_bytes, b"".join(lines[:-1]) + lines[-1][:20])
        asked = len(server.requests)
        code, again, told = await home.run("review", "calibrate", "--short")
        assert code == 0, told
        assert len(server.requests) - asked < asked / 4
        assert "does not qualify: only" in again
        assert "checks alone" in again
        code, _, told = await home.run("review", "calibrate", "--flow", "nothing")
        assert code == 2
        assert "there is no flow 'nothing'" in told


async def test_changes_that_people_made_are_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stood is tried, and told before it starts; a revert, a young change and a night's are left out, with why."""
    socket = tmp_path / "m.sock"
    home = Home(tmp_path, {"endpoint.kind": "openai", "endpoint.uds": str(socket)})
    notes = dict(sorted(shipped_notes().items())[:4])

    commit = partial(home.commit, monkeypatch)
    commit("2025-01-01T00:00:00Z", "notes", {name: split_note(data).body for name, data in notes.items()})
    (stood, undone, ours, young) = notes.items()
    commit("2025-02-01T00:00:00Z", "Catalogue", dict([stood]))
    commit("2025-02-01T00:00:00Z", "Catalogue", dict([undone]))
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2025-06-01T00:00:00Z")
    git(home.root, "revert", "--no-edit", "HEAD")
    commit("2025-06-01T00:00:00Z", "Catalogue\n\nPantheon-Night: n\nPantheon-Task: t", dict([ours]))
    commit(datetime.now(UTC).isoformat(timespec="seconds"), "Catalogue", dict([young]))
    async with asyncio.timeout(150), serve_script(undecided, socket):
        assert (await home.run("init"))[0] == 0
        code, out, told = await home.run("review", "calibrate", "--short", "--json", "--from", "history")
        assert code == 0, told
        why = "1 made by a night, 1 taken back, 1 takes something back, 1 younger than 14 days"
        assert f"from history: 1 that stood, in 7 commits; left out: {why}" in told
        found = json.loads(out)
        assert (found["figures"]["subjects"], found["figures"]["from_history"]) == (1, 1)
        lines = (await asyncio.to_thread(Path(found["results"]).read_text)).splitlines()
        sources = {json.loads(line)["source"] for line in lines}
        assert sources == {git(home.root, "rev-parse", "HEAD~4").strip()}
        code, out, told = await home.run("review", "calibrate", "--short", "--json")
        assert code == 0, told
        assert told.index("from history: 1 that stood") < told.index("from files: 3 of")
        assert (json.loads(out)["figures"]["subjects"], json.loads(out)["figures"]["from_history"]) == (4, 1)


async def test_nothing_known_is_said_before_anything_is_asked(tmp_path: Path) -> None:
    """A repository without a past that holds refuses ``--from history`` with what it found."""
    socket = tmp_path / "m.sock"
    home = Home(tmp_path, {"endpoint.kind": "openai", "endpoint.uds": str(socket)})
    async with asyncio.timeout(60), serve_script(undecided, socket) as server:
        assert (await home.run("init"))[0] == 0
        code, _, told = await home.run("review", "calibrate", "--from", "history")
        assert code == 2
        assert "nothing is known to be good: from history: 0 that stood, in 1 commits" in told
        assert not [one for one in server.requests if "messages" in str(one)]


@pytest.mark.model
async def test_a_short_calibration_with_the_small_model(
    tmp_path: Path, small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real server answers with letters about a note of the past; nothing bad passes, and the cost is told."""
    settings = {"model": "qwen2.5-coder-0.5b", "server.threads": "1"}
    home = Home(tmp_path, settings, models=str(small_model.parent))
    name, data = min(shipped_notes().items())
    home.commit(monkeypatch, "2025-01-01T00:00:00Z", "note", {name: split_note(data).body})
    home.commit(monkeypatch, "2025-02-01T00:00:00Z", "Catalogue", {name: data})
    assert (await home.run("init"))[0] == 0
    code, out, told = await home.run("review", "calibrate", "--short", "--json", "--from", "history")
    assert code == 0, told
    figures = json.loads(out)["figures"]
    assert figures["cases"] == CASES_A_NOTE
    assert figures["false_accepts"]["hits"] == 0
    for one in figures["reviewers"]:
        assert one["calls"] > 0
        assert one["cached_tokens"] > one["computed_tokens"]
