"""The deterministic checks of a change: gathers what they look at, and lets the core judge.

A flow names the checks it demands (``args.checks`` of its check node), and ``ALWAYS`` are demanded of every flow. Each
check that is named runs; a name that does not exist is a failed check, never a skipped one.
"""

import asyncio
import posixpath
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from urllib.parse import quote

from pantheon.core.file_checks import find_generated, find_lost_licence
from pantheon.core.flow import Flow
from pantheon.core.gate import CheckReport, CheckResult
from pantheon.core.hidden import find_hidden
from pantheon.core.kept_tests import find_weakened, holds_tests
from pantheon.core.notes.check import check_note_change, check_relinked, links_to_renamed
from pantheon.core.notes.links import broken_links
from pantheon.core.operation import TRAILER, Operation, follow_path, parse_operations
from pantheon.core.protected import find_protected
from pantheon.core.secret_lines import ChangedText, find_secret
from pantheon.core.suite import TEST_FILES
from pantheon.core.syntax import find_unparsable
from pantheon.core.visible import visible_line
from pantheon.engine.services import NodeContext, Services
from pantheon.ports.worktree import ChangedPath, Repository
from pantheon.tools.rename import NOTE_SUFFIXES

EXECUTABLE = "100755"
REGULAR = frozenset({"100644", EXECUTABLE, "000000"})
_HUNK = re.compile(rb"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")


@dataclass(frozen=True)
class Change:
    """A change as the checks look at it."""

    services: Services
    context: NodeContext
    base: str
    head: str
    paths: tuple[ChangedPath, ...]
    operations: tuple[Operation, ...]
    _files: dict[tuple[str, str], bytes] = field(default_factory=dict)

    @property
    def repository(self) -> Repository:
        """The commits."""
        return self.services.repository

    @cached_property
    def renames(self) -> Mapping[str, str]:
        """Old path -> new path of every target that was renamed."""
        moved = {target: follow_path(target, self.operations) for target in self.context.task.targets}
        return {old: new for old, new in moved.items() if old != new}

    async def before(self, path: str) -> bytes:
        """Return a file at the base; empty when it was not there."""
        return await self._read(self.base, path)

    async def after(self, path: str) -> bytes:
        """Return a file at the head; empty when it is not there."""
        return await self._read(self.head, path)

    async def _read(self, commit: str, path: str) -> bytes:
        """Return a file, asking git for it once; several checks look at the same ones."""
        if (commit, path) not in self._files:
            self._files[commit, path] = await self.repository.read_file(commit, path) or b""
        return self._files[commit, path]


def demanded_checks(flow: Flow) -> tuple[str, ...]:
    """Return the names of the checks that a change has to pass; none where the flow names none, and may not land."""
    named = [str(name) for node in flow.node if node.gate == "check" for name in node.args.get("checks", ())]
    return tuple(dict.fromkeys([*named, *ALWAYS])) if named else ()


async def run_checks(services: Services, context: NodeContext, *, base: str, head: str) -> CheckReport:
    """Run the checks that the flow names on the change from ``base`` to ``head``."""
    repository = services.repository
    values = await repository.trailer_values(base, head, TRAILER)
    change = Change(
        services=services,
        context=context,
        base=base,
        head=head,
        paths=await repository.changed_paths(base, head),
        operations=parse_operations(values),
    )
    results = [await _run(name, change) for name in demanded_checks(context.flow)]
    return CheckReport(base=base, head=head, tree=await repository.tree_of(head), checks=tuple(results))


async def _run(name: str, change: Change) -> CheckResult:
    check = CHECKS.get(name)
    if check is None:
        return CheckResult(name=name, passed=False, reason="there is no such check")
    return await check(change)


