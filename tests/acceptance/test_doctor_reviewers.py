"""``pantheon doctor`` tells whether the reviewers' word counts with the model that answers tonight."""

import json
from pathlib import Path

import pytest

from pantheon.shell.cli.app import run


def reviewers(capsys: pytest.CaptureFixture[str], repo: Path, *settings: str) -> dict[str, str]:
    """What doctor says of the reviewers."""
    capsys.readouterr()
    run(["-C", str(repo), *settings, "doctor", "--json"])
    checks = json.loads(capsys.readouterr().out)["checks"]
    found: dict[str, str] = next(check for check in checks if check["check"] == "reviewers")
    return found


def test_the_shipped_reviewers_are_qualified_with_the_default_model(
    repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fresh repository can merge in its first night: the qualifications travel with the policies."""
    found = reviewers(capsys, repo)
    assert found["grade"] == "ok", found["message"]
    assert "review.peerA, review.peerB" in found["message"]


@pytest.mark.parametrize(
    "change",
    ["another model", "another prompt", "another opening", "another model for one"],
)
def test_a_reviewer_that_nobody_measured_is_told(
    repo: Path, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    """Another model, prompt or opening: what is passed is held, and the command that helps is named."""
    settings: tuple[str, ...] = ()
    if change == "another model":
        settings = ("--set", "model=qwen2.5-coder-0.5b")
    elif change == "another model for one":
        text = (
            (repo / "pantheon.toml")
            .read_text()
            .replace("models = {}", 'models = { "review.peerB" = "qwen2.5-coder-0.5b" }')
        )
        (repo / "pantheon.toml").write_text(text)
    else:
        name = "review.peerA" if change == "another prompt" else "doc.frontmatter"
        with (repo / "agents" / name / "prompt.md").open("a") as file:
            file.write("\n")
    found = reviewers(capsys, repo, *settings)
    assert found["grade"] == "warn"
    assert "not qualified with this model, prompt and version" in found["message"]
    assert found["mend"] == "pantheon review calibrate"


def test_a_qualification_that_was_changed_is_a_failure(
    repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A threshold that somebody lowered by hand is refused by name."""
    path = repo / "policies" / "qualifications.json"
    value = json.loads(path.read_text())
    value["qualifications"][0]["confident"] = 0.0
    path.write_text(json.dumps(value))
    found = reviewers(capsys, repo)
    assert found["grade"] == "fail"
    assert "was changed after it was measured" in found["message"]
