"""The tools for Markdown notes: read, validate, set front matter, look around; ``tools.rename`` has the renaming.

Invariants:
- a tool that refuses has changed nothing;
- a tool that is called again with the same arguments changes nothing more.
"""

import posixpath
from collections.abc import Iterator

from pydantic import Field

from pantheon.core.decoys import Metadata
from pantheon.core.errors import ToolError
from pantheon.core.model import Frozen
from pantheon.core.notes.digest import digest_note
from pantheon.core.notes.frontmatter import read_fields, set_fields, split_note
from pantheon.core.notes.slug import is_descriptive, is_final, slugify
from pantheon.core.notes.textcheck import TAGS, check_metadata, tidy
from pantheon.core.task import RelativePath
from pantheon.tools.registry import Tool, ToolContext, ToolResult, require_target
from pantheon.tools.rename import NOTE_SUFFIXES, RENAME_NOTE, is_taken, list_notes

MAX_NOTE_BYTES = 1_000_000
MAX_NEIGHBOURS = 40


class ReadNote(Frozen):
    """Arguments of ``read_note``."""

    path: RelativePath
    max_chars: int = Field(default=1_800, ge=100, le=20_000)


class NotePath(Frozen):
    """Arguments of tools that take a note alone."""

    path: RelativePath


class SetFrontMatter(Frozen):
    """Arguments of ``set_front_matter``."""

    path: RelativePath
    title: str = Field(min_length=1, max_length=200)
    description: str = Field(min_length=1, max_length=500)
    tags: tuple[str, ...] = Field(min_length=1, max_length=20)


def read_note(args: ReadNote, context: ToolContext) -> ToolResult:
    """Return a bounded excerpt."""
    data = context.files.read_bytes(args.path, max_bytes=MAX_NOTE_BYTES)
    return ToolResult(text=digest_note(data, max_chars=args.max_chars))


def validate_note(args: NotePath, context: ToolContext) -> ToolResult:
    """Tell whether a note can be worked on, and whether there is anything to do."""
    if not args.path.lower().endswith(NOTE_SUFFIXES):
        raise ToolError(f"{args.path}: not a Markdown note ({' or '.join(NOTE_SUFFIXES)})")
    if not context.files.exists(args.path):
        raise ToolError(f"{args.path}: there is no such file")
    data = context.files.read_bytes(args.path, max_bytes=MAX_NOTE_BYTES)
    if b"\0" in data:
        raise ToolError(f"{args.path}: binary: the file has NUL bytes")
    try:
        data.decode("utf-8")
        fields = read_fields(data)
    except UnicodeDecodeError as error:
        raise ToolError(f"{args.path}: not UTF-8: byte {error.start + 1} is no text") from error
    except ToolError as error:
        raise ToolError(f"{args.path}: {error.message}", hint=error.hint) from error
    if not split_note(data).body.strip():
        raise ToolError(f"{args.path}: empty: the note has no text")
    tags = fields.get("tags")
    complete = (
        all(isinstance(fields.get(key), str) and fields[key].strip() for key in ("title", "description"))
        and isinstance(tags, list)
        and TAGS[0] <= len(tags) <= TAGS[1]
        and is_final(posixpath.basename(args.path))
    )
    text = "has title, description, tags and a telling name" if complete else "can be worked on"
    return ToolResult(text=f"{args.path} {text}", data={"complete": complete})


def set_front_matter(args: SetFrontMatter, context: ToolContext) -> ToolResult:
    """Check the proposal and write it; what is already so stays so."""
    require_target(args.path, context)
    data = context.files.read_bytes(args.path, max_bytes=MAX_NOTE_BYTES)
    body = split_note(data).body.decode("utf-8", "replace")
    proposal = tidy(Metadata(title=args.title, description=args.description, tags=args.tags), body)
    problems = [p.reason for p in check_metadata(proposal, body, prompt_texts=context.prompt_texts)]
    problems += _name_problems(args.path, proposal.title, context)
    if problems:
        raise ToolError(" ".join(problems[:4]))
    fields: dict[str, str | list[str]] = {
        "title": proposal.title,
        "description": proposal.description,
        "tags": list(proposal.tags),
    }
    new = set_fields(data, fields)
    if new != data:
        context.files.write_bytes(args.path, new)
    return ToolResult(
        text="front matter set",
        data={"args": {"path": args.path, **fields}},
        changed=(args.path,) if new != data else (),
    )


def list_neighbours(args: NotePath, context: ToolContext) -> ToolResult:
    """List the notes of the same folder with their titles."""
    folder = posixpath.dirname(args.path)
    lines: list[str] = []
    for path in list_notes(context):
        if posixpath.dirname(path) != folder or path == args.path:
            continue
        if len(lines) == MAX_NEIGHBOURS:
            lines.append("and more")
            break
        lines.append(f"{posixpath.basename(path)}: {_title(path, context)}")
    return ToolResult(text="\n".join(lines) or "no other notes")


def _name_problems(path: str, title: str, context: ToolContext) -> Iterator[str]:
    """Yield why the name that a title leads to cannot be had; a note that keeps its name has no such problem."""
    folder, old_name = posixpath.split(path)
    if is_final(old_name):
        return
    try:
        name = slugify(title) + posixpath.splitext(old_name)[1].lower()
    except ValueError as error:
        yield f"title: {error}."
        return
    if not is_descriptive(name):
        yield "title: makes a file name that says nothing; use more telling words."
    elif name != old_name and is_taken(posixpath.join(folder, name), path, context):
        yield f"title: another note is called {name} already; be more specific."


def _title(path: str, context: ToolContext) -> str:
    try:
        data = context.files.read_bytes(path, max_bytes=MAX_NOTE_BYTES)
        title = read_fields(data).get("title")
    except ToolError:
        return "unreadable"
    if isinstance(title, str):
        return title[:100]
    body = split_note(data).body.decode("utf-8", "replace")
    first = next((line.strip("# ").strip() for line in body.splitlines() if line.strip()), "empty")
    return first[:100]


NOTE_TOOLS = (
    Tool(
        name="read_note",
        description="Read a bounded excerpt of a note.",
        arguments=ReadNote,
        example={"path": "docs/note.md", "max_chars": 4000},
        call=read_note,
    ),
    Tool(
        name="validate_note",
        description="Tell whether a note can be worked on.",
        arguments=NotePath,
        example={"path": "docs/note.md"},
        call=validate_note,
    ),
    Tool(
        name="set_front_matter",
        description="Set title, description and tags of a note.",
        arguments=SetFrontMatter,
        example={
            "path": "docs/note.md",
            "title": "Retrying Uploads",
            "description": "How uploads are tried again.",
            "tags": ["uploads", "retries", "http"],
        },
        call=set_front_matter,
        writes=True,
    ),
    RENAME_NOTE,
    Tool(
        name="list_neighbours",
        description="List the other notes of the folder.",
        arguments=NotePath,
        example={"path": "docs/note.md"},
        call=list_neighbours,
    ),
)