async def _scope(change: Change) -> CheckResult:
    """Only targets, their new names, and links to them elsewhere."""
    own = {*change.context.task.targets, *change.renames.values()}
    beside = [path for path in change.paths if path.path not in own]
    for path in beside:
        if path.status != "M":
            return CheckResult(name="scope", passed=False, reason=f"{path.path}: outside the task's targets")
    files = [(p.path, await change.before(p.path), await change.after(p.path)) for p in beside]
    return check_relinked(files, change.renames)


async def _kinds(change: Change) -> CheckResult:
    """Regular text files alone: no link, no repository inside, no binary content, no new executable."""
    came_from = {new: old for old, new in change.renames.items()}
    modes = {path.path: path.old_mode for path in change.paths}
    for path in change.paths:
        before = modes.get(came_from.get(path.path, path.path))
        if path.mode == EXECUTABLE and before != EXECUTABLE:
            return CheckResult(name="kinds", passed=False, reason=f"{path.path}: was made executable")
        if path.mode not in REGULAR:
            return CheckResult(name="kinds", passed=False, reason=f"{path.path}: mode {path.mode}")
        if path.status != "D" and b"\0" in await change.after(path.path):
            return CheckResult(name="kinds", passed=False, reason=f"{path.path}: binary content")
    return CheckResult(name="kinds", passed=True)


async def _protected(change: Change) -> CheckResult:
    """Nothing that decides whether a change is good, before or after."""
    patterns = change.services.content.gate_policy.protected
    path = find_protected((path.path for path in change.paths), patterns)
    reason = "" if path is None else f"{path}: protected by policies/gate.toml; a person must change it"
    return CheckResult(name="protected", passed=not reason, reason=reason)


async def _visible(change: Change) -> CheckResult:
    """No character that a reader of the change would not see, in names or contents, unless it was there before."""
    came_from = {new: old for old, new in change.renames.items()}
    for path in change.paths:
        if path.status == "D":
            continue
        old = came_from.get(path.path, path.path)
        before = (await change.before(old)).decode("utf-8", "replace")
        after = (await change.after(path.path)).decode("utf-8", "replace")
        if path.status != "M" and visible_line(path.path) != path.path:
            reason = f"{path.path}: a name that does not show as it is"
            return CheckResult(name="visible", passed=False, reason=reason)
        name = None if path.status == "M" else find_hidden("", path.path)
        if found := name or find_hidden(before, after):
            return CheckResult(name="visible", passed=False, reason=f"{path.path}: adds {found}")
    return CheckResult(name="visible", passed=True)


Find = Callable[[str, bytes | None, bytes | None], str]
"""Path, content before and content after -> what is wrong."""


async def _each_file(name: str, find: Find, change: Change) -> CheckResult:
    """Look at every changed file by itself; a renamed one beside what it was."""
    came_from = {new: old for old, new in change.renames.items()}
    for path in change.paths:
        if path.status == "D" and path.path in change.renames:
            continue
        old = came_from.get(path.path)
        before = None if path.status == "A" and old is None else await change.before(old or path.path)
        after = None if path.status == "D" else await change.after(path.path)
        if why := await asyncio.to_thread(find, path.path, before, after):
            return CheckResult(name=name, passed=False, reason=f"{path.path}: {why}")
    return CheckResult(name=name, passed=True)


async def _tests_kept(change: Change) -> CheckResult:
    """No test was deleted, emptied or skipped."""
    suite = change.services.content.gate_policy.tests
    patterns = TEST_FILES if suite is None else suite.files
    for old, new in change.renames.items():
        if holds_tests(old, patterns) and not holds_tests(new, patterns):
            return CheckResult(name="tests_kept", passed=False, reason=f"{old}: is no file of tests as {new}")
    return await _each_file("tests_kept", partial(find_weakened, patterns=patterns), change)


async def _secrets(change: Change) -> CheckResult:
    """No added line holds a key, a token or a password; one that is only moved was there before."""
    texts = [
        ChangedText(
            path=path.path,
            before=(await change.before(path.path)).decode("utf-8", "replace"),
            after=(await change.after(path.path)).decode("utf-8", "replace"),
        )
        for path in change.paths
    ]
    limit = change.services.content.gate_policy.max_diff_bytes
    reason = await asyncio.to_thread(find_secret, texts, max_added=limit)
    return CheckResult(name="secrets", passed=not reason, reason=reason)


