"""Git as the daemon runs it: whatever a repository, a work tree or a user's configuration holds, none of it runs."""

import ast
import asyncio
import os
import pty
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import pantheon.adapters.git
from pantheon.adapters.git import landed, listing
from pantheon.adapters.git.command import GitRunner
from pantheon.adapters.git.history import open_history
from pantheon.adapters.git.pooled_tree import PooledTree
from pantheon.adapters.git.repository import NightRepository
from pantheon.core.errors import GitError, MergeConflictError
from pantheon.testing.clock import FakeClock
from pantheon.testing.user_repository import make_repository

pytestmark = pytest.mark.primitive("git")

NIGHT = "pantheon/night-x"


class Vector(NamedTuple):
    """One way in which git runs what a repository says."""

    settings: dict[str, str]
    """Key → value; ``{evil}`` is the script, ``{place}`` the user's repository."""
    control: tuple[str, ...]
    """A command of plain git that runs the script."""
    attributes: str = ""
    given: bytes = b""
    """The command's standard input."""


COMMIT = ("commit", "--allow-empty", "-m", "x")
VECTORS = {
    "core.fsmonitor": Vector({"core.fsmonitor": "{evil}"}, ("status",)),
    "hooks": Vector({}, COMMIT),
    "core.hooksPath": Vector({"core.hooksPath": "{place}/evil-hooks"}, COMMIT),
    "filter.clean": Vector({"filter.x.clean": "{evil}"}, ("add", "a.md"), "* filter=x\n"),
    "filter.smudge": Vector({"filter.x.smudge": "{evil}"}, ("checkout-index", "-f", "-a"), "* filter=x\n"),
    "filter.process": Vector(
        {"filter.x.process": "{evil}", "filter.x.required": "true"}, ("add", "a.md"), "* filter=x\n"
    ),
    "textconv": Vector({"diff.x.textconv": "{evil}"}, ("diff",), "* diff=x\n"),
    "diff.command": Vector({"diff.x.command": "{evil}"}, ("diff",), "* diff=x\n"),
    "diff.external": Vector({"diff.external": "{evil}"}, ("diff",)),
    "merge driver": Vector(
        {"merge.x.driver": "{evil} %A", "merge.x.name": "x"}, ("merge", "-m", "m", "other"), "* merge=x\n"
    ),
    "merge.default": Vector(
        {"merge.x.driver": "{evil} %A", "merge.default": "x"}, ("merge", "-m", "m", "other")
    ),
    "gpg.program": Vector({"gpg.program": "{evil}", "commit.gpgSign": "true"}, COMMIT),
    "log.showSignature": Vector({"gpg.program": "{evil}", "log.showSignature": "true"}, ("log", "signed")),
    "gpg.ssh.program": Vector({"gpg.format": "ssh", "gpg.ssh.program": "{evil}", "user.signingKey": "k",
                               "commit.gpgSign": "true"}, COMMIT),
    "include.path": Vector({"include.path": "{place}/evil.include"}, ("status",)),
    "includeIf": Vector({"includeIf.gitdir:/.path": "{place}/evil.include"}, ("status",)),
    "remote.uploadpack": Vector(
        {"remote.origin.url": "{place}", "remote.origin.uploadpack": "{evil}"}, ("fetch", "origin")
    ),
    "lazy fetch": Vector(
        {"remote.origin.url": "{place}", "remote.origin.uploadpack": "{evil}", "remote.origin.promisor": "true",
         "extensions.partialClone": "origin", "core.repositoryFormatVersion": "1", "protocol.file.allow": "always"},
        ("cat-file", "-p", "5" * 40),
    ),
    "ext transport": Vector(
        {"remote.origin.url": "ext::{evil} %S", "remote.origin.promisor": "true", "protocol.ext.allow": "always",
         "extensions.partialClone": "origin", "core.repositoryFormatVersion": "1"},
        ("cat-file", "-p", "5" * 40),
    ),
    "credential.helper": Vector(
        {"credential.helper": "!{evil}"}, ("credential", "fill"), given=b"protocol=https\nhost=x.invalid\n\n"
    ),
    "core.sshCommand": Vector({"core.sshCommand": "{evil}"}, ("ls-remote", "ssh://127.0.0.1/x")),
    "core.gitProxy": Vector({"core.gitProxy": "{evil}"}, ("ls-remote", "git://127.0.0.1/x")),
    "core.pager": Vector({"core.pager": "{evil}"}, ("--paginate", "log")),
    "pager.log": Vector({"pager.log": "{evil}"}, ("log",)),
    "core.editor": Vector({"core.editor": "{evil}"}, ("commit", "--allow-empty")),
    "alias": Vector({"alias.x": "!{evil}"}, ("x",)),
    "trailer.cmd": Vector({"trailer.x.cmd": "{evil}"}, ("interpret-trailers", "--trailer", "x")),
    "core.alternateRefsCommand": Vector(
        {"core.alternateRefsCommand": "{evil}"}, ("log", "--alternate-refs")
    ),
}  # fmt: skip


