"""``pantheon verify`` as a person or a script calls it: on a copy, with a key, and nothing else of the night's."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pantheon.adapters.keys import read_public_key
from pantheon.core.dsse import key_id
from pantheon.testing.evidence_night import make_night


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_night(tmp_path_factory.mktemp("verify"), ("n1", "n2"))


@pytest.fixture
def copy(nights: Path, tmp_path: Path) -> Path:
    """The artifacts as they come to another machine: beside nothing, and read-only as far as that holds for root."""
    shutil.copytree(nights / "artifacts", tmp_path / "elsewhere")
    shutil.copy(nights / "keys" / "night.pub.pem", tmp_path / "their.pub.pem")
    return tmp_path / "elsewhere"


def verify(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pantheon", "verify", *map(str, words)],
        cwd=cwd, capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd / "home"), "LC_ALL": "C.UTF-8"},
    )  # fmt: skip


def everything_in(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_sound_night(copy: Path, tmp_path: Path) -> None:
    """Exit 0 and what was looked at, without a project, a store or a repository; nothing is written."""
    before = everything_in(tmp_path)
    done = verify(copy / "n1", "--key", tmp_path / "their.pub.pem", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "night n1 is sound" in done.stdout
    assert "tasks: 1 accepted" in done.stdout
    assert done.stderr == ""
    assert everything_in(tmp_path) == before


def test_all_nights_at_once_with_everything_to_compare_with(nights: Path, copy: Path, tmp_path: Path) -> None:
    """The folder of all nights, the witness and the repository."""
    done = verify(
        copy, "--key", tmp_path / "their.pub.pem", "--witness", nights / "witness" / "checkpoints.jsonl",
        "--repository", nights.parent / "user", "--json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["sound"] is True
    assert [one["night"] for one in told["nights"]] == ["n1", "n2"]
    assert told["nights"][1]["previous"] == told["nights"][0]["checkpoint"]
    assert all(one["closed"] and not one["defects"] for one in told["nights"])
    assert any("branch" in what for what in told["nights"][0]["checked"])


def test_a_night_with_defects(copy: Path, tmp_path: Path) -> None:
    """Exit 1 and each defect by its name and place, for people and as JSON."""
    gate = next((copy / "n1").glob("*/gate/001"))
    (gate / "output.json").write_bytes(b"{}")
    (gate / "planted.txt").write_bytes(b"\x1b[2Jboo")
    (gate / "\x1b[31mred").write_bytes(b"x")
    (gate / "metrics.json").unlink()
    words = (copy / "n1", "--key", tmp_path / "their.pub.pem")
    done = verify(*words, cwd=tmp_path)
    assert done.returncode == 1
    assert "\x1b" not in done.stdout
    found = {(one["flaw"], one["where"].rpartition("/")[2]) for one in defects(*words, cwd=tmp_path)}
    assert found == {
        ("altered", "output.json"), ("extra", "planted.txt"), ("extra", "\x1b[31mred"), ("missing", "metrics.json"),
    }  # fmt: skip
    for flaw, _ in found:
        assert flaw in done.stdout


def defects(*words: str | Path, cwd: Path) -> list[dict[str, str]]:
    told = json.loads(verify(*words, "--json", cwd=cwd).stdout)
    return [defect for one in told["nights"] for defect in one["defects"]]


def test_a_night_by_somebody_else(nights: Path, copy: Path, tmp_path: Path) -> None:
    """With another key than the one it stands on, nothing of it counts: one sentence names both, and no more."""
    key = tmp_path / "mine.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True)
    public = subprocess.run(
        ["openssl", "pkey", "-in", key, "-pubout"], capture_output=True, check=True
    ).stdout
    (tmp_path / "mine.pub.pem").write_bytes(public)
    words = (copy / "n1", "--key", tmp_path / "mine.pub.pem")
    assert verify(*words, cwd=tmp_path).returncode == 1
    theirs = json.loads((copy / "n1" / "ledger.jsonl").read_bytes().split(b"\n")[0])["signatures"][0]["keyid"]
    (told,) = defects(*words, cwd=tmp_path)
    assert told["flaw"] == "wrong_key"
    assert theirs in told["what"]
    assert key_id(read_public_key(tmp_path / "mine.pub.pem")) in told["what"]
    all_nights = defects(
        copy, *words[1:], "--witness", nights / "witness" / "checkpoints.jsonl", cwd=tmp_path
    )
    assert [one["flaw"] for one in all_nights] == ["wrong_key"] * 2


def test_a_link_and_a_second_copy_are_no_nights(copy: Path, tmp_path: Path) -> None:
    """Among all nights, a link in the place of one is told, and one that stands there twice; a new name is a note."""
    (copy / "n2").rename(tmp_path / "n2")
    (copy / "n2").symlink_to(tmp_path / "n2")
    shutil.copytree(copy / "n1", copy / "n1-old")
    words = (copy, "--key", tmp_path / "their.pub.pem")
    found = {(one["flaw"], one["where"].partition("/")[0]) for one in defects(*words, cwd=tmp_path)}
    assert found == {("malformed", "n2"), ("duplicate", "pantheon.local")}
    assert "the folder is called n1-old, the night n1" in verify(*words, cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("elsewhere/n1",), "night.ed25519.pub.pem"),
        (("elsewhere/n1", "--key", "missing.pem"), "missing.pem"),
        (("elsewhere/n1", "--key", "elsewhere/n1/checkpoint"), "not a public key"),
        (("elsewhere/n3", "--key", "their.pub.pem"), "n3"),
        (("empty", "--key", "their.pub.pem"), "holds no night"),
        (("elsewhere/n1", "--key", "their.pub.pem", "--witness", "none.jsonl"), "none.jsonl"),
        (("elsewhere/n1", "--key", "their.pub.pem", "--repository", "empty"), "no git repository"),
        (("elsewhere/n1", "--key", "their.pub.pem", "--nonsense"), "nonsense"),
    ],
)
def test_what_cannot_be_looked_at(copy: Path, tmp_path: Path, words: tuple[str, ...], why: str) -> None:
    """Exit 2 where the question itself is wrong, so that a script does not take it for an answer."""
    (tmp_path / "empty").mkdir()
    done = verify(*words, cwd=tmp_path)
    assert done.returncode == 2, done.stdout
    assert why in done.stderr


def test_a_night_that_is_not_closed(nights: Path, copy: Path, tmp_path: Path) -> None:
    """An open night is sound so far, and the words say so."""
    witness = nights / "witness" / "checkpoints.jsonl"
    note = next(one for one in map(json.loads, witness.read_text().splitlines()) if "/n1/" in one)
    ledger = copy / "n1" / "ledger.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[: int(note.splitlines()[1])]))
    (copy / "n1" / "checkpoint").write_text(note)
    for task in (copy / "n1").glob("*/"):
        shutil.rmtree(task)
    words = (copy / "n1", "--key", tmp_path / "their.pub.pem")
    done = verify(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "sound so far; it is not closed" in done.stdout
    assert {one["flaw"] for one in defects(*words, "--witness", witness, cwd=tmp_path)} == {"rolled_back"}
