"""The recipe of docs/artifacts.md, run as it stands, on the artifacts of a real night."""

import asyncio
import base64
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pantheon.testing.night import NoteScript, opened, proposal
from pantheon.testing.user_repository import make_repository

PAGE = Path(__file__).parents[2] / "docs" / "artifacts.md"
NOTE = b"""queues notes from the call

We compared retries with dead letter queues for the order service. Retries with backoff hide slow consumers,
dead letter queues show them.
"""
PROPOSAL = proposal(
    "order service", "Retries versus Dead Letter Queues for Orders",
    "Compares retries with dead letter queues for the order service and says which one shows slow consumers.",
    "queues", "retries", "orders",
)  # fmt: skip

pytestmark = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in ("bash", "openssl", "jq")),
    reason="the recipe needs bash, openssl and jq",
)


@pytest.fixture(scope="module")
def one_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which one night has left artifacts and keys."""
    top = tmp_path_factory.mktemp("recipe")
    root = make_repository(top / "user", {"docs/2026.01.01.md": NOTE})

    async def run() -> None:
        async with opened(root, top / "night", NoteScript({"queues": PROPOSAL})) as bench:
            await bench.night(["docs/2026.01.01.md"])

    asyncio.run(run())
    return top / "night"


@pytest.fixture
def night(one_night: Path, tmp_path: Path) -> Path:
    """A copy of the night's artifacts that a test may tamper with."""
    for folder in ("artifacts", "keys"):
        shutil.copytree(one_night / folder, tmp_path / folder)
    return tmp_path / "artifacts" / "n1"


def verdicts(night: Path) -> dict[str, str]:
    """Run the recipe and return node -> ``good`` or ``BAD``."""
    found = re.search(r"^```bash\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert found is not None
    keys = next(path for path in (night.parents[1] / "keys").rglob("*.pub.pem"))
    script = re.sub(r"^key=.*$", f"key={keys}", found[1], flags=re.M).replace("NIGHT", night.name)
    done = subprocess.run(
        ["bash", "-c", script], cwd=night.parents[1], capture_output=True, text=True, timeout=60
    )
    lines = re.findall(r"^(good|BAD) +(\S+)/$", done.stdout, re.M)
    return {Path(folder).parent.name: verdict for verdict, folder in lines}


def test_it_finds_every_attempt_of_a_night_good(night: Path) -> None:
    """Whoever has the public key can verify all that a night left."""
    assert verdicts(night) == dict.fromkeys(
        (
            "plan.validate", "doc.frontmatter", "doc.rename", "checks",
            "review.peerA", "review.peerB", "gate", "merge",
        ),
        "good",
    )  # fmt: skip


def _alter(folder: Path) -> None:
    (folder / "output.json").write_bytes(b"{}")


def _add(folder: Path) -> None:
    (folder / "extra.txt").write_bytes(b"")


def _add_hidden(folder: Path) -> None:
    (folder / ".extra").write_bytes(b"")


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


@pytest.mark.parametrize("attack", [_alter, _add, _add_hidden, _remove, _unsign, _restate, _exchange])
def test_it_finds_what_was_tampered_with(night: Path, attack: Callable[[Path], None]) -> None:
    """A file altered, added or taken away, a statement reworded, and another attempt's folder in its place all show."""
    attack(next(night.glob("*/gate/001")))
    found = verdicts(night)
    assert found.pop("gate") == "BAD"
    assert set(found.values()) == {"good"}
