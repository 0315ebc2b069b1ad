"""Validate a task file line by line, remembering only what the whole needs: ids, needs and problems.

Defined answers:
- a blank line (spaces and tabs only) is skipped;
- a byte order mark, a carriage return before the newline (reported once a file), bytes that are not
  UTF-8, and a line over ``MAX_LINE_BYTES`` are problems of their line;
- lines end at ``\\n`` only: U+2028 and its kin are ordinary characters of a JSON string;
- duplicate ids, unknown needs and circles are found at the end, each with its line.

Every problem reads ``file:line: field: what is wrong``, on one line, whatever the file holds. Ids of wrong lines
count as known, so that one mistake is not reported twice.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from pantheon.core.needs import count_levels, find_circles
from pantheon.core.strict_json import scan_json
from pantheon.core.task import Task
from pantheon.core.task_text import task_objections
from pantheon.core.validation import Location, dotted, faults
from pantheon.core.visible import visible_line

MAX_LINE_BYTES = 1_048_576
MAX_PROBLEMS = 200
MAX_PROBLEM_CHARS = 600
MAX_CIRCLE = 12
"""Tasks of one circle that are printed."""
_BLANK = re.compile(rb"[ \t]*")
_BYTE_ORDER_MARKS = {
    b"\xef\xbb\xbf": "starts with a byte order mark; convert the file with: sed -i '1s/^\\xEF\\xBB\\xBF//'",
    b"\xff\xfe": "UTF-16, not UTF-8; convert the file with: iconv -f UTF-16 -t UTF-8",
    b"\xfe\xff": "UTF-16, not UTF-8; convert the file with: iconv -f UTF-16 -t UTF-8",
}
_TOO_LONG = f"longer than {MAX_LINE_BYTES} bytes"


class _LineError(ValueError):
    """A line that holds no task at all."""


@dataclass
class TaskFileReader:
    """Feeds on lines, gives tasks, collects problems.

    Args:
        name: the file's name, for messages.
        object_to: what else speaks against a task, as (field, why).
    """

    name: str
    object_to: Callable[[Task], Iterable[tuple[str, str]]] = lambda _: ()
    problem_count: int = 0
    """All problems, those that were not kept included."""
    tasks: int = 0
    """Tasks without a problem of their own."""
    _kept: list[tuple[int, str]] = field(default_factory=list)
    _line: int = 0
    _first_return: int = 0
    _returns: int = 0
    _lines: dict[str, int] = field(default_factory=dict)
    _needs: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def problems(self) -> tuple[str, ...]:
        """The first ``MAX_PROBLEMS`` problems in order of line, and the number of the others."""
        kept = tuple(text for _, text in sorted(self._kept, key=lambda one: one[0]))
        more = self.problem_count - len(kept)
        return (*kept, f"{visible_line(self.name)}: and {more} more") if more else kept

    @property
    def levels(self) -> tuple[int, ...]:
        """Number of tasks on each level of the file's needs. Only for a file without problems."""
        return count_levels(self._needs, self.tasks)

    def feed(self, line: bytes) -> Task | None:
        """Take the next line, without its newline; return its task, or None for a blank or a wrong line."""
        self._line += 1
        mark = next((mark for mark in _BYTE_ORDER_MARKS if self._line == 1 and line.startswith(mark)), b"")
        if mark:
            self._report("line", _BYTE_ORDER_MARKS[mark])
            line = line.removeprefix(mark)
            if mark != b"\xef\xbb\xbf":
                return None
        if line.endswith(b"\r"):
            self._first_return = self._first_return or self._line
            self._returns += 1
            line = line[:-1]
        if _BLANK.fullmatch(line):
            return None
        try:
            task = self._parse(line)
        except _LineError as error:
            self._report("line", str(error))
            return None
        if task is None:
            return None
        before = self.problem_count
        self._object(task)
        if not self._remember(task) or self.problem_count != before:
            return None
        self.tasks += 1
        return task

    def skip_long(self) -> None:
        """Take a line that was too long to hold and was dropped while it was read."""
        self._line += 1
        self._report("line", _TOO_LONG)

    def finish(self) -> tuple[str, ...]:
        """Check what only the whole file shows and return all problems."""
        if self._returns:
            others = f", and {self._returns - 1} more lines do" if self._returns > 1 else ""
            why = f"ends in a carriage return{others}; convert the file with: sed -i 's/\\r$//'"
            self._report("line", why, self._first_return)
        if not self._lines and not self.problem_count:
            self._report("line", "the file holds no task", 1)
        for task, place, need in self._unknown_needs():
            self._report(f"needs.{place}", f"no task of this file has the id {need!r}", self._lines[task])
        for circle in find_circles(self._needs):
            self._report_circle(circle)
        return self.problems

    def _parse(self, line: bytes) -> Task | None:
        if len(line) > MAX_LINE_BYTES:
            raise _LineError(_TOO_LONG)
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _LineError(f"not UTF-8 at byte {error.start + 1}") from error
        try:
            value, oddities = scan_json(text)
        except json.JSONDecodeError as error:
            raise _LineError(f"not JSON: {error.msg} at column {error.colno}") from error
        except ValueError as error:
            raise _LineError(f"not JSON: {error}") from error
        if not isinstance(value, dict):
            raise _LineError("a task is a JSON object")
        for oddity in oddities:
            self._report(dotted(oddity.path), oddity.why)
        odd = {oddity.path for oddity in oddities}
        try:
            task = Task.model_validate(value)
            if not oddities:
                return task
            wrong = {str(path[0]) for path in odd}
        except ValidationError as error:
            found = faults(error)
            for place, message in found:
                if not any(place[:length] in odd for length in range(len(place) + 1)):
                    self._report_fault(place, message)
            wrong = {str(place[0]) for place, _ in found if place}
        self._reserve(value)
        self._salvage(value, wrong)
        return None

    def _report_fault(self, place: Location, message: str) -> None:
        if place:
            self._report(dotted(place), message)
        else:
            # A rule over several fields names the field itself.
            where, _, why = message.partition(": ")
            self._report(where if why else "line", why or message)

    def _remember(self, task: Task) -> bool:
        first = self._lines.setdefault(task.id, self._line)
        if first != self._line:
            self._report("id", f"{task.id!r} is already the id of line {first}")
            return False
        if task.needs:
            self._needs[task.id] = task.needs
        return True

    def _reserve(self, value: Mapping[str, Any]) -> None:
        """Keep the id of a wrong line, so that whoever needs it is not wrong as well."""
        claimed = value.get("id")
        if isinstance(claimed, str) and self._lines.setdefault(claimed, self._line) != self._line:
            self._report("id", f"{claimed!r} is already the id of line {self._lines[claimed]}")

    def _salvage(self, value: Mapping[str, Any], wrong: Set[str]) -> None:
        """Hear the objections to what is right about a wrong line, so that its author hears them now."""
        known = {key: item for key, item in value.items() if key in Task.model_fields and key not in wrong}
        routable = any(known.get(key) is not None for key in ("kind", "flow"))
        try:
            task = Task.model_validate({"goal": "any", **({} if routable else {"kind": "any"}), **known})
        except ValidationError:
            return
        self._object(task, routable=routable)

    def _object(self, task: Task, *, routable: bool = True) -> None:
        for where, why in task_objections(task):
            self._report(where, why)
        for where, why in self.object_to(task) if routable else ():
            self._report(where, why)

    def _unknown_needs(self) -> Iterator[tuple[str, int, str]]:
        for task, needs in self._needs.items():
            for place, need in enumerate(needs):
                if need not in self._lines:
                    yield task, place, need

    def _report_circle(self, circle: tuple[str, ...]) -> None:
        first = min(range(len(circle)), key=lambda place: self._lines[circle[place]])
        turned = circle[first:] + circle[:first]
        names = list(turned)
        if len(names) > MAX_CIRCLE:
            names[MAX_CIRCLE - 2 : -1] = [f"({len(names) - MAX_CIRCLE + 1} more)"]
        text = " -> ".join([*names, names[0]])
        place = self._needs[turned[0]].index(turned[1 % len(turned)])
        why = f"the tasks need each other in a circle: {text}"
        self._report(f"needs.{place}", why, self._lines[turned[0]])

    def _report(self, where: str, why: str, line: int | None = None) -> None:
        self.problem_count += 1
        if len(self._kept) < MAX_PROBLEMS:
            number = line or self._line
            text = visible_line(f"{self.name}:{number}: {where[:MAX_PROBLEM_CHARS]}: {why}")
            self._kept.append((number, text[: MAX_PROBLEM_CHARS * 2]))
