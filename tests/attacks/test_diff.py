"""A change hides nothing: all of it is in the diff that reviewers and people see, or it is refused by name."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from pantheon.adapters.git.pooled_tree import PooledTree
from pantheon.adapters.git.repository import NightRepository
from pantheon.core.flow import Flow
from pantheon.core.gate import CheckReport
from pantheon.core.policy import GatePolicy, NightPolicy
from pantheon.core.task import Task
from pantheon.engine.checks import run_checks
from pantheon.engine.services import Content, NightContext, NodeContext, Services
from pantheon.report.diffs import colour_diff, read_diff
from pantheon.testing.artifacts import FakeArtifacts
from pantheon.testing.clock import FakeClock
from pantheon.testing.model import FakeModel, Spoken
from pantheon.testing.signing import FakeSigner
from pantheon.testing.store import FakeStore
from pantheon.testing.user_repository import git, make_repository
from pantheon.tools.registry import Registry

pytestmark = pytest.mark.primitive("git")

CODE = b"def allowed(user):\n    return user.is_admin\n"
EVIL = b"def allowed(user):\n    return True or user.is_admin\n"
FILES = {
    "app.py": CODE,
    "docs/a.md": b"# A\n\ntext\n",
    "crlf.txt": b"one\r\ntwo\r\n",
    "run.sh": b"#!/bin/sh\n",
    ".gitignore": b"ignored/\n*.cfg\n",
}
FLOW = Flow.model_validate(
    {"name": "f", "accepts": ["f"], "node": [{"id": "c", "gate": "check", "args": {"checks": ["size"]}}]}
)


class Seen(NamedTuple):
    """What became of a change."""

    diff: bytes
    paths: Mapping[str, str]
    """Path → mode."""
    report: CheckReport


@pytest.fixture
def user(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "user", FILES)


async def judge(user: Path, tmp_path: Path, change: Callable[[Path], None]) -> Seen:
    """Make a change in a work tree as a process would, and look at it as the checks and the reviewers do."""
    repository = await NightRepository.open(user, tmp_path / "state", trees=1, clock=FakeClock())
    base = await repository.resolve("HEAD")
    async with repository.work_tree(base) as tree:
        assert isinstance(tree, PooledTree)
        change(tree.folder)
        head = await tree.commit("Change\n")
    services = Services(
        store=FakeStore(FakeClock()), repository=repository, artifacts=FakeArtifacts(), signer=FakeSigner(),
        clock=FakeClock(), model=FakeModel(lambda _: Spoken("{}")), tools=Registry(()),
        content=Content(agents={}, flows={}, gate_policy=GatePolicy(), night_policy=NightPolicy(), digests={}),
    )  # fmt: skip
    context = NodeContext(
        night=NightContext(id="n", branch="b", base_commit=base, owner="t", lease_s=60.0), task_key="b/t",
        task=Task(id="t", kind="f", goal="g", targets=("app.py",)), flow=FLOW, node=FLOW.node[0], attempt=1,
        base_commit=base, input_commit=head, upstream={},
    )  # fmt: skip
    report = await run_checks(services, context, base=base, head=head)
    paths = {one.path: one.mode for one in await repository.changed_paths(base, head)}
    return Seen(await repository.diff(base, head), paths, report)


ATTRIBUTES = ("-diff", "binary", "working-tree-encoding=UTF-16LE", "diff=none", "-text", "eol=crlf", "ident",
              "filter=x", "linguist-generated", "export-ignore", "merge=ours", "!diff -diff")  # fmt: skip


@pytest.mark.parametrize("attribute", ATTRIBUTES)
async def test_no_attribute_hides_a_line(user: Path, tmp_path: Path, attribute: str) -> None:
    """In the change itself or in the repository; plain git shows no line of some of them (the control)."""
    (user / ".gitattributes").write_text(f"*.py {attribute}\n[attr]none -diff\n")
    (user / "app.py").write_bytes(EVIL)
    if attribute in ("-diff", "binary", "!diff -diff"):
        assert "Binary files" in git(user, "diff", "app.py"), "the control"
    (user / "app.py").write_bytes(CODE)
    git(user, "add", ".gitattributes")
    git(user, "commit", "-q", "-m", "attributes")

    def change(root: Path) -> None:
        (root / "app.py").write_bytes(EVIL)
        (root / "docs/.gitattributes").write_text(f"* {attribute}\n")
        (root / "docs/a.md").write_bytes(b"# A\n\nother text\n")

    seen = await judge(user, tmp_path, change)
    assert b"+    return True or user.is_admin\n" in seen.diff
    assert b"-text\n+other text\n" in seen.diff
    assert f"+* {attribute}\n".encode() in seen.diff
    assert any("docs/.gitattributes: protected" in failure for failure in seen.report.failures)


async def test_ignored_files_are_in_the_diff(user: Path, tmp_path: Path) -> None:
    """By the repository's rules, by rules the change brings along, and by those of a folder of git's."""

    def change(root: Path) -> None:
        (root / "ignored").mkdir()
        (root / "ignored/conftest.py").write_bytes(b"import evil\n")
        (root / "setup.cfg").write_bytes(b"evil\n")
        (root / "docs/.gitignore").write_bytes(b"*\n")
        (root / "docs/new.md").write_bytes(b"new\n")

    change_here = shutil.copytree(user, tmp_path / "plain")
    change(change_here)
    assert "conftest" not in git(change_here, "status", "--porcelain", "-uall"), "the control"
    seen = await judge(user, tmp_path, change)
    assert {"ignored/conftest.py", "setup.cfg", "docs/.gitignore", "docs/new.md"} <= seen.paths.keys()
    assert b"+import evil\n" in seen.diff
    assert any("protected" in failure for failure in seen.report.failures)


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
async def test_a_flag_of_the_users_index_hides_nothing(user: Path, tmp_path: Path, flag: str) -> None:
    """Plain git does not see the edit (the control); the night has an index of its own."""
    git(user, "update-index", flag, "app.py")
    (user / "app.py").write_bytes(EVIL)
    assert git(user, "status", "--porcelain") == "", "the control"
    seen = await judge(user, tmp_path, lambda root: (root / "app.py").write_bytes(EVIL) and None)
    assert b"+    return True or user.is_admin\n" in seen.diff


async def test_a_replaced_object_hides_nothing(user: Path, tmp_path: Path) -> None:
    """The repository may tell git to show another file in its place; plain git does (the control)."""
    (user / "evil").write_bytes(EVIL)
    other = git(user, "hash-object", "-w", "evil").strip()
    (user / "evil").unlink()
    git(user, "replace", git(user, "rev-parse", "HEAD:app.py").strip(), other)
    assert git(user, "show", "HEAD:app.py") == EVIL.decode(), "the control"
    seen = await judge(user, tmp_path, lambda root: (root / "app.py").write_bytes(EVIL) and None)
    assert b"+    return True or user.is_admin\n" in seen.diff


async def test_a_repository_inside_is_refused(user: Path, tmp_path: Path) -> None:
    """Its files would not be in any diff (the control), so its mode is refused."""

    def change(root: Path) -> None:
        make_repository(root / "inner", {"evil.py": EVIL})
        (root / ".gitmodules").write_text('[submodule "inner"]\n\tpath = inner\n\turl = x\n\tignore = all\n')

    seen = await judge(user, tmp_path, change)
    assert b"is_admin" not in seen.diff, "the control"
    assert seen.paths["inner"] == "160000"
    assert b"+Subproject commit" in seen.diff
    assert any("inner: mode 160000" in failure for failure in seen.report.failures)
    assert any(".gitmodules: protected" in failure for failure in seen.report.failures)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "app.py", "x" * 255])
async def test_a_link_is_refused(user: Path, tmp_path: Path, target: str) -> None:
    """Wherever it leads; and the diff says where."""
    seen = await judge(user, tmp_path, lambda root: (root / "docs/link.md").symlink_to(target))
    assert seen.paths["docs/link.md"] == "120000"
    assert f"+{target}".encode() in seen.diff and b"new file mode 120000" in seen.diff
    assert any("docs/link.md: mode 120000" in failure for failure in seen.report.failures)


async def test_a_file_in_the_place_of_a_link_and_the_other_way_round(user: Path, tmp_path: Path) -> None:
    """A change of type is told, and refused."""

    def change(root: Path) -> None:
        (root / "app.py").unlink()
        (root / "app.py").symlink_to("run.sh")

    seen = await judge(user, tmp_path, change)
    assert b"deleted file mode 100644" in seen.diff and b"new file mode 120000" in seen.diff
    assert any("app.py: mode 120000" in failure for failure in seen.report.failures)


async def test_a_mode_alone_is_a_change(user: Path, tmp_path: Path) -> None:
    """A file that becomes a program without a byte changed."""
    git(user, "config", "core.fileMode", "false")
    seen = await judge(user, tmp_path, lambda root: (root / "run.sh").chmod(0o755))
    assert b"old mode 100644\nnew mode 100755\n" in seen.diff
    assert any("run.sh: was made executable" in failure for failure in seen.report.failures)


async def test_line_ends_and_other_encodings_are_shown(user: Path, tmp_path: Path) -> None:
    """Line ends alone are a change; UTF-16 is in the diff byte by byte, and refused as no text."""
    git(user, "config", "core.autocrlf", "true")
    (user / "crlf.txt").write_bytes(b"one\ntwo\n")
    assert git(user, "diff", "--ignore-cr-at-eol", "crlf.txt") == "", "the control: many a tool shows it so"
    (user / "app.py").write_bytes(EVIL.decode().encode("utf-16"))
    assert "Binary files" in git(user, "diff", "app.py"), "the control: plain git shows none of it"
    git(user, "checkout", "-q", "--", ".")
    seen = await judge(user, tmp_path, lambda root: (root / "crlf.txt").write_bytes(b"one\ntwo\n") and None)
    assert b"-one\r\n" in seen.diff and b"+one\n" in seen.diff

    seen = await judge(
        user, tmp_path, lambda root: (root / "app.py").write_bytes(EVIL.decode().encode("utf-16")) and None
    )
    assert "True or".encode("utf-16-le") in seen.diff
    assert any("app.py: line 1: binary content" in failure for failure in seen.report.failures)


ODD_NAMES = (
    b"line\nfeed.md", b'quote".md', b"back\\slash.md", b"tab\t.md", b"-rf", b"--output=x", b"\xff\xfe.md",
    b"esc\x1b[2J.md",
    b"space .md ", "b\u202egnp.md".encode(), "z\u200bero.md".encode(), b"a.md\n+++ b/forged.md", b"$(id).md", b";id",
    "\u00e4.md".encode(), b":(glob)**", b"docs /a.md", "scop\u0435.md".encode(), b"'.md",
)  # fmt: skip


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_an_odd_name_is_shown_as_it_is(user: Path, tmp_path: Path, name: bytes) -> None:
    """The change of that file, and no other, is in the diff; the report names it without acting on a screen."""
    path = os.fsdecode(name)

    def change(root: Path) -> None:
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_bytes(b"evil\n")

    seen = await judge(user, tmp_path, change)
    assert seen.paths == {path: "100644"}
    assert b"+evil\n" in seen.diff
    assert seen.diff.count(b"\ndiff --git ") + seen.diff.startswith(b"diff --git ") == 1
    text = seen.diff.decode("utf-8", "replace")
    told = read_diff(text)
    assert (
        len(told.paths) == 1
        and told.paths[0][0] == ""
        and "forged" not in told.paths[0][1].split("\\u000a")[0]
    )
    for shown in (told.paths[0][1], *(line.text for line in colour_diff(text))):
        assert not set(shown) & {
            chr(code) for code in (*range(9), *range(11, 32), *range(0x7F, 0xA0), 0x202E, 0x200B)
        }
    honest = {'quote".md', "back\\slash.md", "-rf", "--output=x", "space .md ", "$(id).md", ";id", "\u00e4.md",
              ":(glob)**", "docs /a.md", "'.md"}  # fmt: skip
    assert any(failure.startswith("visible") for failure in seen.report.failures) == (path not in honest)


@pytest.mark.parametrize(
    "text",
    ["if access != 'user\u202e \u2066// only admins\u2069 \u2066':", "let admin\u200b = 1",
     "def \u0430ccess():", "\ufeffx", "\x1b]0;x\x07"],
)  # fmt: skip
async def test_what_a_reader_would_not_see_is_refused_and_shown(
    user: Path, tmp_path: Path, text: str
) -> None:
    """A line that reads otherwise than it runs; the report writes it out, plain git as it is (the control)."""
    (user / "app.py").write_bytes(CODE + text.encode() + b"\n")
    assert f"+{text}" in git(user, "diff", "app.py"), "the control"
    git(user, "checkout", "-q", "--", ".")
    seen = await judge(
        user, tmp_path, lambda root: (root / "app.py").write_bytes(CODE + text.encode() + b"\n") and None
    )
    assert text.encode() in seen.diff
    assert any(failure.startswith("visible: app.py: line ") for failure in seen.report.failures)
    if "\u0430" not in text:
        shown = "".join(line.text for line in colour_diff(seen.diff.decode()))
        assert text not in shown and "\\u" in shown


async def test_a_huge_diff_is_whole_and_refused(user: Path, tmp_path: Path) -> None:
    """Five megabytes with the evil line at the end: nothing is cut, and the gate takes none of it.

    The controls: a reader of the first megabyte sees no evil, and the same line alone is not too large.
    """
    many = b"".join(b"line %07d of the file\n" % number for number in range(210_000))
    seen = await judge(
        user, tmp_path, lambda root: (root / "app.py").write_bytes(CODE + many + EVIL) and None
    )
    assert len(seen.diff) > 5_000_000 and b"+    return True or user.is_admin\n" in seen.diff[-100:]
    assert b"True or" not in seen.diff[:1_000_000], "the control"
    assert any(failure.startswith("size") for failure in seen.report.failures)
    alone = await judge(user, tmp_path / "alone", lambda root: (root / "app.py").write_bytes(EVIL) and None)
    assert not any(failure.startswith("size") for failure in alone.report.failures), "the control"
