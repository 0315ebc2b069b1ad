"""The tool that gives a note its telling name and takes every link to it along.

Invariants:
- everything that can be refused is refused before the first byte is written;
- the new name stays in the note's folder and keeps its extension;
- called again it changes nothing; called on another commit it rewrites the links that are there.
"""

import posixpath
from collections.abc import Iterator

from pydantic import Field

from pantheon.core.errors import ToolError
from pantheon.core.model import Frozen
from pantheon.core.notes.frontmatter import read_fields
from pantheon.core.notes.links import relink
from pantheon.core.notes.slug import is_final, is_kebab, slugify
from pantheon.core.task import RelativePath, is_plain
from pantheon.tools.registry import Tool, ToolContext, ToolResult, require_target

MAX_LINKING_BYTES = 8_000_000
"""Ceiling on a file that is looked through for links."""
NOTE_SUFFIXES = (".md", ".markdown")


class RenameNote(Frozen):
    """Arguments of ``rename_note``."""

    path: RelativePath
    new_name: str | None = Field(default=None, max_length=200)
    """File name in the same folder; None makes one from the title, unless the name can stay: telling and kebab-case."""


def rename_note(args: RenameNote, context: ToolContext) -> ToolResult:
    """Give a note its telling name and rewrite every link that leads to it."""
    require_target(args.path, context)
    folder, old_name = posixpath.split(args.path)
    if args.new_name is None and is_final(old_name):
        return _not_renamed(args.path, args.path)
    name = args.new_name if args.new_name is not None else _name_from_title(args.path, context)
    if not is_kebab(name) or posixpath.splitext(name)[1] != posixpath.splitext(old_name)[1].lower():
        raise ToolError(f"{name[:100]!r} is not a kebab-case name with the same extension")
    new_path = posixpath.join(folder, name)
    if name == old_name or (not context.files.exists(args.path) and context.files.exists(new_path)):
        return _not_renamed(args.path, new_path)
    if is_taken(new_path, args.path, context):
        raise ToolError(f"the name {name} is taken")
    rewritten = list(_relinked_files(args.path, new_path, context))
    context.files.move(args.path, new_path)
    for path, data in rewritten:
        context.files.write_bytes(path, data)
    return ToolResult(
        text=f"renamed to {name}",
        data={"old": args.path, "new": new_path, "args": {"path": args.path, "new_name": name}},
        changed=tuple(dict.fromkeys([args.path, new_path, *(path for path, _ in rewritten)])),
    )


def is_taken(path: str, own: str, context: ToolContext) -> bool:
    """Tell whether a path is in use by another file than ``own``, also by a name that differs in case only."""
    if path != own and context.files.exists(path):
        return True
    lowered = path.lower()
    return any(known.lower() == lowered and known != own for known in context.tree_paths)


def list_notes(context: ToolContext) -> Iterator[str]:
    """Yield the path of every note of the tree as it is now, sorted.

    A file whose name no tool could be given (a backslash, a control character) is passed over.
    """
    for path in context.files.list_files():
        if path.lower().endswith(NOTE_SUFFIXES) and is_plain(path):
            yield path


def _not_renamed(old: str, new: str) -> ToolResult:
    return ToolResult(text=f"has the name {posixpath.basename(new)}", data={"old": old, "new": new})


def _name_from_title(path: str, context: ToolContext) -> str:
    title = read_fields(context.files.read_bytes(path)).get("title")
    if not isinstance(title, str):
        raise ToolError(f"{path}: has no title to make a name from")
    try:
        return slugify(title) + posixpath.splitext(path)[1].lower()
    except ValueError as error:
        raise ToolError(f"{path}: {error}") from error


def _relinked_files(old: str, new: str, context: ToolContext) -> Iterator[tuple[str, bytes]]:
    """Yield (path after the renaming, new bytes) of every file whose links change."""
    stem = posixpath.splitext(posixpath.basename(old))[0].encode()
    for path in list_notes(context):
        try:
            data = context.files.read_bytes(path, max_bytes=MAX_LINKING_BYTES)
        except ToolError:
            # Too large to be a note. Should it link here all the same, the gate's check of links says so.
            continue
        # A destination may hide the name behind an escape; without one it must be there as it is.
        if stem not in data and not any(mark in data for mark in (b"%", b"\\", b"&")):
            continue
        target = new if path == old else path
        changed = relink(data, target, {old: new}, moved_from=path)
        if changed != data:
            yield target, changed


RENAME_NOTE = Tool(
    name="rename_note",
    description="Rename a note and rewrite every link to it.",
    arguments=RenameNote,
    example={"path": "docs/2026.01.02.md", "new_name": "retrying-uploads.md"},
    call=rename_note,
    writes=True,
)