class User:
    """A repository with two branches that differ, and a script that tells when it is run."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "user"
        self.state = folder / "state"
        self.home = folder / "home"
        self.marker = folder / "marker"
        self.evil = folder / "evil.sh"
        self.settings: tuple[str, ...] = ()
        self.home.mkdir()
        self.evil.write_text(f"#!/bin/sh\ntouch {self.marker}\nexit 0\n")
        self.evil.chmod(0o755)
        for name in ("user", "other"):
            self.plain("init", "-q", "-b", "main", str(folder / name), cwd=folder)
        self.plain("commit", "-q", "--allow-empty", "-m", "there", cwd=folder / "other")
        for path, data in {"a.md": b"1\n2\n3\n", "docs/b.md": b"one\n", "c.txt": b"c\n"}.items():
            (self.root / path).parent.mkdir(exist_ok=True)
            (self.root / path).write_bytes(data)
        self.plain("add", "-A")
        self.plain("commit", "-q", "-m", "start")
        self.plain("branch", "other")
        (self.root / "a.md").write_bytes(b"1\n2\nmain\n")
        self.plain("commit", "-q", "-a", "-m", "main")
        self.plain("checkout", "-q", "other")
        (self.root / "a.md").write_bytes(b"1\n2\nother\n")
        self.plain("commit", "-q", "-a", "-m", "other")
        self.plain("checkout", "-q", "main")
        self._make_signed()

    def _make_signed(self) -> None:
        """Leave a commit, at the branch ``signed``, that says it is signed."""
        head, _, body = self.plain("cat-file", "commit", "main").partition("\n\n")
        signed = (
            f"{head}\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n iQ==\n -----END PGP SIGNATURE-----\n\n{body}"
        )
        name = self.plain("hash-object", "-t", "commit", "-w", "--stdin", given=signed.encode()).strip()
        self.plain("update-ref", "refs/heads/signed", name)

    def plain(self, *args: str, cwd: Path | None = None, given: bytes = b"", rc: int | None = 0) -> str:
        """Run git as the user would, on a terminal where it is about pagers."""
        tty = any("pager" in part for part in (*args, *self.settings))
        ours, theirs = pty.openpty()
        try:
            done = subprocess.run(
                ["git", *args], cwd=cwd or self.root, input=given, stderr=subprocess.PIPE,
                stdout=theirs if tty and rc is None else subprocess.PIPE, timeout=60, check=False,
                env={"PATH": os.environ["PATH"], "HOME": str(self.home), "GIT_AUTHOR_NAME": "U", "TERM": "dumb",
                     "GIT_COMMITTER_NAME": "U", "GIT_AUTHOR_EMAIL": "u@x", "GIT_COMMITTER_EMAIL": "u@x",
                     "GIT_TERMINAL_PROMPT": "0"},
            )  # fmt: skip
        finally:
            os.close(ours)
            os.close(theirs)
        assert rc is None or done.returncode == rc, args
        return (done.stdout or b"").decode()

    def fill(self, text: str) -> str:
        """Name the script and the repository."""
        return text.format(evil=self.evil, place=self.root)

    def plant(self, name: str, config: Path | None = None) -> None:
        """Put a vector into the user's repository, its settings into ``config`` if given."""
        vector = VECTORS[name]
        self.settings += tuple(vector.settings)
        where = ("--file", str(config)) if config else ("--local",)
        for key, value in vector.settings.items():
            self.plain("config", *where, key, self.fill(value))
        for folder in [self.root / ".git" / "hooks"] if name == "hooks" else [self.root / "evil-hooks"]:
            plant_hooks(folder, self.evil)
        (self.root / "evil.include").write_text(f"[core]\n\tfsmonitor = {self.evil}\n")
        (self.root / ".gitattributes").write_text(vector.attributes)
        quiet = ("-c", "core.hooksPath=/dev/null", "-c", "filter.x.process=", "-c", "filter.x.required=false",
                 "-c", "core.fsmonitor=false", "-c", "commit.gpgSign=false")  # fmt: skip
        self.plain(*quiet, "add", ".gitattributes")
        self.plain(*quiet, "commit", "-q", "--allow-empty", "-m", "attributes")
        self.marker.unlink(missing_ok=True)


