"""The checks that know what a note is: its links, its front matter, its body and its name."""

import posixpath
from urllib.parse import quote

from pantheon.core.gate import CheckResult
from pantheon.core.notes.check import check_note_change, links_to_renamed
from pantheon.core.notes.links import broken_links
from pantheon.engine.change import Change
from pantheon.tools.rename import NOTE_SUFFIXES


async def check_links(change: Change) -> CheckResult:
    """No link leads nowhere that did not before."""
    files_before = await change.repository.list_files(change.base)
    files_after = await change.repository.list_files(change.head)
    for path in change.paths:
        if path.status == "D" or not path.path.lower().endswith(NOTE_SUFFIXES):
            continue
        old = change.came_from.get(path.path, path.path)
        text = await change.text_after(path.path)
        before = broken_links(await change.text_before(old), old, files_before)
        after = broken_links(text, path.path, files_after)
        if new := sorted(set(after) - set(before)):
            line = text.count("\n", 0, max(text.find(new[0]), 0)) + 1
            reason = f"{path.path}: line {line}: {new[0]!r} leads nowhere now"
            return CheckResult(name="links", passed=False, reason=reason)
    return await _inbound(change)


async def _inbound(change: Change) -> CheckResult:
    """No file that was not changed still links to a name that is gone."""
    stems = [posixpath.splitext(posixpath.basename(old))[0] for old in change.renames]
    needles = sorted({form for stem in stems for form in (stem, quote(stem))})
    changed = {path.path for path in change.paths}
    holding = await change.repository.find_text(change.head, needles)
    suspects = [path for path in holding if path not in changed and path.lower().endswith(NOTE_SUFFIXES)]
    for path, data in (await change.repository.read_files(change.head, suspects)).items():
        if links_to_renamed(data, path, change.renames):
            return CheckResult(
                name="links", passed=False, reason=f"{path}: still links to a name that is gone"
            )
    return CheckResult(name="links", passed=True)


async def check_note(name: str, change: Change) -> CheckResult:
    """Run one of the checks of a changed note over every target."""
    for old in change.context.task.targets:
        new = change.renames.get(old, old)
        after = await change.repository.read_file(change.head, new)
        if after is None:
            return CheckResult(name=name, passed=False, reason=f"{new}: is not there")
        failures = dict(check_note_change(old, new, await change.before(old), after, change.renames))
        if name in failures:
            return CheckResult(name=name, passed=False, reason=f"{new}: {failures[name]}")
    return CheckResult(name=name, passed=True)
