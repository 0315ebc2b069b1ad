"""What a night is told by its environment: a relay that it did not start, and variables that nobody named."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from pantheon.adapters.relay import start_relay
from pantheon.adapters.relay_check import check_own_relay
from pantheon.core.errors import LocalityError
from pantheon.core.locality import check_endpoint_url
from pantheon.shell.night_environment import night_environment
from pantheon.testing.scripted_model import Say, ScriptedServer
from pantheon.testing.user_repository import make_repository

PANTHEON = (sys.executable, "-m", "pantheon")
ASKED = "http://127.0.0.1:9"
RELAY = "PANTHEON_RELAY"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_repository(tmp_path_factory.mktemp("env") / "user", {"docs/a.md": b"text\n"})
    subprocess.run([*PANTHEON, "init"], cwd=root, check=True, env=variables(root))
    return root


def variables(root: Path, **more: str) -> Mapping[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(root.parent), "LC_ALL": "C.UTF-8", **more}


@contextmanager
def stranger(folder: Path) -> Iterator[tuple[ScriptedServer, Path]]:
    """A model server of somebody else on a Unix socket, in a private folder of this user."""
    scripted, ready, done = ScriptedServer(lambda _: Say("yes")), threading.Event(), threading.Event()
    folder.mkdir(mode=0o700)
    path = folder / "r.sock"

    async def serve() -> None:
        async with await asyncio.start_unix_server(scripted.handle, path):
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield scripted, path
    finally:
        done.set()
        thread.join()


def night(root: Path, *before: str, **more: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*before, *PANTHEON, "night"], cwd=root, capture_output=True, text=True, timeout=60, check=False,
        env=variables(root, PANTHEON_ENDPOINT_KIND="openai", **more),
    )  # fmt: skip


@pytest.mark.primitive("netns", "userns", "seccomp")
def test_a_relay_that_somebody_names_is_not_believed(repository: Path, tmp_path: Path) -> None:
    """Alone, and with the forged mark of a night that has moved: refused by name, and never asked."""
    with stranger(tmp_path / "s") as (server, path):
        alone = night(repository, PANTHEON_ENDPOINT_URL=ASKED, PANTHEON_RELAY=str(path))
        assert (alone.returncode, server.head_lines) == (3, []), alone.stderr
        assert f"{RELAY} is set" in alone.stderr and f"unset {RELAY}" in alone.stderr
        both = night(
            repository, "unshare", "-Urn", PANTHEON_ENDPOINT_URL=ASKED, PANTHEON_RELAY=str(path), PANTHEON_CONTAINED="1"
        )  # fmt: skip
        assert (both.returncode, server.head_lines) == (3, []), both.stderr
        assert "another process listens there" in both.stderr
        by_day = subprocess.run(
            [*PANTHEON, "doctor"], cwd=repository, capture_output=True, text=True, timeout=60, check=False,
            env=variables(
                repository, PANTHEON_ENDPOINT_KIND="openai", PANTHEON_ENDPOINT_URL=ASKED, PANTHEON_RELAY=str(path)
            ),
        )  # fmt: skip
        assert server.head_lines == []
        assert f"{RELAY} is set" in by_day.stdout
        control = night(repository, PANTHEON_ENDPOINT_UDS=str(path))
        assert control.returncode == 0, control.stderr
        assert server.head_lines, "the control: where the operator names it, the same socket is asked"


def test_only_a_child_of_this_process_is_its_relay(tmp_path: Path) -> None:
    """The relay that this process started is believed; the same process seen by another parent is not."""
    relay = start_relay(check_endpoint_url(ASKED), os.environ)
    try:
        assert check_own_relay(relay.socket, RELAY) == relay.socket
        other = (
            "import sys\nfrom pathlib import Path\nfrom pantheon.adapters.relay_check import check_own_relay\n"
            "check_own_relay(Path(sys.argv[1]), 'PANTHEON_RELAY')"
        )
        done = subprocess.run(
            [sys.executable, "-c", other, str(relay.socket)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 1 and "another process listens there" in done.stderr
        relay.socket.parent.chmod(0o755)
        with pytest.raises(LocalityError, match="private"):
            check_own_relay(relay.socket, RELAY)
        relay.socket.parent.chmod(0o700)
    finally:
        relay.stop()
    for path in (relay.socket, Path("r.sock"), tmp_path / "none"):
        with pytest.raises(LocalityError, match=RELAY):
            check_own_relay(path, RELAY)


def test_a_night_keeps_what_is_named_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The policy's names, Pantheon's settings, and what it reads itself; no agent, no bus, no editor, no spare key."""
    for name in (
        "SSH_AUTH_SOCK",
        "DBUS_SESSION_BUS_ADDRESS",
        "GIT_DIR",
        "LD_PRELOAD",
        "PANTHEON_OTHER",
        "MINE",
        "BASH_ENV",
    ):
        monkeypatch.setenv(name, "canary")
    monkeypatch.setenv("PANTHEON_ENDPOINT_UDS", "/run/model.sock")
    kept = night_environment(["MINE"])
    assert kept["MINE"] == "canary" and kept["PANTHEON_ENDPOINT_UDS"] == "/run/model.sock" and "PATH" in kept
    assert [name for name, value in kept.items() if value == "canary"] == ["MINE"]


