"""The recipes of docs/verify.md, run as they stand, on the artifacts of a real night."""

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pantheon.testing.evidence_night import make_night, run_openssl_recipe, run_python_recipe


@pytest.fixture(scope="module")
def one_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which one night has left artifacts and keys."""
    return make_night(tmp_path_factory.mktemp("recipe"))


@pytest.fixture
def night(one_night: Path, tmp_path: Path) -> Path:
    """A copy of the night's artifacts that a test may tamper with."""
    for folder in ("artifacts", "keys"):
        shutil.copytree(one_night / folder, tmp_path / folder)
    return tmp_path / "artifacts" / "n1"


def test_they_find_a_night_good(night: Path) -> None:
    """Whoever has the public key can verify all that a night left, with tools that know nothing of Pantheon."""
    assert run_openssl_recipe(night) == (
        "good",
        f"{len((night / 'ledger.jsonl').read_bytes().splitlines())} records",
    )
    assert run_python_recipe(night) == "good"


def _alter(folder: Path) -> None:
    (folder / "output.json").write_bytes(b"{}")


def _add(folder: Path) -> None:
    (folder / "extra.txt").write_bytes(b"")


def _add_hidden(folder: Path) -> None:
    (folder / ".extra").write_bytes(b"")


def _add_attempt(folder: Path) -> None:
    shutil.copytree(folder, folder.with_name("002"))


def _remove(folder: Path) -> None:
    (folder / "metrics.json").unlink()


def _unsign(folder: Path) -> None:
    (folder / "attestation.json").unlink()


def _restate(folder: Path) -> None:
    path = folder / "attestation.json"
    envelope = json.loads(path.read_bytes())
    payload = base64.b64decode(envelope["payload"]).replace(b'"outcome":"succeeded"', b'"outcome":"failed"')
    path.write_text(json.dumps({**envelope, "payload": base64.b64encode(payload).decode()}), encoding="utf-8")


def _exchange(folder: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(folder.parents[1] / "checks" / "001", folder)


def _shorten(folder: Path) -> None:
    ledger = folder.parents[2] / "ledger.jsonl"
    ledger.write_bytes(b"".join(ledger.read_bytes().splitlines(keepends=True)[:-1]))


@pytest.mark.parametrize(
    "attack", [_alter, _add, _add_hidden, _add_attempt, _remove, _unsign, _restate, _exchange, _shorten]
)
def test_the_shell_alone_finds_what_was_tampered_with(night: Path, attack: Callable[[Path], None]) -> None:
    """A file altered, added or taken away, a statement reworded, an attempt exchanged, a tail cut off: all show."""
    attack(next(night.glob("*/gate/001")))
    assert run_openssl_recipe(night)[0] == "BAD"
