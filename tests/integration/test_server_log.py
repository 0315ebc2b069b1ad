"""What a server says that was started elsewhere is kept with the night, or the night says why it is not."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pantheon.adapters.artifacts import ArtifactFolder
from pantheon.shell.config import Project, load_project
from pantheon.shell.server_wiring import KEPT_LOG_BYTES, VLLM_LOG, ServerLog

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OF_THE_UNIT = {"endpoint.kind": "openai", "endpoint.uds": "/run/pantheon-llm/llm.sock"}


def configured(root: Path, **more: str) -> Project:
    (root / "pantheon.toml").touch()
    return load_project(root, {**OF_THE_UNIT, **more})


async def keep(log: ServerLog, folder: Path) -> bytes:
    """Return what is kept with a night; nothing where there is no such file."""
    await log.keep(ArtifactFolder(folder / "artifacts"), "n", NOW)
    kept = folder / "artifacts/n/server-20260101-000000.log"
    return kept.read_bytes() if kept.exists() else b""


async def test_the_log_of_the_unit_is_found(tmp_path: Path) -> None:
    """Where the socket is the unit's, so is the log; of it only what was said since, and at most its end."""
    unit_log = tmp_path / "server.log"
    unit_log.write_bytes(b"yesterday\n")
    log = ServerLog(configured(tmp_path), unit_log=unit_log)
    with unit_log.open("ab") as file:
        file.write(b"tonight\n")
    assert await keep(log, tmp_path) == b"tonight\n"
    with unit_log.open("ab") as file:
        file.write(b"x" * KEPT_LOG_BYTES + b"end")
    kept = await keep(log, tmp_path)
    assert (len(kept), kept[-3:]) == (KEPT_LOG_BYTES, b"end")


async def test_one_that_began_anew_is_kept_whole(tmp_path: Path) -> None:
    """A log that was emptied during the night holds nothing of before."""
    unit_log = tmp_path / "server.log"
    unit_log.write_bytes(b"yesterday, and much of it\n")
    log = ServerLog(configured(tmp_path), unit_log=unit_log)
    unit_log.write_bytes(b"anew\n")
    assert await keep(log, tmp_path) == b"anew\n"


@pytest.mark.parametrize("there", ["nothing", "folder", "link"])
async def test_one_that_cannot_be_read_is_said_to_be(tmp_path: Path, there: str) -> None:
    """The night's record has a sentence in its place, not a hole."""
    unit_log = tmp_path / "server.log"
    if there == "folder":
        unit_log.mkdir()
    elif there == "link":
        (tmp_path / "secret").write_text("secret")
        unit_log.symlink_to(tmp_path / "secret")
    said = await keep(ServerLog(configured(tmp_path), unit_log=unit_log), tmp_path)
    assert said.startswith(f"{unit_log} cannot be read (".encode())
    assert b"secret" not in said


async def test_a_named_one_counts_instead(tmp_path: Path) -> None:
    """Whoever starts a server in another way names its log."""
    named = tmp_path / "lm.log"
    named.touch()
    log = ServerLog(configured(tmp_path, **{"vllm.log": str(named)}), unit_log=tmp_path / "no")
    named.write_bytes(b"said\n")
    assert await keep(log, tmp_path) == b"said\n"


async def test_both_are_kept(tmp_path: Path) -> None:
    """What the project's own supervisor logged stands beside it, within one bound."""
    unit_log = tmp_path / "server.log"
    unit_log.touch()
    project = configured(tmp_path)
    log = ServerLog(project, unit_log=unit_log)
    own = project.state / "logs" / VLLM_LOG
    own.parent.mkdir(parents=True)
    own.write_bytes(b"own\n")
    unit_log.write_bytes(b"unit\n")
    assert await keep(log, tmp_path) == b"own\nunit\n"


async def test_a_server_of_others_owes_no_log(tmp_path: Path) -> None:
    """Where nothing is known of a log, nothing is missed."""
    project = configured(tmp_path, **{"endpoint.uds": "/run/other/x.sock"})
    assert await keep(ServerLog(project, unit_log=tmp_path / "no"), tmp_path) == b""
