"""Attacks by a repository that brings ``.pantheon`` with it: what earlier nights remember, written by somebody else."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pantheon.adapters.git.repository import NightRepository
from pantheon.core.errors import ConfigError, PreflightError
from pantheon.core.qualification import QUALIFICATIONS_FILE
from pantheon.shell.brought_state import refuse_brought_state
from pantheon.shell.cli.app import COMMANDS, run
from pantheon.shell.config import load_project
from pantheon.shell.repository_checks import repository_problems
from pantheon.shell.wiring import lay_out_repository
from pantheon.testing.clock import FakeClock
from pantheon.testing.qualified import qualify_project
from pantheon.testing.sample_project import play_night
from pantheon.testing.user_repository import git, make_repository


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with everything that ``init`` lays out, committed."""
    root = make_repository(tmp_path / "user", {"docs/a.md": b"a note\n"})
    lay_out_repository(root, {}, dry_run=False)
    commit(root)
    return root


def commit(root: Path) -> None:
    git(root, "add", "-A")
    git(root, "-c", "user.name=M", "-c", "user.email=m@localhost", "commit", "-q", "-m", "laid out")


def forced(root: Path, path: str) -> None:
    git(root, "add", "-f", path)
    commit(root)


def clone_of(root: Path) -> Path:
    """Return what somebody has who clones the repository: nothing but what is tracked."""
    made = root.parent / "clone"
    git(root, "clone", "-q", str(root), str(made))
    (made / ".pantheon").mkdir(exist_ok=True)
    return made


def settings(root: Path) -> None:
    git(root, "init", "-q", "--bare", "--template=", ".pantheon/git")
    with (root / ".pantheon/git/config").open("a") as file:
        file.write("[core]\n\tbigFileThreshold = 1\n")
    (root / ".pantheon/git/refs/keep").write_text("")
    forced(root, ".pantheon/git")


def log(root: Path) -> None:
    (root / ".pantheon/logs").mkdir()
    (root / ".pantheon/logs/signer.log").symlink_to("../../../outside")
    forced(root, ".pantheon/logs/signer.log")


def reviewers(root: Path) -> None:
    qualify_project(root)
    forced(root, f".pantheon/{QUALIFICATIONS_FILE}")


def folder(root: Path) -> None:
    (root / "docs/state").mkdir()
    (root / "docs/state/x").write_text("")
    (root / "elsewhere").symlink_to("docs")
    text = (root / "pantheon.toml").read_text()
    assert 'state = ".pantheon"' in text
    (root / "pantheon.toml").write_text(text.replace('state = ".pantheon"', 'state = "elsewhere/state"'))
    commit(root)


def test_control_what_is_tracked_comes_with_a_clone_and_is_believed(root: Path) -> None:
    """A link in a log's place is followed by who opens it, and invented reviewers are qualified in the clone."""
    log(root)
    reviewers(root)
    clone = clone_of(root)
    with (clone / ".pantheon/logs/signer.log").open("ab") as file:
        file.write(b"x")
    assert (clone.parent / "outside").read_bytes() == b"x"
    assert (clone / ".pantheon" / QUALIFICATIONS_FILE).read_bytes()


def test_control_a_clone_without_it_is_well(root: Path) -> None:
    """What ``init`` lays out ignores itself."""
    project = load_project(clone_of(root))
    assert list(repository_problems(project)) == []
    refuse_brought_state(project)


@pytest.mark.parametrize("brought", [settings, log, reviewers, folder])
def test_what_a_repository_brings_is_not_believed(root: Path, brought: Callable[[Path], None]) -> None:
    """Git's settings, links in the place of logs, qualifications, another folder behind a link: named and refused."""
    brought(root)
    clone = clone_of(root)
    with pytest.raises(PreflightError, match="the repository brings what only this machine's nights may"):
        refuse_brought_state(load_project(clone))
    told = [why for why, _ in repository_problems(load_project(clone))]
    assert told[0].startswith("the repository brings"), "the night and the doctor ask this"
    assert len(told) == (2 if brought is log else 1), "a link is refused, tracked or not"


