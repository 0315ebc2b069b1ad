"""``pantheon review calibrate`` as a person has it: with a scripted model, interrupted, and with the real small one."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pantheon.testing.scripted_model import Reply, Say, serve_script
from pantheon.testing.user_repository import make_repository

CASES = 20


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
            "LC_ALL": "C.UTF-8", **({"PANTHEON_MODELS_DIR": models} if models else {}),
        }  # fmt: skip

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
        assert all(one["area"]["value"] == 0.5 for one in figures["reviewers"])
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


@pytest.mark.model
async def test_a_short_calibration_with_the_small_model(tmp_path: Path, small_model: Path) -> None:
    """The real server answers with letters; nothing known to be bad passes, and the cost is told."""
    settings = {"model": "qwen2.5-coder-0.5b", "server.threads": "1"}
    home = Home(tmp_path, settings, models=str(small_model.parent))
    assert (await home.run("init"))[0] == 0
    code, out, told = await home.run("review", "calibrate", "--short", "--json")
    assert code == 0, told
    figures = json.loads(out)["figures"]
    assert figures["cases"] == CASES
    assert figures["false_accepts"]["hits"] == 0
    for one in figures["reviewers"]:
        assert one["calls"] > 0
        assert one["cached_tokens"] > one["computed_tokens"]
