"""The deterministic checks of a change: gathers what they look at, and lets the core judge.

A flow names the checks it demands (``args.checks`` of its check node), and ``ALWAYS`` are demanded of every flow. Each
check that is named runs; a name that does not exist is a failed check, never a skipped one.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from pantheon.core.file_checks import find_binary, find_generated, find_lost_licence
from pantheon.core.flow import Flow
from pantheon.core.gate import CheckReport, CheckResult
from pantheon.core.hidden import find_hidden
from pantheon.core.kept_tests import find_weakened, holds_tests
from pantheon.core.notes.check import check_relinked
from pantheon.core.operation import TRAILER, parse_operations
from pantheon.core.protected import find_protected
from pantheon.core.secret_lines import ChangedText, find_secret
from pantheon.core.suite import TEST_FILES
from pantheon.core.syntax import find_unparsable
from pantheon.core.visible import visible_line
from pantheon.engine.change import Change
from pantheon.engine.note_checks import check_links, check_note
from pantheon.engine.services import NodeContext, Services

EXECUTABLE = "100755"
REGULAR = frozenset({"100644", EXECUTABLE, "000000"})
_HUNK = re.compile(rb"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")


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
    result = await check(change)
    if not result.passed and name in change.services.content.gate_policy.hold:
        return result.model_copy(update={"hold": True})
    return result


async def _scope(change: Change) -> CheckResult:
    """Only targets, their new names, and links to them elsewhere; and only what a tool says it changed."""
    targets = set(change.context.task.targets)
    own = {*targets, *change.renames.values()}
    named = {path for operation in change.operations for path in operation.changed}
    beside = [path for path in change.paths if path.path not in own]
    for path in change.paths:
        why = ""
        if path.path not in own and path.status != "M":
            why = "outside the task's targets"
        elif path.path in targets and path.status == "D" and path.path not in change.renames:
            why = "a target was deleted, which no tool may"
        elif path.path in own and path.path not in named:
            why = "was changed, but by no tool that may"
        if why:
            return CheckResult(name="scope", passed=False, reason=f"{path.path}: {why}")
    files = [(p.path, await change.before(p.path), await change.after(p.path)) for p in beside]
    return check_relinked(files, change.renames)


async def _kinds(change: Change) -> CheckResult:
    """Regular text files alone: no link, no repository inside, no binary content, no new executable."""
    modes = {path.path: path.old_mode for path in change.paths}
    for path in change.paths:
        old = change.came_from.get(path.path, path.path)
        why = ""
        if path.mode == EXECUTABLE and modes.get(old) != EXECUTABLE:
            why = "was made executable"
        elif path.mode not in REGULAR:
            why = f"mode {path.mode}"
        elif path.status != "D":
            why = find_binary(await change.before(old), await change.after(path.path))
        if why:
            return CheckResult(name="kinds", passed=False, reason=f"{path.path}: {why}")
    return CheckResult(name="kinds", passed=True)


async def _protected(change: Change) -> CheckResult:
    """Nothing that decides whether a change is good, before or after."""
    patterns = change.services.content.gate_policy.protected
    path = find_protected((path.path for path in change.paths), patterns)
    reason = "" if path is None else f"{path}: protected by policies/gate.toml; a person must change it"
    return CheckResult(name="protected", passed=not reason, reason=reason)


async def _visible(change: Change) -> CheckResult:
    """No character that a reader of the change would not see, in names or contents, unless it was there before."""
    for path in change.paths:
        if path.status == "D":
            continue
        before = await change.text_before(change.came_from.get(path.path, path.path))
        name = None
        if path.status != "M":
            hidden = visible_line(path.path) != path.path
            name = "a name that does not show as it is" if hidden else find_hidden("", path.path)
        if found := name or find_hidden(before, await change.text_after(path.path)):
            return CheckResult(name="visible", passed=False, reason=f"{visible_line(path.path)}: {found}")
    return CheckResult(name="visible", passed=True)


Find = Callable[[str, bytes | None, bytes | None], str]
"""Path, content before and content after -> what is wrong."""


async def _each_file(name: str, find: Find, change: Change) -> CheckResult:
    """Look at every changed file by itself; a renamed one beside what it was."""
    for path in change.paths:
        if path.status == "D" and path.path in change.renames:
            continue
        old = change.came_from.get(path.path)
        before = None if path.status == "A" and old is None else await change.before(old or path.path)
        after = None if path.status == "D" else await change.after(path.path)
        if why := await asyncio.to_thread(find, path.path, before, after):
            return CheckResult(name=name, passed=False, reason=f"{path.path}: {why}")
    return CheckResult(name=name, passed=True)


async def _generated(change: Change) -> CheckResult:
    """Nothing that a tool makes, by the policy's names or by what the file says of itself."""
    patterns = change.services.content.gate_policy.generated
    return await _each_file("generated", partial(find_generated, patterns=patterns), change)


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
            before=await change.text_before(path.path),
            after=await change.text_after(path.path),
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
    changed = _changed_lines(diff)
    lines = changed.total()
    reason = ""
    if not change.paths:
        reason = "nothing was changed"
    elif len(change.paths) > policy.max_files:
        reason = f"{len(change.paths)} files, more than {policy.max_files}"
    elif lines > policy.max_changed_lines:
        reason = f"{lines} lines, more than {policy.max_changed_lines}, most in {_most(changed)}"
    elif len(diff) > policy.max_diff_bytes:
        reason = f"{len(diff)} bytes of diff, more than {policy.max_diff_bytes}, most in {_most(changed)}"
    return CheckResult(name="size", passed=not reason, reason=reason)


def _changed_lines(diff: bytes) -> Counter[bytes]:
    """Count the added and removed lines of each file; only a hunk's header tells its lines from the names of files."""
    changed: Counter[bytes] = Counter()
    old = new = 0
    file = b""
    for line in diff.split(b"\n"):
        sign = line[:1]
        if (old > 0 or new > 0) and sign != b"\\":
            changed[file] += sign in (b"+", b"-")
            old -= sign != b"+"
            new -= sign != b"-"
        elif found := _HUNK.match(line):
            old, new = (1 if count is None else int(count) for count in found.groups())
        elif line.startswith((b"--- a/", b"+++ b/")):
            file = line[6:]
    return changed


def _most(changed: Counter[bytes]) -> str:
    return visible_line(max(changed, key=changed.__getitem__, default=b"").decode("utf-8", "replace"))


ALWAYS = (
    "scope", "kinds", "size", "secrets", "protected", "visible", "generated", "parses", "links", "licence",
    "tests_kept",
)  # fmt: skip
"""Checks that no flow can do without."""
CHECKS: Mapping[str, Callable[[Change], Awaitable[CheckResult]]] = {
    "scope": _scope,
    "kinds": _kinds,
    "size": _size,
    "secrets": _secrets,
    "protected": _protected,
    "visible": _visible,
    "generated": _generated,
    "parses": partial(_each_file, "parses", find_unparsable),
    "links": check_links,
    "licence": partial(_each_file, "licence", find_lost_licence),
    "tests_kept": _tests_kept,
    "front_matter": partial(check_note, "front_matter"),
    "body": partial(check_note, "body"),
    "file_name": partial(check_note, "file_name"),
}
