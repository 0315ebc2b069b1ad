"""Whether a changed note is what it was, plus front matter, minus nothing."""

import posixpath
from collections.abc import Mapping, Sequence

from pantheon.core.decoys import Metadata
from pantheon.core.errors import ToolError
from pantheon.core.gate import CheckResult
from pantheon.core.notes.frontmatter import read_fields, split_note
from pantheon.core.notes.links import relink
from pantheon.core.notes.slug import is_final
from pantheon.core.notes.textcheck import check_metadata

FIELDS = ("title", "description", "tags")


def check_note_change(
    path_old: str, path_new: str, base: bytes, head: bytes, renames: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    """Return what is wrong with a changed note, as (check, reason) in a stable order; empty when nothing is.

    Links to renamed notes have followed, in the body and in the values of front matter alike.

    Args:
        path_old: the note's path before the change.
        path_new: its path after.
        base: its bytes before.
        head: its bytes after.
        renames: old path -> new path of every note that was renamed.
    """
    results = (
        check_front_matter(head, relink(base, path_new, renames, moved_from=path_old)),
        check_body(base, head, old=path_old, new=path_new, renames=renames),
        check_file_name(path_new),
    )
    return tuple((result.name, result.reason) for result in results if not result.passed)


def check_front_matter(head: bytes, base: bytes) -> CheckResult:
    """Check that the front matter parses, fulfils the contract, and lost nothing that was there before."""
    try:
        before, after = read_fields(base), read_fields(head)
    except ToolError as error:
        return CheckResult(name="front_matter", passed=False, reason=error.message)
    title, description, tags = (after.get(key) for key in FIELDS)
    if not isinstance(title, str) or not isinstance(description, str) or not isinstance(tags, list):
        return CheckResult(name="front_matter", passed=False, reason="title, description or tags are missing")
    lost = [key for key in before if key not in FIELDS and before[key] != after.get(key)]
    if lost:
        return CheckResult(name="front_matter", passed=False, reason=f"the key {lost[0]!r} was changed")
    added = [key for key in after if key not in FIELDS and key not in before]
    if added:
        return CheckResult(name="front_matter", passed=False, reason=f"the key {added[0]!r} was added")
    proposal = Metadata(title=title, description=description, tags=tuple(str(tag) for tag in tags))
    problems = check_metadata(proposal, split_note(base).body.decode("utf-8", "replace"))
    return CheckResult(
        name="front_matter",
        passed=not problems,
        reason="; ".join(f"{problem.check}: {problem.reason}" for problem in problems),
    )


def check_body(base: bytes, head: bytes, *, old: str, new: str, renames: Mapping[str, str]) -> CheckResult:
    """Check that a note's body is byte for byte what it was, but for links to renamed notes."""
    before, after = split_note(base).body, split_note(head).body
    same = before == after or relink(before, new, renames, moved_from=old) == after
    return CheckResult(name="body", passed=same, reason="" if same else f"{new}: the body was changed")


def check_relinked(files: Sequence[tuple[str, bytes, bytes]], renames: Mapping[str, str]) -> CheckResult:
    """Check that in files beside the targets nothing but links to renamed notes was changed.

    Args:
        files: (path, bytes before, bytes after).
        renames: old path -> new path.
    """
    for path, before, after in files:
        if relink(before, path, renames) != after:
            return CheckResult(
                name="scope", passed=False, reason=f"{path}: more than links to renamed notes was changed"
            )
    return CheckResult(name="scope", passed=True)


def links_to_renamed(data: bytes, path: str, renames: Mapping[str, str]) -> bool:
    """Tell whether a file still links to a name that is gone; a binary file holds no links."""
    return relink(data, path, renames) != data


def check_file_name(path: str) -> CheckResult:
    """Check that a note's name is kebab-case and says what the note is about."""
    name = posixpath.basename(path)
    good = is_final(name)
    reason = "" if good else f"{name}: not a telling kebab-case name"
    return CheckResult(name="file_name", passed=good, reason=reason)
