"""The sample notes are what they say: links that lead somewhere, and four notes that nobody has to change."""

from pathlib import Path

from pantheon.core.errors import ToolError
from pantheon.core.notes.links import broken_links
from pantheon.core.task import Task
from pantheon.testing.tree import FakeTree
from pantheon.tools.notes import NOTE_TOOLS
from pantheon.tools.registry import Registry, ToolContext

NOTES = Path(__file__).parents[2] / "samples" / "notes"
REGISTRY = Registry(NOTE_TOOLS)


def _context(tree: FakeTree, path: str) -> ToolContext:
    task = Task(id="t", kind="docops", goal="g", targets=(path,))
    return ToolContext(files=tree, task=task, tree_paths=tree.list_files())


def test_every_note_can_be_renamed_and_no_link_breaks() -> None:
    """All that validate and are not complete get new names; links follow; the rest stays byte for byte."""
    start = {p.relative_to(NOTES).as_posix(): p.read_bytes() for p in NOTES.rglob("*") if p.is_file()}
    tree = FakeTree(start)
    refused, complete, renamed = [], [], 0
    for path in [path for path in sorted(start) if path.startswith("docs/")]:
        try:
            found = REGISTRY.call("validate_note", {"path": path}, _context(tree, path))
        except ToolError as error:
            refused.append(error.message.removeprefix(f"{path}: ").split(":")[0])
            continue
        if found.data["complete"]:
            complete.append(path)
            continue
        renamed += 1
        new_name = f"sample-note-{'abcdefghijklmnop'[renamed]}.md"
        REGISTRY.call("rename_note", {"path": path, "new_name": new_name}, _context(tree, path))
    assert renamed == 12
    assert sorted(refused) == ["binary", "empty"]
    assert complete == ["docs/rotate-signing-keys-without-downtime.md"]
    for path in tree.list_files():
        text = tree.content[path].decode("utf-8", "replace")
        assert broken_links(text, path, tree.list_files()) == ()
    assert sum(tree.content.get(path) == data for path, data in start.items()) == 4
