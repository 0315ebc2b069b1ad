"""Validate a task file line by line, remembering only what the whole needs: ids, needs and problems.

Defined answers:
- a blank line (spaces and tabs only) is skipped;
- a byte order mark, a carriage return before the newline, bytes that are not UTF-8, and a line over
  ``MAX_LINE_BYTES`` are problems of their line;
- lines end at ``\\n`` only: U+2028 and its kin are ordinary characters of a JSON string;
- duplicate ids, unknown needs and cycles are found at the end, each with its line.

Every problem reads ``file:line: field: what is wrong``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from pydantic import ValidationError

from pantheon.core.strict_json import parse_json
from pantheon.core.task import Task
from pantheon.core.validation import explain

MAX_LINE_BYTES = 1_048_576
MAX_PROBLEMS = 1_000
_BLANK = re.compile(rb"[ \t]*")
_TOO_LONG = f"line: longer than {MAX_LINE_BYTES} bytes"


@dataclass
class TaskFileReader:
    """Feeds on lines, gives tasks, collects problems.

    Args:
        name: the file's name, for messages.
    """

    name: str
    problems: list[str] = field(default_factory=list)
    """The first ``MAX_PROBLEMS`` problems in order of line."""
    problem_count: int = 0
    tasks: int = 0
    _line: int = 0
    _lines: dict[str, int] = field(default_factory=dict)
    _needs: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def feed(self, line: bytes) -> Task | None:
        """Take the next line, without its newline; return its task, or None for a blank or a wrong line."""
        self._line += 1
        if _BLANK.fullmatch(line):
            return None
        try:
            task = self._parse(line)
        except ValidationError as error:
            for problem in explain(error):
                self._report(problem.removeprefix("value: "))
            return None
        except (ValueError, RecursionError) as error:
            self._report(f"line: {error}")
            return None
        if not self._remember(task):
            return None
        self.tasks += 1
        return task

    def skip_long(self) -> None:
        """Take a line that was too long to hold and was dropped while it was read."""
        self._line += 1
        self._report(_TOO_LONG)

    def refuse(self, where: str, why: str) -> None:
        """Report a problem of the line that was fed last."""
        self._report(f"{where}: {why}")

    def finish(self) -> tuple[str, ...]:
        """Check what only the whole file shows and return all problems."""
        if self._line == 0 or (self.tasks == 0 and not self.problem_count):
            self._line = max(self._line, 1)
            self._report("line: the file holds no task")
        for problem, line in self._unknown_needs():
            self._report(problem, line)
        if not self.problem_count:
            self._refuse_cycle()
        return tuple(self.problems)

    def _parse(self, line: bytes) -> Task:
        if len(line) > MAX_LINE_BYTES:
            raise ValueError(_TOO_LONG.removeprefix("line: "))
        if self._line == 1 and line.startswith(b"\xef\xbb\xbf"):
            raise ValueError("starts with a byte order mark; save the file as UTF-8 without one")
        if line.endswith(b"\r"):
            raise ValueError("ends in a carriage return; convert the file with: sed -i 's/\\r$//'")
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"not UTF-8 at byte {error.start + 1}") from error
        try:
            value = parse_json(text)
        except ValueError as error:
            raise ValueError(f"not JSON: {error}") from error
        if not isinstance(value, dict):
            raise ValueError("a task is a JSON object")
        return Task.model_validate(value)

    def _remember(self, task: Task) -> bool:
        first = self._lines.setdefault(task.id, self._line)
        if first != self._line:
            self._report(f"id: {task.id!r} is already the id of line {first}")
            return False
        if task.needs:
            self._needs[task.id] = task.needs
        return True

    def _unknown_needs(self) -> Iterator[tuple[str, int]]:
        for task, needs in self._needs.items():
            for need in needs:
                if need not in self._lines:
                    yield f"needs: no task of this file has the id {need!r}", self._lines[task]

    def _refuse_cycle(self) -> None:
        try:
            TopologicalSorter(self._needs).prepare()
        except CycleError as error:
            circle = list(reversed(error.args[1]))
            line = min(self._lines[task] for task in circle)
            self._report("needs: tasks need each other in a circle: " + " -> ".join(circle), line)

    def _report(self, problem: str, line: int | None = None) -> None:
        self.problem_count += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(f"{self.name}:{line or self._line}: {problem}")