def test_a_night_beside_credentials_starts_nothing(repository: Path, tmp_path: Path) -> None:
    """They are named, not shown, and no server is asked; a policy that strips them lets it begin (the control)."""
    policy = repository / "policies" / "night.toml"
    secrets = {
        "AWS_SECRET_ACCESS_KEY": "canary-51",
        "OPENAI_API_KEY": "canary-52",
        "PANTHEON_CANARY": "canary-53",
    }
    with stranger(tmp_path / "s") as (server, path):
        refused = night(repository, PANTHEON_ENDPOINT_UDS=str(path), **secrets)
        assert (refused.returncode, server.head_lines) == (3, []), refused.stderr
        assert "AWS_SECRET_ACCESS_KEY, OPENAI_API_KEY" in refused.stderr and "canary" not in refused.stderr
        told = policy.read_text()
        assert 'credentials = "refuse"' in told
        policy.write_text(told.replace('credentials = "refuse"', 'credentials = "strip"'))
        try:
            stripped = night(repository, PANTHEON_ENDPOINT_UDS=str(path), **secrets)
        finally:
            policy.write_text(told)
        assert stripped.returncode == 0 and server.head_lines, stripped.stderr


@pytest.mark.primitive("bwrap")
def test_a_night_without_a_sandbox_starts_nothing(repository: Path, tmp_path: Path) -> None:
    """A flow that runs tests, and every program but bubblewrap; with it, the night begins (the control)."""
    flow, gate = repository / "flows" / "docops.toml", repository / "policies" / "gate.toml"
    told = {path: path.read_text() for path in (flow, gate)}
    programs = tmp_path / "programs"
    programs.mkdir()
    for folder in ("/usr/bin", "/usr/sbin"):
        for program in os.listdir(folder):
            if program != "bwrap" and not (programs / program).exists():
                (programs / program).symlink_to(f"{folder}/{program}")
    gate.write_text(told[gate] + '\n[tests]\ncommand = ["make", "test"]\nreport = "tap"\nwall_s = 60\n')
    node = '\n[[node]]\nid = "tests"\ngate = "test"\nneeds = ["checks"]\nresources = { cpu = 1 }\n'
    flow.write_text(told[flow] + node)
    try:
        with stranger(tmp_path / "s") as (server, path):
            given = {"PATH": str(programs), "PANTHEON_ENDPOINT_UDS": str(path)}
            without = night(repository, **given)
            assert (without.returncode, server.requests) == (3, []), without.stderr
            assert "bwrap is not installed" in without.stderr
            (programs / "bwrap").symlink_to("/usr/bin/bwrap")
            beside = night(repository, **given)
            assert beside.returncode == 0, beside.stderr
    finally:
        for file, text in told.items():
            file.write_text(text)
