"""Code in the sandbox reads and writes its candidate tree and nothing else: no secret, no key, no ``.git``."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pantheon.core.errors import SandboxError

OTHER_USER = 60_321
pytestmark = pytest.mark.primitive("bwrap", "seccomp")

SECRET = "-----BEGIN PRIVATE KEY----- canary-51ab"


@pytest.fixture
def secret() -> Iterator[Path]:
    """A key that every user of the machine could read, in a folder that everybody can enter."""
    folder = Path(tempfile.mkdtemp(prefix="pantheon-secret-"))
    folder.chmod(0o755)
    key = folder / "night.key"
    key.write_text(SECRET)
    key.chmod(0o666)
    try:
        yield key
    finally:
        shutil.rmtree(folder)


async def test_no_file_of_the_machine_is_read_or_written(confined, secret: Path) -> None:
    """A key outside the tree: by its path, through /proc, upwards, by a link. Outside every way leads to it."""
    paths = (str(secret), "/etc/shadow", "/etc/machine-id", "/proc/kcore", "/dev/vda", "/dev/sda")
    writes = (
        str(secret), "/usr/x", "/usr/bin/sh", "/etc/passwd", "/etc/ld.so.preload", "/x", "/dev/x",
        "/proc/sys/kernel/core_pattern", "/proc/x", "/sys/x", "/run/x", "/var/x",
    )  # fmt: skip
    control = confined.outside("files", str(secret), "--", str(secret))
    assert [text for _, text in control["read"]] == [SECRET] * 5 and control["written"] == [str(secret)]
    assert {"home", "root", "run"} <= set(control["listed"]["/"])

    found = await confined.inside("files", *paths, "--", *writes)
    assert found["read"] == []
    assert found["written"] == []
    assert set(found["listed"]["/"]) <= {
        "bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "tmp", "usr", "work",
    }  # fmt: skip
    assert set(found["listed"]) == {"/", "/etc", "/tmp", "/dev"}
    assert set(found["listed"]["/etc"]) <= {
        "alternatives", "group", "hosts", "ld.so.cache", "localtime", "nsswitch.conf", "passwd",
    }  # fmt: skip
    assert found["listed"]["/tmp"] == []


async def test_the_tree_itself_can_be_written(confined) -> None:
    """What the program writes is there afterwards, and the next program finds it."""
    first = await confined.run("/usr/bin/touch", "/work/one")
    second = await confined.run("/usr/bin/cp", "one", "two")
    assert first.succeeded and second.succeeded, (first, second)
    assert {path.name for path in confined.tree.iterdir()} == {"one", "two"}


async def test_what_is_in_tmp_is_gone_with_the_program(confined) -> None:
    """/tmp is private to one run."""
    assert (await confined.run("/usr/bin/touch", "/tmp/left")).succeeded
    assert (await confined.run("/usr/bin/ls", "/tmp/left")).returncode == 2


@pytest.mark.parametrize("kind", ["folder", "file", "absent"])
async def test_the_trees_git_cannot_be_used(confined, kind: str) -> None:
    """No configuration, hook or other .git of a program's making is there afterwards, whatever was there before.

    Outside the same attempts go.
    """

    def lay(tree: Path, user: int) -> Path:
        tree.mkdir(exist_ok=True)
        place = tree / ".git"
        if kind == "folder":
            place.mkdir()
            (place / "config").write_text("[core]\n")
            (place / "HEAD").write_text("ref: refs/heads/main\n")
            os.chown(place / "config", user, user)
            os.chown(place / "HEAD", user, user)
        elif kind == "file":
            place.write_text("gitdir: /nowhere\n")
        if kind != "absent":
            os.chown(place, user, user)
        return place

    lay(confined.free, OTHER_USER)
    control = confined.outside("git")
    wanted = {"folder": "write a hook", "file": "write it as a file", "absent": "make it anew as a folder"}
    assert wanted[kind] in control and "rename it" in control, control

    place = lay(confined.tree, confined.user)
    assert await confined.inside("git") == []
    if kind == "folder":
        assert (place / "config").read_text() == "[core]\n"
        assert {path.name for path in place.iterdir()} == {"config", "HEAD"}
    elif kind == "file":
        assert place.read_text() == "gitdir: /nowhere\n"
    else:
        assert not place.exists()


@pytest.mark.parametrize("kind", ["link", "broken link", "fifo"])
async def test_a_git_that_no_git_makes_is_refused(confined, tmp_path: Path, kind: str) -> None:
    """A link called .git would lead the mount out of the tree: nothing is started."""
    place = confined.tree / ".git"
    if kind == "fifo":
        os.mkfifo(place)
    else:
        place.symlink_to(tmp_path if kind == "link" else "/nowhere")
    aside = place.rename(confined.tree.parent / "aside")
    assert (await confined.run("/usr/bin/touch", "runs")).succeeded, "the control: without it a program runs"
    aside.rename(place)
    with pytest.raises(SandboxError, match="neither a folder nor a file"):
        await confined.run("/usr/bin/touch", "ran")
    assert not (confined.tree / "ran").exists()


async def test_a_tree_behind_a_link_is_refused(confined) -> None:
    """Somebody could turn the link between looking and mounting."""
    link = confined.tree.parent / "link"
    link.symlink_to(confined.tree)
    confined.tree = link
    with pytest.raises(SandboxError, match="without links"):
        await confined.run("/usr/bin/true")


async def test_a_hard_link_to_an_outside_file_gives_nothing(confined, secret: Path) -> None:
    """Of a file with a second name outside the tree not even the owner is changed."""
    os.chmod(secret, 0o600)
    os.link(secret, confined.tree / "linked")
    found = await confined.run("/usr/bin/cat", "/work/linked")
    assert found.returncode != 0 and SECRET.encode() not in found.stdout
    assert os.stat(secret).st_uid == 0