def plant_hooks(folder: Path, evil: Path) -> None:
    """Make the script every hook that git knows of."""
    folder.mkdir(exist_ok=True)
    for hook in (
        "pre-commit", "prepare-commit-msg", "commit-msg", "post-commit", "pre-rebase", "post-checkout", "post-merge",
        "pre-push", "pre-receive", "update", "proc-receive", "post-receive", "post-update", "reference-transaction",
        "push-to-checkout", "pre-auto-gc", "post-rewrite", "fsmonitor-watchman", "post-index-change",
        "applypatch-msg", "pre-applypatch", "post-applypatch", "sendemail-validate", "pre-merge-commit",
    ):  # fmt: skip
        (folder / hook).unlink(missing_ok=True)
        (folder / hook).symlink_to(evil)


class Called:
    """Which commands of git the daemon ran."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commands: set[str] = set()
        run, plain, found = GitRunner.run, listing._git, landed._git

        async def spied(runner: GitRunner, *args: str, **rest: Any) -> tuple[int, bytes]:
            self.commands.add(args[0])
            return await run(runner, *args, **rest)

        def spied_listing(*args: str, **rest: Any) -> bytes:
            self.commands.add(args[0])
            return plain(*args, **rest)

        def spied_landed(root: Path, *args: str) -> tuple[int, bytes]:
            self.commands.add(args[0])
            return found(root, *args)

        monkeypatch.setattr(landed, "_git", spied_landed)
        monkeypatch.setattr(GitRunner, "run", spied)
        monkeypatch.setattr(listing, "_git", spied_listing)


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


def run(command: Sequence[str | Path], **rest: Any) -> None:
    """Run a program in the environment of this process, whatever it answers."""
    subprocess.run(command, check=False, capture_output=True, timeout=60, **rest)


@asynccontextmanager
async def opened(user: User) -> AsyncIterator[NightRepository]:
    """Open the repository as a night does."""
    yield await NightRepository.open(user.root, user.state, trees=3, clock=FakeClock())


async def whole_night(user: User, planted: Callable[[Path], None] = lambda folder: None) -> bytes:
    """Make every call of git that the daemon makes, and return a diff.

    Args:
        user: the repository.
        planted: puts something into each work tree that is leased.
    """
    assert listing.git_version() > (2, 38)
    assert listing.find_work_tree(user.root) == user.root
    assert any(one.path == "docs/b.md" for one in listing.list_work_tree(user.root))
    async with opened(user) as repository:
        base = await repository.resolve("main")
        assert listing.head_commit(user.root) == await repository.resolve("HEAD")
        async with repository.work_tree(base) as tree:
            planted(user.state / "trees" / "00")
            tree.files.write_bytes("docs/b.md", b"changed\n")
            head = await tree.commit("Change\n\nPantheon-Operation: x\n")
        async with repository.work_tree(head) as tree:  # a checkout by delta, of what the process left
            assert isinstance(tree, PooledTree)
            planted(tree.folder)
            (tree.folder / "a.md").write_bytes(b"1\n2\nnight\n")
            (tree.folder / "new.md").write_bytes(b"new\n")
            second = await tree.commit("Second\n")
        async with repository.work_tree(base) as tree:
            planted(user.state / "trees" / "00")
            tree.files.write_bytes("c.txt", b"third\n")
            third = await tree.commit("Third\n")
        assert await repository.read_file(await repository.merge([second, third]), "c.txt") == b"third\n"
        other = await repository.resolve("other")
        with pytest.raises(MergeConflictError):
            await repository.merge([second, other])
        signed = await repository.resolve("signed")
        assert await repository.trailer_values(base, head, "Pantheon-Operation") == ("x",)
        assert await repository.find_text(head, ["changed"]) == ("docs/b.md",)
        assert "docs/b.md" in await repository.list_files(head)
        top = await repository.commit_tree_of(
            second, base, "On top\n\nPantheon-Task: t\nPantheon-Night: a\u2028b\x85c\x1cd\n"
        )
        assert await repository.tree_of(top) == await repository.tree_of(second)
        await repository.publish(NIGHT, top, old=None, base=base)
        user.plain(
            "-c",
            "core.hooksPath=/dev/null",
            "update-ref",
            "refs/heads/pantheon/night-s",
            signed,
            cwd=user.root,
        )
        assert await repository.find_landed("pantheon/night-s", f"{signed}~1", "Pantheon-Task", "t") is None
        assert await repository.find_landed(NIGHT, base, "Pantheon-Task", "t") == top
        assert [one.id for one in landed.read_landed(user.root, NIGHT, base) or ()] == [top]
        assert landed.read_landed(user.root, "pantheon/night-none", base) is None
        with suppress(GitError):
            landed.read_landed(user.root, NIGHT, "5" * 40)
        with pytest.raises(GitError):
            await repository.resolve("5" * 40)
        with pytest.raises(GitError):
            await repository.find_landed(NIGHT, "5" * 40, "Pantheon-Task", "t")
        assert [one.path for one in await repository.changed_paths(base, second)]
        diff = await repository.diff(base, second)
    await the_day_after(user, base, top)
    await killed_in_a_lease(user, base)
    async with opened(user) as repository:
        assert await repository.branch(NIGHT) == top
    return diff


async def the_day_after(user: User, base: str, top: str) -> None:
    """Make every call of git that commands of the day make."""
    async with open_history(user.root, user.state, FakeClock()) as history:
        assert await history.head() == "refs/heads/main"
        assert f"refs/heads/{NIGHT}" in [one.name for one in await history.branches()]
        assert [one.id for one in await history.commits(f"refs/heads/{NIGHT}", without=(base,))] == [top]
        assert [one.commit.id for one in await history.past(top, 1)] == [top]
        assert await history.contains(top) == (f"refs/heads/{NIGHT}",)
        assert "a.md" in await history.paths(base, top)
        assert "a.md" in [one.path for one in await history.left_files(base, top)]
        assert "a.md" in await history.contents(top)
        assert await history.renames(base, top) == {}
        assert await history.lines_left(top, top, "a.md")
        blob = (await history.contents(top))["a.md"]
        assert await history.find_contents(top, base, {"a.md": blob}) == top
        made = await history.commit(await history.pick(base, top, base), base, "Picked\n")
        await history.move("pantheon/published", made, old=None, base=base)
        await history.write_bundle(user.state / "x.bundle", [("pantheon/published", made)], base)
        assert [name for name, _ in await history.patches(base, made)] == ["0001-Picked.patch"]
    user.plain("-c", "core.hooksPath=/dev/null", "update-ref", "-d", "refs/heads/pantheon/published")


async def killed_in_a_lease(user: User, base: str) -> None:
    """Leave a work tree as a killed night does, so that the next one keeps what is in it."""
    (user.state / "trees" / "00" / "left.md").write_bytes(b"left\n")
    (user.state / "trees" / "00.state").write_text(f'{{"owner": "dead", "open_at": "{base}"}}')


def test_every_call_of_git_is_attacked(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands that the source names are those that the attacks below go through; a new one must be added."""
    named: set[str] = set()
    for path in Path(pantheon.adapters.git.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = (
                    node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                )
                if name in ("run", "text", "ask", "_git") and isinstance(node.args[0].value, str):
                    named.add(node.args[0].value)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "_git" and path.name == "landed.py":
                named.add(ast.literal_eval(node.args[1]))
    called = Called(monkeypatch)
    asyncio.run(whole_night(user))
    assert {"ls-files", "update-ref", "unpack-objects", "add", "fast-import", "merge-tree"} <= named
    assert called.commands == named
    starters = {"subprocess", "create_subprocess_exec", "create_subprocess_shell", "Popen"}
    for path in Path(pantheon.adapters.__path__[0]).rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "find_git" in text and path.name not in ("command.py", "listing.py", "landed.py", "forge.py"):
            assert not any(word in text for word in starters), f"{path} runs git past the known doors"


@pytest.mark.parametrize("name", VECTORS)
async def test_what_the_users_repository_says_is_not_run(user: User, name: str) -> None:
    """In its configuration, its hooks and its attributes; plain git runs it (the control)."""
    user.plant(name)
    vector = VECTORS[name]
    (user.root / "a.md").write_bytes(b"1\n2\ndirty\n")
    if "merge" in vector.control:
        user.plain("checkout", "-q", "--", "a.md")
    if "--alternate-refs" in vector.control:
        (user.root / ".git/objects/info/alternates").write_text(f"{user.root.parent}/other/.git/objects\n")
    user.plain(*vector.control, given=vector.given, rc=None)
    assert user.marker.exists(), "the control: plain git runs it"
    (user.root / ".git/index.lock").unlink(missing_ok=True)
    if "merge" in vector.control:
        user.plain("reset", "-q", "--hard", "HEAD~1")
    user.marker.unlink()
    diff = await whole_night(user)
    assert b"-one\n+changed\n" in diff and b"+night\n" in diff
    assert not user.marker.exists()


IN_OUR_OWN = ("core.fsmonitor", "hooks", "core.hooksPath", "filter.clean", "filter.process", "merge driver",
              "merge.default", "include.path", "lazy fetch", "ext transport")  # fmt: skip


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("name", IN_OUR_OWN)
async def test_what_the_nights_own_directory_was_brought_with_is_not_run(
    user: User, name: str, elsewhere: bool
) -> None:
    """The same in the directory of candidates, as a copied state would bring it; plain git runs it (the control)."""
    own = user.state / "git"
    user.state.mkdir()
    user.plain("init", "-q", "--bare", "--template=", str(own), cwd=user.state)
    config = user.root / ".git" / "config"
    before = await asyncio.to_thread(config.read_bytes)
    user.plant(name, own / "config")
    vector = VECTORS[name]
    assert await asyncio.to_thread(config.read_bytes) == before
    (own / "info").mkdir(exist_ok=True)
    (own / "info" / "attributes").write_text(vector.attributes or "* filter=x diff=x merge=x\n")
    (own / "hooks").mkdir(exist_ok=True)
    plant_hooks(own / "hooks", user.evil)
    user.plain(
        "--git-dir", str(own), "--work-tree", str(user.root), *vector.control, given=vector.given, rc=None
    )
    ran = user.marker.exists()
    assert ran or name not in ("core.fsmonitor", "include.path"), "the control: plain git runs it"
    if elsewhere:
        other = user.state.parent / "common"
        await asyncio.to_thread(shutil.copytree, own, other, symlinks=True)
        (own / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n")
        (own / "commondir").write_text(f"{other}\n")
    user.marker.unlink(missing_ok=True)
    assert b"-one\n+changed\n" in await whole_night(user)
    assert not user.marker.exists()


@pytest.mark.parametrize("place", ["home", "environment", "exec path"])
async def test_what_the_machine_says_is_not_run(
    user: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """In the user's own and the system's configuration, in variables, and by another git's helper programs."""
    system = tmp_path / "system.gitconfig"
    for name in (
        "core.fsmonitor",
        "diff.external",
        "gpg.program",
        "core.editor",
        "filter.clean",
        "core.hooksPath",
    ):
        user.plant(name, config=system)
    (tmp_path / "attributes").write_text("* filter=x diff=x merge=x\n")
    user.plain("config", "--file", str(system), "core.attributesFile", str(tmp_path / "attributes"))
    user.marker.unlink(missing_ok=True)
    (user.root / "a.md").write_bytes(b"1\n2\ndirty\n")
    variables = {"HOME": str(user.home)}
    if place == "home":
        (user.home / ".gitconfig").write_bytes(system.read_bytes())
        variables |= {"GIT_CONFIG_SYSTEM": str(system), "GIT_CONFIG_GLOBAL": str(system)}
    elif place == "environment":
        evil = str(user.evil)
        variables |= {
            "GIT_EXTERNAL_DIFF": evil, "GIT_SSH": evil, "GIT_SSH_COMMAND": evil, "GIT_EDITOR": evil, "GIT_PAGER": evil,
            "PAGER": evil, "GIT_ASKPASS": evil, "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.fsmonitor",
            "GIT_CONFIG_VALUE_0": evil, "GIT_CONFIG_PARAMETERS": f"'core.fsmonitor={evil}'",
            "GIT_TRACE": str(user.marker), "GIT_TRACE2": str(user.marker), "GIT_DIR": str(tmp_path / "other" / ".git"),
            "GIT_INDEX_FILE": str(user.marker), "GIT_OBJECT_DIRECTORY": str(tmp_path / "nowhere"),
        }  # fmt: skip
    else:
        (tmp_path / "exec").mkdir()
        for program in (
            "git",
            "git-status",
            "git-fast-import",
            "git-unpack-objects",
            "git-grep",
            "git-submodule",
        ):
            (tmp_path / "exec" / program).symlink_to(user.evil)
        variables |= {"GIT_EXEC_PATH": str(tmp_path / "exec")}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    control = ("git", "status") if place != "exec path" else ("git", "submodule", "status")
    run(control, cwd=user.root, stdin=subprocess.DEVNULL)
    assert user.marker.exists(), "the control: plain git runs it"
    user.marker.unlink()
    assert b"-one\n+changed\n" in await whole_night(user)
    assert not user.marker.exists()


def plant_in_tree(folder: Path, user: User) -> None:
    """Make a work tree, and a folder in it, look like a repository whose configuration runs things."""
    for place in (folder, folder / "docs"):
        git = place / ".git"
        (git / "objects").mkdir(parents=True, exist_ok=True)
        (git / "refs").mkdir(exist_ok=True)
        (git / "info").mkdir(exist_ok=True)
        (git / "HEAD").write_text("ref: refs/heads/main\n")
        (git / "config").write_text(
            f"[core]\n\tfsmonitor = {user.evil}\n\tworktree = ..\n\tbare = false\n"
            f"\thooksPath = {user.root}/evil-hooks\n"
            f'[filter "x"]\n\tclean = {user.evil}\n\tsmudge = {user.evil}\n'
            f'[diff "x"]\n\ttextconv = {user.evil}\n\tcommand = {user.evil}\n[merge "x"]\n\tdriver = {user.evil}\n'
        )
        (git / "info" / "attributes").write_text("* filter=x diff=x merge=x\n")
        (place / ".gitattributes").write_text("* filter=x diff=x merge=x\n")
    (folder / ".gitmodules").write_text(
        f'[submodule "docs"]\n\tpath = docs\n\turl = ext::{user.evil}\n\tupdate = !{user.evil}\n\tignore = all\n'
    )


async def test_what_a_process_puts_into_the_work_tree_is_not_run(user: User) -> None:
    """A ``.git`` of its own, attributes, modules; git started in that folder runs it (the control)."""
    plant_hooks(user.root / "evil-hooks", user.evil)

    def planted(folder: Path) -> None:
        plant_in_tree(folder, user)
        if not user.marker.exists():
            run(["git", "status"], cwd=folder)
            assert user.marker.exists(), "the control: git in that folder runs it"
        user.marker.unlink()

    diff = await whole_night(user, planted)
    assert not user.marker.exists()
    assert b"+* filter=x diff=x merge=x" in diff


async def test_a_file_that_points_to_another_git_directory_is_not_followed(
    user: User, tmp_path: Path
) -> None:
    """The smallest attack: one line in ``.git`` of the work tree."""
    elsewhere = tmp_path / "elsewhere"
    run(["git", "init", "-q", "--bare", elsewhere])
    run(["git", "-C", elsewhere, "config", "core.fsmonitor", user.evil])
    run(["git", "-C", elsewhere, "config", "core.bare", "false"])

    def planted(folder: Path) -> None:
        (folder / ".git").write_text(f"gitdir: {elsewhere}\n")
        run(["git", "status"], cwd=folder)
        assert user.marker.exists(), "the control: git in that folder runs it"
        user.marker.unlink()

    assert b"+changed" in await whole_night(user, planted)
    assert not user.marker.exists()


async def test_an_embedded_bare_repository_is_content(user: User) -> None:
    """Its configuration runs when git is started inside it (the control), and is committed as the files it is."""
    inside = user.root / "samples" / "bare"
    inside.parent.mkdir()
    run(["git", "init", "-q", "--bare", "--template=", inside])
    run(["git", "-C", inside, "config", "core.fsmonitor", user.evil])
    run(["git", "-C", inside, "config", "core.bare", "false"])
    run(["git", "-C", inside, "config", "core.worktree", ".."])
    (inside / "refs" / "keep").write_text("")
    user.plain("add", "-A", "-f")
    user.plain("commit", "-q", "-m", "embedded")
    user.plain("status", cwd=inside)
    assert user.marker.exists(), "the control"
    user.marker.unlink()

    def planted(folder: Path) -> None:
        run(["cp", "-r", inside, folder / "again"])

    diff = await whole_night(user, planted)
    assert b"b/again/config" in diff
    assert not user.marker.exists()


async def test_how_the_file_system_is_is_asked_of_it_and_not_of_a_brought_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Modes and case are probed at every opening: what a directory says of them counts for nothing."""
    user, state = make_repository(tmp_path / "user", {"a.md": b"a\n"}), tmp_path / "state"

    async def settings() -> str:
        await NightRepository.open(user, state, trees=1, clock=FakeClock())
        return await asyncio.to_thread((state / "git" / "config").read_text)

    assert "filemode = true" in await settings()
    with (state / "git" / "config").open("a") as file:
        file.write("[core]\n\tfilemode = false\n\tignorecase = true\n")
    (state / "git" / "CONFIG").write_text("")
    again = await settings()
    assert "filemode = true" in again and "ignorecase = false" in again
    monkeypatch.setattr(os, "fchmod", lambda _handle, _mode: None)
    assert "filemode = false" in await settings(), "where a change of mode moves nothing"
    assert not list((state / "git").glob("probe-*"))
