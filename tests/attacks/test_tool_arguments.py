"""The arguments of tools under attack: they are data to a function, never words of a command line."""

import ast
import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pantheon.adapters
import pantheon.tools
from pantheon.adapters.git.tree_files import DiskTree
from pantheon.core.errors import ToolError
from pantheon.core.task import Task, check_relative_path
from pantheon.testing.tree import FakeTree
from pantheon.tools.notes import NOTE_TOOLS
from pantheon.tools.registry import Registry, ToolContext

NOTE = (
    b"# Queues\n\nWe compared retries with dead letter queues for the order service and its slow consumers.\n"
)
WORDS = (
    "--output={marker}",
    "-c alias.x=!touch {marker}",
    "-exec touch {marker}",
    "--checkpoint-action=exec=touch {marker}",
    ";touch {marker}",
    "$(touch {marker})",
    "`touch {marker}`",
    "|touch {marker}",
    "&& touch {marker}",
    "a\ntouch {marker}",
    "-o{marker}",
    "--upload-pack=touch {marker}",
    "ext::sh -c touch% {marker}",
    "!touch {marker}",
    "%s%n%x",
    "{marker}",
    "${{IFS}}touch${{IFS}}{marker}",
    "@{marker}",
    "file://{marker}",
    "--",
    "-",
    "*",
    "?",
    "~/x",
    "\\\\server\\x",
    "con",
    "a" * 300,
)
REGISTRY = Registry(NOTE_TOOLS)


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("tool", NOTE_TOOLS, ids=lambda tool: tool.name)
def test_no_word_becomes_a_command(tmp_path: Path, tool: Any, word: str) -> None:
    """In every argument of every tool: refused or taken as text, nothing runs, nothing appears beside the note."""
    root, marker = tmp_path / "tree", tmp_path / "marker"
    (root / "docs").mkdir(parents=True)
    (root / "docs" / "note.md").write_bytes(NOTE)
    task = Task.model_validate({"kind": "docops", "goal": "g", "targets": ["docs/note.md"]})
    tree = DiskTree(root)
    context = ToolContext(files=tree, task=task, tree_paths=tree.list_files())
    text = word.format(marker=marker)
    for name, value in tool.example.items():
        hostile: Any = [text] * 3 if isinstance(value, list) else text
        args = {**tool.example, "path": "docs/note.md", name: hostile}
        try:
            REGISTRY.call(tool.name, args, context)
        except ToolError as error:
            assert len(error.message) < 3_000
    with pytest.raises(ToolError):
        REGISTRY.call(tool.name, {**tool.example, text: text}, context)
    assert not marker.exists()
    assert all(path.startswith("docs/") and path.endswith(".md") for path in tree.list_files())
    assert sorted(os.listdir(tmp_path)) == ["tree"]


def test_a_shell_would_run_them(tmp_path: Path) -> None:
    """The control: in a shell's hands, several of the words leave their mark."""
    marks = 0
    for word in WORDS:
        marker = tmp_path / "marker"
        os.system("echo " + word.format(marker=marker) + " >/dev/null 2>&1 </dev/null")
        marks += marker.exists()
        marker.unlink(missing_ok=True)
    assert marks >= 4


def test_no_tool_starts_a_program_and_nobody_uses_a_shell() -> None:
    """Tools reach nothing but their tree; where programs are started, their words are a list."""
    for path in Path(pantheon.tools.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {"subprocess", "os", "shutil", "pathlib", "socket", "ctypes"} & {
                n.split(".")[0] for n in names
            }
    for path in Path(pantheon.adapters.__path__[0]).parent.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert name not in (
                    "os.system",
                    "os.popen",
                    "asyncio.create_subprocess_shell",
                    "eval",
                    "exec",
                ), path
                assert not any(
                    word.arg == "shell" and ast.unparse(word.value) != "False" for word in node.keywords
                ), path


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=max(200, settings().max_examples))
@given(
    st.sampled_from([tool.name for tool in NOTE_TOOLS]),
    st.dictionaries(
        st.sampled_from(["path", "title", "description", "tags", "new_name", "max_chars", "x"]), ANY
    ),
)
def test_arbitrary_arguments_are_answered_or_refused(name: str, args: dict[str, Any]) -> None:
    """Never another error, never a write to what is no target."""
    tree = FakeTree({"docs/note.md": NOTE, "docs/other.md": b"# Other\n"})
    task = Task.model_validate({"kind": "docops", "goal": "g", "targets": ["docs/note.md"]})
    context = ToolContext(files=tree, task=task, tree_paths=tree.list_files())
    with contextlib.suppress(ToolError):
        json.dumps(REGISTRY.call(name, args, context).data)
    assert tree.read_bytes("docs/other.md") == b"# Other\n"
    assert len(tree.list_files()) == 2


@given(st.text(alphabet=st.sampled_from("a./~\\\0\n-\x7f:\u2028.git"), max_size=12) | st.text(max_size=40))
def test_a_path_that_passes_stays_inside(path: str) -> None:
    """By another road: what the operating system makes of it lies below the root."""
    try:
        check_relative_path(path)
    except ValueError:
        return
    joined = os.path.normpath(os.path.join("/root/tree", path))
    assert joined.startswith("/root/tree/") and joined == f"/root/tree/{path}"
    assert not set(path) & {chr(code) for code in (*range(32), 127)}
    assert ".git" not in [part.lower() for part in path.split("/")]