async def _size(change: Change) -> CheckResult:
    """No more than the policy allows; a change that does nothing is none."""
    policy = change.services.content.gate_policy
    diff = await change.repository.diff(change.base, change.head)
    lines = _changed_lines(diff)
    reason = ""
    if not change.paths:
        reason = "nothing was changed"
    elif len(change.paths) > policy.max_files:
        reason = f"{len(change.paths)} files, more than {policy.max_files}"
    elif lines > policy.max_changed_lines:
        reason = f"{lines} lines, more than {policy.max_changed_lines}"
    elif len(diff) > policy.max_diff_bytes:
        reason = f"{len(diff)} bytes of diff, more than {policy.max_diff_bytes}"
    return CheckResult(name="size", passed=not reason, reason=reason)


def _changed_lines(diff: bytes) -> int:
    """Count the added and removed lines; only a hunk's header tells its lines from the names of files."""
    changed = old = new = 0
    for line in diff.split(b"\n"):
        sign = line[:1]
        if (old > 0 or new > 0) and sign != b"\\":
            changed += sign in (b"+", b"-")
            old -= sign != b"+"
            new -= sign != b"-"
        elif found := _HUNK.match(line):
            old, new = (1 if count is None else int(count) for count in found.groups())
    return changed


async def _links(change: Change) -> CheckResult:
    """No link leads nowhere that did not before."""
    files_before = await change.repository.list_files(change.base)
    files_after = await change.repository.list_files(change.head)
    came_from = {new: old for old, new in change.renames.items()}
    for path in change.paths:
        if path.status == "D" or not path.path.lower().endswith(NOTE_SUFFIXES):
            continue
        old = came_from.get(path.path, path.path)
        before = broken_links((await change.before(old)).decode("utf-8", "replace"), old, files_before)
        after = broken_links(
            (await change.after(path.path)).decode("utf-8", "replace"), path.path, files_after
        )
        if new := sorted(set(after) - set(before)):
            return CheckResult(
                name="links", passed=False, reason=f"{path.path}: {new[0]!r} leads nowhere now"
            )
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


async def _front_matter(change: Change) -> CheckResult:
    return await _each_note(change, "front_matter")


async def _body(change: Change) -> CheckResult:
    return await _each_note(change, "body")


async def _file_name(change: Change) -> CheckResult:
    return await _each_note(change, "file_name")


async def _each_note(change: Change, name: str) -> CheckResult:
    """Run one of the checks of a changed note over every target."""
    for old in change.context.task.targets:
        new = change.renames.get(old, old)
        after = await change.repository.read_file(change.head, new)
        if after is None:
            return CheckResult(name=name, passed=False, reason=f"{new}: is not there")
        failures = dict(check_note_change(old, new, await change.before(old), after, change.renames))
        if name in failures:
            return CheckResult(name=name, passed=False, reason=failures[name])
    return CheckResult(name=name, passed=True)


ALWAYS = ("kinds", "protected", "visible", "parses", "tests_kept", "licence", "generated", "secrets")
"""Checks that no flow can do without."""
CHECKS: Mapping[str, Callable[[Change], Awaitable[CheckResult]]] = {
    "scope": _scope,
    "kinds": _kinds,
    "protected": _protected,
    "visible": _visible,
    "parses": partial(_each_file, "parses", find_unparsable),
    "tests_kept": _tests_kept,
    "licence": partial(_each_file, "licence", find_lost_licence),
    "generated": partial(_each_file, "generated", find_generated),
    "secrets": _secrets,
    "size": _size,
    "links": _links,
    "front_matter": _front_matter,
    "body": _body,
    "file_name": _file_name,
}
