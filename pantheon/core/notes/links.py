"""Links between notes: rewrite the destinations of those that lead to a renamed file, and tell which lead nowhere.

A link keeps its style: relative stays relative, ``/`` stays absolute from the repository's root, ``%20`` stays
encoded, a link without the extension ``.md`` stays without. When a file keeps its folder only the last part of the
destination changes, so that nothing else about a link can.

Accepted trade-off: a wiki link by bare name leads to whichever renamed file has the name; where two folders hold
files of one name, the link's own folder part decides. A path without an extension leads to the renamed note of that
name, also where a folder has it too; with a slash at its end it leads to the folder.
"""

import html
import posixpath
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote

from pantheon.core.notes.frontmatter import split_note
from pantheon.core.notes.linkscan import Link, find_links

__all__ = ["Link", "broken_links", "find_links", "relink", "rewrite_links"]

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//")
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_SAFE = "/:@!$&'*+,;=~-._"


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
        if new is not None and new != link.destination:
            out += [text[last : link.start], new]
            last = link.end
    return "".join([*out, text[last:]])


def relink(data: bytes, source: str, renames: Mapping[str, str], *, moved_from: str | None = None) -> bytes:
    """Return a file's bytes with every link to a renamed file leading to its new name.

    Front matter and body are looked at apart, so that neither can open a code block in the other. Bytes that are
    not UTF-8 stay as they are around the links; a binary file (one with a NUL) has no links.

    Args:
        data: the whole file.
        source: as for ``rewrite_links``.
        renames: as for ``rewrite_links``.
        moved_from: as for ``rewrite_links``.
    """
    if b"\0" in data:
        return data
    parts = split_note(data)
    block, body = (
        rewrite_links(part.decode("utf-8", "surrogateescape"), source, renames, moved_from=moved_from).encode(
            "utf-8", "surrogateescape"
        )
        for part in (parts.block, parts.body)
    )
    return parts.head + parts.opener + block + parts.closer + body


def broken_links(text: str, source: str, files: Iterable[str]) -> tuple[str, ...]:
    """Return the destinations in ``text`` that lead to no file or folder of the repository, sorted.

    Links to other places (a scheme, a host, out of the repository) and bare anchors are not looked at.

    Args:
        text: a note's whole text.
        source: the note's path.
        files: every path of the repository.
    """
    known = set(files)
    folders = {"."}
    for path in known:
        while (path := posixpath.dirname(path)) and path not in folders:
            folders.add(path)
    names = {posixpath.basename(path) for path in known}
    names |= {name.removesuffix(".md") for name in names}
    broken = set()
    for link in find_links(text):
        target, _ = _split(link)
        if not target or _SCHEME.match(target):
            continue
        if link.kind == "wiki":
            if posixpath.basename(target.rstrip()) not in names:
                broken.add(link.destination)
            continue
        paths = [path for path in _resolve(target, source) if path is not None]
        if paths and not any(p in known or p in folders or f"{p}.md" in known for p in paths):
            broken.add(link.destination)
    return tuple(sorted(broken))


def _split(link: Link) -> tuple[str, str]:
    """Return (target, rest): the rest begins with ``#`` or, for a path, ``?``."""
    marks = "#" if link.kind == "wiki" else "#?"
    places = [place for mark in marks if (place := link.destination.find(mark)) >= 0]
    cut = min(places, default=len(link.destination))
    return link.destination[:cut], link.destination[cut:]


def _resolve(target: str, source: str) -> tuple[str | None, ...]:
    """Return the repository paths a target may name, decoded and as written; None for one outside."""
    plain = html.unescape(_ESCAPED.sub(r"\1", target))
    found = []
    for path in dict.fromkeys((_unquoted(plain), plain)):
        joined = path.lstrip("/") if path.startswith("/") else f"{posixpath.dirname(source)}/{path}"
        normal = posixpath.normpath(joined.lstrip("/") or ".")
        found.append(None if normal == ".." or normal.startswith("../") else normal)
    return tuple(found)


def _unquoted(target: str) -> str:
    try:
        return unquote(target, errors="strict")
    except UnicodeDecodeError:
        return target


def _rewritten(link: Link, written_at: str, source: str, renames: Mapping[str, str]) -> str | None:
    target, rest = _split(link)
    if not target or _SCHEME.match(target):
        return None
    if link.kind == "wiki":
        renamed = _renamed_wiki(target, renames)
        return None if renamed is None else renamed + rest
    found = _renamed_path(target, written_at, renames)
    if found is None:
        return None
    old, new = found
    encoded = "%" in target
    if posixpath.dirname(old) == posixpath.dirname(new) and not target.endswith("/"):
        folder, slash, _ = target.rpartition("/")
        return folder + slash + _as_written(posixpath.basename(new), encoded) + rest
    if target.startswith("/"):
        return "/" + _as_written(new, encoded) + rest
    relative = posixpath.relpath(new, posixpath.dirname(source) or ".")
    return ("./" if target.startswith("./") else "") + _as_written(relative, encoded) + rest


def _renamed_path(target: str, written_at: str, renames: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the (old, new) path of the renamed file that a target leads to, without ``.md`` as the target is."""
    paths = [path for path in _resolve(target, written_at) if path is not None]
    for path in paths:
        if path in renames:
            return path, renames[path]
    for path in paths:
        new = renames.get(f"{path}.md", "")
        if new.endswith(".md") and not target.endswith("/"):
            return path, new.removesuffix(".md")
    return None


def _renamed_wiki(target: str, renames: Mapping[str, str]) -> str | None:
    folder, slash, name = target.rpartition("/")
    for old, new in renames.items():
        base = posixpath.basename(old)
        stem = base.removesuffix(".md")
        if name.strip() not in (base, stem) or not _ends_with(posixpath.dirname(old), folder):
            continue
        renamed = posixpath.basename(new)
        if name.strip() == stem != base:
            renamed = renamed.removesuffix(".md")
        return folder + slash + name.replace(name.strip(), renamed)
    return None


def _ends_with(path: str, folder: str) -> bool:
    """Tell whether the last parts of ``path`` are those of ``folder``; steps up and a leading slash aside."""
    wanted = [part for part in folder.split("/") if part not in ("", ".", "..")]
    return not wanted or path.split("/")[-len(wanted) :] == wanted


def _as_written(path: str, encoded: bool) -> str:
    """Return a path as a link's destination; one that could not stand bare is percent-encoded in any case."""
    return quote(path, safe=_SAFE) if encoded or re.search(r"[\s()<>\\%#?&]", path) else path
