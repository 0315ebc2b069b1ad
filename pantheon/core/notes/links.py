"""Links between notes: find them, rewrite their destinations and nothing else, and tell which lead nowhere.

Known forms: inline links and images ``[t](dest "title")`` with ``<dest>``, ``%20``, anchors and queries;
reference definitions ``[x]: dest``; wiki links ``[[name]]``, ``[[name#head|alias]]`` and embeds. Text in fenced
code and in inline code is no link. The scanner is linear: each character is looked at a bounded number of times.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple
from urllib.parse import quote, unquote

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_DEFINITION = re.compile(r" {0,3}\[[^\]\n]{1,300}\]:[ \t]*(<[^<>\n]{1,1000}>|[^\s<]\S{0,1000})")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//")
MAX_DESTINATION = 1_000


class Link(NamedTuple):
    """One link in a text."""

    start: int
    """Offset of the destination's first character, without ``<``."""
    end: int
    kind: str
    """``path`` or ``wiki``."""
    destination: str
    """As written, without ``<>``."""


def find_links(text: str) -> Iterator[Link]:
    """Yield the links of a Markdown text in order, those in code left out."""
    fence = ""
    offset = 0
    for line in text.splitlines(keepends=True):
        opener = _FENCE.match(line)
        if opener is not None:
            marker = opener.group(1)
            if not fence:
                fence = marker
            elif marker[0] == fence[0] and len(marker) >= len(fence):
                fence = ""
        elif not fence:
            for link in _links_of_line(line):
                yield link._replace(start=link.start + offset, end=link.end + offset)
        offset += len(line)


def rewrite_links(
    text: str, source: str, renames: Mapping[str, str], *, moved_from: str | None = None
) -> str:
    """Return the text with every link to a renamed file leading to its new name.

    Args:
        text: a note's whole text.
        source: the note's path, in the repository.
        renames: old path -> new path.
        moved_from: the note's own path before it was renamed, when its links were written there.
    """
    if not renames:
        return text
    out, last = [], 0
    for link in find_links(text):
        new = _rewritten(link, moved_from or source, source, renames)
        if new is not None:
            out += [text[last : link.start], new]
            last = link.end
    return "".join([*out, text[last:]])


def broken_links(text: str, source: str, files: Iterable[str]) -> tuple[str, ...]:
    """Return the destinations in ``text`` that lead to no file of the repository, sorted."""
    known = set(files)
    folders = {posixpath.dirname(path) for path in known}
    stems = {posixpath.basename(path).removesuffix(".md") for path in known} | {
        posixpath.basename(path) for path in known
    }
    broken = set()
    for link in find_links(text):
        target, _ = _split(link.destination)
        if not target or _SCHEME.match(target):
            continue
        if link.kind == "wiki":
            if posixpath.basename(target) not in stems:
                broken.add(link.destination)
        elif (path := _resolve(target, source)) is not None and path not in known and path not in folders:
            broken.add(link.destination)
    return tuple(sorted(broken))


def _links_of_line(line: str) -> Iterator[Link]:
    if (definition := _DEFINITION.match(line)) is not None and not definition.group(1).startswith("["):
        yield _path_link(line, definition.start(1), definition.end(1))
        return
    place = 0
    while place < len(line):
        char = line[place]
        if char == "\\":
            place += 2
        elif char == "`":
            place = _after_code(line, place)
        elif line.startswith("[[", place):
            end = line.find("]]", place + 2, place + MAX_DESTINATION)
            if end > 0:
                stop = min(e for e in (line.find("|", place, end), end) if e > 0)
                yield Link(place + 2, stop, "wiki", line[place + 2 : stop])
                place = end + 2
            else:
                place += 2
        elif line.startswith("](", place):
            found = _inline_destination(line, place + 2)
            if found is not None:
                yield found
                place = found.end
            else:
                place += 2
        else:
            place += 1


def _after_code(line: str, place: int) -> int:
    """Return where to go on after a run of backticks: behind its closing run, or behind the run itself."""
    run = place
    while run < len(line) and line[run] == "`":
        run += 1
    ticks = line[place:run]
    end = run
    while (end := line.find(ticks, end)) >= 0:
        stop = end + len(ticks)
        if (stop == len(line) or line[stop] != "`") and line[end - 1] != "`":
            return stop
        while stop < len(line) and line[stop] == "`":
            stop += 1
        end = stop
    return run


def _inline_destination(line: str, start: int) -> Link | None:
    while start < len(line) and line[start] in " \t":
        start += 1
    if line.startswith("<", start):
        end = line.find(">", start, start + MAX_DESTINATION)
        return None if end < 0 else _path_link(line, start, end + 1)
    depth, end = 0, start
    for end in range(start, min(len(line), start + MAX_DESTINATION)):
        char = line[end]
        if char == "(":
            depth += 1
        elif char == ")":
            if depth == 0:
                return _path_link(line, start, end) if end > start else None
            depth -= 1
        elif char.isspace():
            return _path_link(line, start, end) if end > start and ")" in line[end:] else None
    return None


def _path_link(line: str, start: int, end: int) -> Link:
    if line[start] == "<" and line[end - 1] == ">":
        start, end = start + 1, end - 1
    return Link(start, end, "path", line[start:end])


def _split(destination: str) -> tuple[str, str]:
    """Return (target, rest): the rest begins with ``#`` or ``?``."""
    cut = min((p for p in (destination.find("#"), destination.find("?")) if p >= 0), default=len(destination))
    return destination[:cut], destination[cut:]


def _resolve(target: str, source: str) -> str | None:
    """Return the repository path a target names; None when it leads out of the repository."""
    plain = unquote(target)
    path = plain.lstrip("/") if plain.startswith("/") else posixpath.join(posixpath.dirname(source), plain)
    normal = posixpath.normpath(path)
    return None if normal.startswith("..") or normal == "." else normal


def _rewritten(link: Link, written_at: str, source: str, renames: Mapping[str, str]) -> str | None:
    target, rest = _split(link.destination)
    if not target or _SCHEME.match(target):
        return None
    if link.kind == "wiki":
        return _rewritten_wiki(target, rest, renames)
    resolved = _resolve(target, written_at)
    if resolved is None or resolved not in renames:
        return None
    new = renames[resolved]
    if unquote(target).startswith("/"):
        return _as_written(f"/{new}", target) + rest
    relative = posixpath.relpath(new, posixpath.dirname(source) or ".")
    if target.startswith("./"):
        relative = f"./{relative}"
    return _as_written(relative, target) + rest


def _rewritten_wiki(target: str, rest: str, renames: Mapping[str, str]) -> str | None:
    folder, name = posixpath.dirname(target), posixpath.basename(target)
    for old, new in renames.items():
        base = posixpath.basename(old)
        if name not in (base, base.removesuffix(".md")) or (
            folder and not posixpath.dirname(old).endswith(folder)
        ):
            continue
        renamed = posixpath.basename(new)
        if name != base or not base.endswith(".md"):
            renamed = renamed.removesuffix(".md")
        return (f"{folder}/" if folder else "") + renamed + rest
    return None


def _as_written(path: str, like: str) -> str:
    return quote(path, safe="/:@!$&'*+,;=~-._") if "%" in like else path