@pytest.mark.parametrize("words", [("night",), ("server", "start", "--detach")])
def test_nothing_is_started_over_it(root: Path, words: tuple[str, ...]) -> None:
    """Exit code 3, before a file of the state is opened."""
    log(root)
    clone = clone_of(root)
    keys = {"endpoint.kind": "openai", "endpoint.uds": str(clone.parent / "s"), "vllm.model": "."}
    sets = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
    done = subprocess.run(
        [sys.executable, "-m", "pantheon", "-C", str(clone), *sets, *words],
        env={"PATH": "/usr/bin:/bin", "HOME": str(root.parent)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, "signer.log" in done.stderr) == (3, True), json.dumps(done.stderr)
    assert not (clone.parent / "outside").exists()


BY_DAY = {
    "status": ["status"],
    "status as JSON": ["status", "--json"],
    "show": ["show", "note-0000"],
    "gate": ["gate"],
    "gate explain": ["gate", "explain", "note-0000"],
    "review": ["review"],
    "review show": ["review", "show", "note-0000"],
    "report": ["report"],
    "outcomes": ["outcomes"],
    "publish": ["publish"],
    "publish as a bundle": ["publish", "--to", "bundle", "--yes"],
    "undo": ["undo", "note-0000", "--reason", "r"],
    "capacity": ["capacity"],
    "pause": ["pause", "--reason", "r"],
    "resume": ["resume", "--reason", "r"],
    "drain": ["drain", "--reason", "r"],
    "cancel": ["cancel", "note-0001", "--reason", "r"],
    "hold": ["hold", "note-0001", "--reason", "r"],
    "release": ["release", "note-0001", "--reason", "r"],
    "requeue": ["requeue", "note-0002", "--reason", "r"],
    "requeue all": ["requeue", "--failed", "--reason", "r"],
    "enqueue": ["enqueue", "tasks.jsonl"],
    "scope": ["scope", "docops", "docs/*.md"],
    "calibrate": ["review", "calibrate"],
    "server status": ["server", "status"],
    "server stop": ["server", "stop"],
    "server pool": ["server", "pool"],
    "server drain": ["server", "drain", "x", "--reason", "r"],
    "install": ["daemon", "install", "--user", "--dry-run"],
    "daemon": ["daemon"],
    "night": ["night"],
    "containment": ["doctor", "--containment"],
}
"""What a person asks of a repository; each would open what earlier nights left."""
OF_NO_REPOSITORY = {"init", "verify", "signer", "models", "doctor"}
"""Commands that lay out, read a folder or files as untrusted, or serve no repository; and the doctor, who tells."""


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository after a night, with a queue file; its state is nobody's but this machine's."""
    root = make_repository(tmp_path_factory.mktemp("brought") / "user", {"docs/a.md": b"a note\n"})
    lay_out_repository(root, {}, dry_run=False)
    (root / "tasks.jsonl").write_text('{"kind": "docops", "goal": "g", "targets": ["docs/a.md"]}\n')
    commit(root)
    project = load_project(root)
    asyncio.run(play_night(project.database, project.artifacts, 8, close=False))
    return root


def belongs_to_another(clone: Path) -> None:
    os.chown(clone / ".pantheon", 60_325, 60_325)


def open_to_everybody(clone: Path) -> None:
    (clone / ".pantheon").chmod(0o777)


@pytest.mark.parametrize(
    ("how", "name"),
    [("tracked", name) for name in BY_DAY]
    + [
        (how, name)
        for how in ("of another user", "open to everybody")
        for name in ("status", "undo", "night")
    ],
)
def test_nothing_that_a_person_asks_opens_it(
    night: Path, tmp_path: Path, name: str, how: str, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Exit code 3 and the reason, whoever brought it; and no byte of the state is changed."""
    clone = tmp_path / "clone"
    subprocess.run(["cp", "-a", night, clone], check=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    if how == "tracked":
        forced(clone, ".pantheon/pantheon.db")
    else:
        (belongs_to_another if how == "of another user" else open_to_everybody)(clone)
    before = state_of(clone)
    monkeypatch.chdir(clone)
    assert run(["-C", str(clone), *BY_DAY[name]]) == PreflightError.exit_code
    told = capfd.readouterr().err
    assert "what only this machine's nights may have written" in told or "what nights remember" in told
    assert state_of(clone) == before
    assert not (tmp_path / "config").exists() and not (tmp_path / "state").exists()


def state_of(root: Path) -> dict[str, bytes]:
    """Return what a state holds."""
    return {
        str(path): path.read_bytes() for path in sorted((root / ".pantheon").rglob("*")) if path.is_file()
    }


@pytest.mark.parametrize(
    "name", ["status", "show", "gate explain", "review show", "report", "capacity", "requeue"]
)
def test_control_the_same_is_answered_where_it_is_this_machines(
    night: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Untracked, this user's and closed to others: whoever asks is answered from it."""
    clone = tmp_path / "clone"
    subprocess.run(["cp", "-a", night, clone], check=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert run(["-C", str(clone), *BY_DAY[name]]) in (0, 1)


def test_control_whose_the_repository_is_may_let_another_work_in_it(
    night: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a service's user does; here the user is only asked for, nobody becomes it. A third one's state is refused."""
    clone = tmp_path / "clone"
    subprocess.run(["cp", "-a", night, clone], check=True)
    monkeypatch.setattr(os, "geteuid", lambda: 60_326)
    refuse_brought_state(load_project(clone))
    belongs_to_another(clone)
    with pytest.raises(PreflightError, match="#60325"):
        refuse_brought_state(load_project(clone))


def given_to(clone: Path, repository: int, state: int) -> None:
    os.chown(clone, repository, repository)
    for path in (clone / ".pantheon", *(clone / ".pantheon").iterdir()):
        os.chown(path, state, state)


def refused(clone: Path) -> str:
    """Return why a state is refused, with what to do; nothing where it is believed."""
    try:
        refuse_brought_state(load_project(clone))
    except PreflightError as error:
        return f"{error.message}. {error.hint}"
    return ""


def test_root_believes_no_repository_of_somebody_else(
    night: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless its owner asked sudo for root, or root named him outside of the repository; the hint says how."""
    clone = tmp_path / "clone"
    subprocess.run(["cp", "-a", night, clone], check=True)
    monkeypatch.delenv("SUDO_UID", raising=False)
    assert refused(clone) == "", "the control"
    given_to(clone, 60_325, 60_325)
    assert "belongs to #60325" in refused(clone) and "sudo -u #60325" in refused(clone)
    monkeypatch.setenv("SUDO_UID", "60326")
    assert "belongs to #60325" in refused(clone), "root that somebody else asked for"
    monkeypatch.setenv("SUDO_UID", "60325")
    assert refused(clone) == ""
    monkeypatch.delenv("SUDO_UID")
    monkeypatch.setenv("PANTHEON_TRUSTED_USERS", "nobody, #60325")
    assert refused(clone) == ""
    monkeypatch.setenv("SUDO_UID", "60325")
    monkeypatch.setenv("PANTHEON_TRUSTED_USERS", "nobody")
    monkeypatch.setattr(os, "geteuid", lambda: 60_326)
    given_to(clone, 60_327, 60_325)
    assert "belongs to #60325" in refused(clone), "who is not root is asked by nobody through sudo"


def test_a_file_of_somebody_else_in_a_state_of_ours_is_refused(night: Path, tmp_path: Path) -> None:
    """As an archive that was unpacked by root leaves it."""
    clone = tmp_path / "clone"
    subprocess.run(["cp", "-a", night, clone], check=True)
    os.chown(clone / ".pantheon" / "pantheon.db", 60_325, 60_325)
    assert "pantheon.db belongs to #60325" in refused(clone)


def test_no_hint_leads_in_a_circle(night: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After one ``sudo pantheon init`` its owner is told to take the state, not to be root; then both may work."""
    clone = tmp_path / "clone"
    subprocess.run(["cp", "-a", night, clone], check=True)
    given_to(clone, 60_325, 0)
    with monkeypatch.context() as alice:
        alice.setattr(os, "geteuid", lambda: 60_325)
        assert "sudo chown -R #60325 .pantheon" in refused(clone)
        assert "sudo -u" not in refused(clone)
        given_to(clone, 60_325, 60_325)
        assert refused(clone) == ""
    monkeypatch.setenv("SUDO_UID", "60325")
    assert refused(clone) == ""


def test_where_a_file_system_keeps_no_modes_that_is_said(
    night: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hint to change the mode would mend nothing there: another disk, or a word outside of the repository."""
    clone = tmp_path / "clone"
    subprocess.run(["cp", "-a", night, clone], check=True)
    open_to_everybody(clone)
    assert "chmod 700" in refused(clone), "the control"
    monkeypatch.setenv("PANTHEON_TRUSTED_USERS", "*")
    assert "chmod 700" in refused(clone), "where modes are kept nobody's word is needed"
    monkeypatch.delenv("PANTHEON_TRUSTED_USERS")
    monkeypatch.setattr(Path, "chmod", lambda *_: None)
    told = refused(clone)
    assert (
        "cannot be changed" in told
        and "keeps no modes" in told
        and "chmod" not in told
        and "PANTHEON_TRUSTED_USERS=*" in told
    )
    monkeypatch.setenv("PANTHEON_TRUSTED_USERS", "*")
    assert refused(clone) == ""


def test_every_command_that_works_with_a_repository_is_asked() -> None:
    """A new command needs its words here, or a reason why it opens no state."""
    assert {words[0] for words in BY_DAY.values()} | OF_NO_REPOSITORY == set(COMMANDS)


def test_the_doctor_says_what_is_wrong_and_opens_nothing(
    night: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing else of the project is looked at: neither the store, nor whom a server's record names."""
    clone = tmp_path / "clone"
    subprocess.run(["cp", "-a", night, clone], check=True)
    run(["-C", str(clone), "doctor", "--json"])
    assert "store" in checks(capfd.readouterr().out), "the control"
    forced(clone, ".pantheon/pantheon.db")
    assert run(["-C", str(clone), "doctor", "--json"]) == PreflightError.exit_code
    found = checks(capfd.readouterr().out)
    assert "this machine's nights" in found["repository"]["message"]
    assert not {"store", "batches", "key", "reviewers", "server"} & set(found)


LINKS = ("git", "trees", "trees/00", "trees/00.index", "git/config", "git/info", "git/info/attributes",
         "git/objects/ab", "git/objects/info/alternates", "logs", "logs/signer.log", "pantheon.db", "base_runs/x.json",
         "publish")  # fmt: skip


@pytest.mark.parametrize("place", LINKS)
def test_a_state_that_leads_elsewhere_is_refused(night: Path, tmp_path: Path, place: str) -> None:
    """Unpacked rather than cloned, so that nothing is tracked and all of it is this user's: a link refuses it."""
    clone, victim = tmp_path / "clone", tmp_path / "victim"
    subprocess.run(["cp", "-a", night, clone], check=True)
    refuse_brought_state(load_project(clone))
    victim.mkdir()
    (victim / "precious").write_text("mine")
    path = clone / ".pantheon" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        path.unlink()
    path.symlink_to(victim)
    with pytest.raises(PreflightError, match=f"{place.split('/')[0]}.*|symbolic link"):
        refuse_brought_state(load_project(clone))
    assert run(["-C", str(clone), "undo", "note-0000", "--reason", "r"]) == PreflightError.exit_code
    assert (victim / "precious").read_text() == "mine"


def test_a_state_that_is_a_link_is_refused_in_words(root: Path) -> None:
    """Inside the repository too: each lock in it would fail, and not say why."""
    load_project(root)
    (root / ".pantheon").rename(root / "kept")
    (root / ".pantheon").symlink_to("kept")
    with pytest.raises(ConfigError, match=r"folders\.state: .* is a symbolic link") as refused:
        load_project(root)
    assert "folders.state" in (refused.value.hint or "")


async def test_control_a_work_tree_that_is_a_link_would_be_cleaned(root: Path, tmp_path: Path) -> None:
    """Why links are refused: whoever leases a tree makes its folder equal to a commit."""
    victim = tmp_path / "victim"
    await asyncio.to_thread(victim.mkdir)
    (victim / "precious").write_text("mine")
    await asyncio.to_thread((tmp_path / "state" / "trees").mkdir, parents=True)
    (tmp_path / "state" / "trees" / "00").symlink_to(victim)
    (tmp_path / "state" / "trees" / "00.state").write_text('{"owner": "somebody", "open_at": null}')
    repository = await NightRepository.open(root, tmp_path / "state", trees=1, clock=FakeClock())
    async with repository.work_tree(await repository.resolve("HEAD")):
        assert "precious" not in await asyncio.to_thread(os.listdir, victim), "the control"


ORDERS = ("pause", "resume", "drain", "cancel", "hold", "release", "requeue")


def damaged_index(clone: Path) -> None:
    (clone / ".git" / "index").write_bytes(b"DIRC torn")


def lock_of_an_editor(clone: Path) -> None:
    (clone / ".pantheon" / "logs").mkdir(exist_ok=True)
    (clone / ".pantheon" / "logs" / ".#signer.log").symlink_to("m@host.1:2")


@pytest.mark.parametrize("harm", [damaged_index, lock_of_an_editor])
@pytest.mark.parametrize("name", ["status", *ORDERS])
def test_a_night_is_found_and_stopped_whatever_lies_beside_its_store(
    night: Path, tmp_path: Path, name: str, harm: Callable[[Path], None], capfd: pytest.CaptureFixture[str]
) -> None:
    """A damaged index, or a link that no order opens: said and no hindrance, while a night is not begun over it."""
    clone = tmp_path / "clone"
    subprocess.run(["cp", "-a", night, clone], check=True)
    before = run(["-C", str(clone), *BY_DAY[name], *(["--dry-run"] if name != "status" else [])])
    assert "warning" not in capfd.readouterr().err, "the control"
    harm(clone)
    after = run(["-C", str(clone), *BY_DAY[name], *(["--dry-run"] if name != "status" else [])])
    told = capfd.readouterr().err
    assert after == before and PreflightError.exit_code != after
    assert "warning: " in told
    assert run(["-C", str(clone), "undo", "note-0000", "--reason", "r"]) != 0, "what opens more is refused"


@pytest.mark.parametrize("place", ["pantheon.db", "pantheon.db-wal", "pantheon.db.lock"])
def test_an_order_opens_no_store_that_leads_elsewhere(night: Path, tmp_path: Path, place: str) -> None:
    """A link in the place of the store, its log or its lock refuses the orders as it does everything."""
    clone = tmp_path / "clone"
    subprocess.run(["cp", "-a", night, clone], check=True)
    assert run(["-C", str(clone), "status"]) == 0, "the control"
    (clone / ".pantheon" / place).unlink(missing_ok=True)
    (clone / ".pantheon" / place).symlink_to(night / ".pantheon" / "pantheon.db")
    for name in ("status", "drain"):
        assert run(["-C", str(clone), *BY_DAY[name]]) == PreflightError.exit_code


def checks(told: str) -> dict[str, dict[str, str]]:
    """Return what the doctor found, by check."""
    return {one["check"]: one for one in json.loads(told)["checks"]}


def test_settings_in_a_folder_below_the_top_bring_no_state_either(tmp_path: Path) -> None:
    """A ``pantheon.toml`` in a folder of the repository, with a state beside it that is tracked."""
    root = make_repository(tmp_path / "user", {"docs/a.md": b"a note\n"})
    lay_out_repository(root, {}, dry_run=False)
    below = root / "below"
    below.mkdir()
    (below / "pantheon.toml").write_bytes((root / "pantheon.toml").read_bytes())
    refuse_brought_state(load_project(below))
    (below / ".pantheon").mkdir()
    (below / ".pantheon" / "pantheon.db").write_bytes(b"x")
    forced(root, "below")
    with pytest.raises(PreflightError, match=r"below/\.pantheon/pantheon\.db"):
        refuse_brought_state(load_project(below))
