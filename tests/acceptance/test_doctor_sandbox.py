"""``pantheon doctor`` tells whether code of the repository could be run tonight, and in what."""

import json
from pathlib import Path

import pytest

from pantheon.adapters.sandbox import bubblewrap
from pantheon.shell.cli.app import run


def ask(capsys: pytest.CaptureFixture[str], repo: Path, check: str) -> dict[str, str]:
    capsys.readouterr()
    run(["-C", str(repo), "doctor", "--json"])
    checks = json.loads(capsys.readouterr().out)["checks"]
    return next(found for found in checks if found["check"] == check)


def test_a_sandbox_that_holds_is_said_to_hold(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It was tried, not only looked for."""
    found = ask(capsys, repo, "sandbox")
    assert found["grade"] == "ok" and "bubblewrap" in found["message"] and "holds" in found["message"]


def test_a_missing_bubblewrap_is_named_with_the_command_that_installs_it(
    repo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flows that do not run the repository's code go on; the others are said to be refused."""
    monkeypatch.setattr(bubblewrap, "find_program", lambda name: None)
    found = ask(capsys, repo, "sandbox")
    assert found["grade"] == "warn" and "bwrap is not installed" in found["message"]
    assert "refused" in found["message"] and "apt-get install bubblewrap" in found["mend"]


def test_a_policy_without_a_sandbox_is_repeated(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody forgets that it says so."""
    policy = repo / "policies" / "night.toml"
    policy.write_text(policy.read_text().replace('sandbox = "bubblewrap"', 'sandbox = "none"'))
    found = ask(capsys, repo, "policies")
    assert found["grade"] == "warn" and 'sandbox = "none"' in found["message"]
