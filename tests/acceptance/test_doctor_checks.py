"""``pantheon doctor`` names what would keep a night from working, and how to mend it."""

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from pantheon.core.errors import GitError
from pantheon.shell import checks, project_checks, wiring
from pantheon.shell.checks import Finding, Grade
from pantheon.shell.cli.app import run


def doctor(capsys: pytest.CaptureFixture[str], repo: Path) -> tuple[int, dict[str, dict[str, str]]]:
    capsys.readouterr()
    code = run(["-C", str(repo), "doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert report["ready"] == (code == 0)
    return code, {check["check"]: check for check in report["checks"]}


def test_a_fresh_repository_lacks_only_its_model(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After init everything is in place but the model, and the mending command is named."""
    code, found = doctor(capsys, repo)
    assert [name for name, check in found.items() if check["grade"] == "fail"] == ["model"]
    assert found["model"]["mend"] == "pantheon models pull qwen2.5-coder-1.5b"
    assert code == 3


def test_the_text_form_says_the_same(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """People see grade, question, answer, and the mending below."""
    assert run(["-C", str(repo), "doctor"]) == 3
    captured = capsys.readouterr()
    assert "fail  model" in captured.out
    assert "pantheon models pull" in captured.out
    assert "1 in the way" in captured.err


@pytest.mark.parametrize(
    ("file", "text", "check", "said"),
    [
        ("policies/gate.toml", "reviewers = 1", "policies", "policies/gate.toml: reviewers"),
        ("flows/broken.toml", "name = 3", "flows", "flows/broken.toml: "),
        ("agents/evil/agent.toml", 'name = "evil"\nruntime.origin = "cloud"', "agents", "'cloud'"),
        ("pantheon.toml", "nights = 3", "config", "nights: unknown field"),
    ],
)
def test_wrong_content_is_named_by_file(
    repo: Path, capsys: pytest.CaptureFixture[str], file: str, text: str, check: str, said: str
) -> None:
    """A wrong file is a failed check that names file and key."""
    path = repo / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    if check == "agents":
        (path.parent / "prompt.md").write_text("x")
    code, found = doctor(capsys, repo)
    assert code == 3
    assert found[check]["grade"] == "fail"
    assert said in found[check]["message"]


def test_a_readable_key_is_a_failure(repo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Anyone who can read the key can sign; the mending command is chmod."""
    key = tmp_path / "config" / "pantheon" / "keys" / "night.ed25519"
    key.parent.mkdir(parents=True)
    key.write_text("x")
    key.chmod(0o644)
    _, found = doctor(capsys, repo)
    assert (found["key"]["grade"], found["key"]["mend"]) == ("fail", f"chmod 600 {key}")


@pytest.mark.parametrize("place", ["repository", "link"])
def test_a_key_in_the_wrong_place_is_a_failure(
    repo: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    """A key inside the repository, or behind a link, is refused."""
    base = repo / "conf" if place == "repository" else tmp_path / "config"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(base))
    key = base / "pantheon" / "keys" / "night.ed25519"
    key.parent.mkdir(parents=True)
    if place == "link":
        key.symlink_to("/dev/null")
    _, found = doctor(capsys, repo)
    assert found["key"]["grade"] == "fail"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["endpoint.url=http://example.com:80"], "is refused"),
        (["endpoint.url=http://127.0.0.1:1"], ""),
        (["endpoint.uds=/nonexistent/x.sock"], ""),
    ],
)
def test_a_server_elsewhere_or_nowhere_is_a_failure(
    repo: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    settings: list[str],
    said: str,
) -> None:
    """An address that is not local is refused before anything is sent; a dead one is found out."""
    monkeypatch.setattr(project_checks, "SERVER_TIMEOUT_S", 1.0)
    flags = [word for setting in ["endpoint.kind=openai", *settings] for word in ("--set", setting)]
    capsys.readouterr()
    assert run(["-C", str(repo), *flags, "doctor", "--json"]) == 3
    found = {check["check"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert found["model"]["grade"] == "ok"
    assert found["server"]["grade"] == "fail"
    assert said in found["server"]["message"]


def test_outside_of_a_project_the_machine_is_still_examined(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without pantheon.toml doctor says what to run."""
    code, found = doctor(capsys, tmp_path)
    assert code == 3
    assert found["git"]["grade"] == "ok"
    assert "pantheon init" in found["config"]["mend"]


def test_a_repository_without_commits_is_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A night starts from a commit."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    run(["-C", str(tmp_path), "init"])
    _, found = doctor(capsys, tmp_path)
    assert found["repository"]["grade"] == "fail"


def test_a_project_below_the_top_is_a_failure(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Paths in tasks are relative to the repository's top."""
    inner = repo / "inner"
    inner.mkdir()
    (repo / "pantheon.toml").rename(inner / "pantheon.toml")
    _, found = doctor(capsys, inner)
    assert "the repository begins at" in found["repository"]["message"]


def test_proxies_and_misspelt_settings_are_mentioned(
    repo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that will have no effect is not left to be found out in the morning."""
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    assert doctor(capsys, repo)[1]["environment"]["grade"] == "fail"
    monkeypatch.setenv("PANTHEON_NIGHT_LEASES", "3")
    assert "PANTHEON_NIGHT_LEASES" in doctor(capsys, repo)[1]["environment"]["message"]


@pytest.mark.parametrize(("free", "grade"), [(10**6, "fail"), (10**9, "warn"), (10**11, "ok")])
def test_disk_space_is_graded(
    repo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, free: int, grade: str
) -> None:
    """A full disk stops a night before it starts."""
    monkeypatch.setattr(wiring.probes, "free_bytes", lambda _: free)
    assert doctor(capsys, repo)[1]["disk"]["grade"] == grade


def test_an_old_or_missing_git_is_a_failure(
    repo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version that merges without a work tree is needed."""
    monkeypatch.setattr(wiring.listing, "git_version", lambda: (2, 30, 2))
    assert doctor(capsys, repo)[1]["git"]["grade"] == "fail"

    def missing() -> tuple[int, ...]:
        raise GitError("git is not installed", hint="Install git 2.38 or newer.")

    monkeypatch.setattr(wiring.listing, "git_version", missing)
    assert doctor(capsys, repo)[1]["git"]["mend"] == "Install git 2.38 or newer."


async def test_a_question_that_hangs_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """No question keeps the others waiting for ever."""

    async def hang() -> Finding:
        await asyncio.Event().wait()
        raise AssertionError

    async def answer() -> Finding:
        return Finding("b", Grade.OK, "fine")

    monkeypatch.setattr(checks, "QUESTION_TIMEOUT_S", 0.01)
    first, second = await checks.ask({"a": hang, "b": answer})
    assert (first.grade, second.grade) == (Grade.FAIL, Grade.OK)


def test_containment_is_proven_by_a_process_of_its_own(
    repo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The doctor's own process stays where it is; what would keep a night from starting is a failure."""
    before = Path("/proc/self/ns/net").readlink()
    assert doctor(capsys, repo)[1]["containment"]["grade"] == "ok"
    assert Path("/proc/self/ns/net").readlink() == before
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    found = doctor(capsys, repo)[1]["containment"]
    assert (found["grade"], "OPENAI_API_KEY" in found["message"]) == ("fail", True)


def test_the_endpoint_of_the_command_line_is_what_is_tried(
    repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server on another machine cannot be reached out of a namespace that holds nothing, and the doctor says so."""
    policy = repo / "policies" / "night.toml"
    text = policy.read_text(encoding="utf-8").replace(
        "local_networks = []", 'local_networks = ["10.0.0.5/32"]'
    )
    policy.write_text(text, encoding="utf-8")
    run(
        [
            "-C",
            str(repo),
            "--set",
            "endpoint.kind=openai",
            "--set",
            "endpoint.url=http://10.0.0.5:8000",
            "doctor",
        ]
    )
    assert "no way leads to http://10.0.0.5:8000" in capsys.readouterr().out


def test_drift_of_a_waiting_batch_is_a_warning(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a batch was frozen with has changed: doctor names batch and file, and how to go on; altered lines fail."""
    note = repo / "docs" / "a.md"
    note.parent.mkdir(exist_ok=True)
    note.write_text("# A note\n\nSome text.\n")
    line = {"kind": "docops", "goal": "Give the note a title", "targets": ["docs/a.md"]}
    (repo / "tasks.jsonl").write_text(json.dumps(line) + "\n")
    assert doctor(capsys, repo)[1]["batches"]["message"] == "none waits for a night"
    assert run(["-C", str(repo), "enqueue", str(repo / "tasks.jsonl")]) == 0
    found = doctor(capsys, repo)[1]["batches"]
    assert (found["grade"], found["message"]) == ("ok", "1 as they were frozen")
    policy = repo / "policies" / "gate.toml"
    policy.write_text(policy.read_text() + "\n# a word more\n")
    found = doctor(capsys, repo)[1]["batches"]
    assert found["grade"] == "warn"
    assert "policies/gate.toml has changed" in found["message"]
    assert "--accept-drift" in found["mend"]
    (lines,) = (repo / "queue").glob("*.jsonl")
    lines.write_bytes(lines.read_bytes() + b"{}\n")
    found = doctor(capsys, repo)[1]["batches"]
    assert found["grade"] == "fail"
    assert lines.stem in found["message"]
