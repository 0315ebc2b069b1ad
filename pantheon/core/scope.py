"""Turn files into task lines: which match, what each task is called, and why the others are left out.

Invariants:
- the same files and globs give the same lines in the same order;
- ids are unique within the lines and legal;
- every path that a glob matches is either a task or has a reason.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from pathspec import GitIgnoreSpec
from pydantic import ValidationError

from pantheon.core.canonical import digest_bytes
from pantheon.core.errors import ConfigError
from pantheon.core.task import Task, check_relative_path
from pantheon.core.task_text import task_objections, unreadable
from pantheon.core.validation import explain

GOALS = {
    "docops": "Give the note a title, a description and tags, and a file name that says what it is about",
}
"""Kind -> what is asked when the author says nothing."""


def match_paths(paths: Iterable[str], globs: Sequence[str], excluded: Sequence[str]) -> tuple[str, ...]:
    """Return the paths that any glob matches and no excluded glob does, in their order.

    Args:
        paths: relative POSIX paths.
        globs: patterns as in ``.gitignore``.
        excluded: the same, for what to leave out.

    Raises:
        ConfigError: a pattern is wrong.
    """
    try:
        wanted = GitIgnoreSpec.from_lines(globs)
        unwanted = GitIgnoreSpec.from_lines(excluded)
    except ValueError as error:
        raise ConfigError(f"not a glob: {error}") from error
    return tuple(path for path in paths if wanted.match_file(path) and not unwanted.match_file(path))


def why_unfit(path: str) -> str | None:
    """Return why a path cannot be a target, None when it can."""
    try:
        path.encode("utf-8")
        check_relative_path(path)
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    except ValueError as error:
        return str(error)
    return unreadable(path)


def scope_tasks(
    paths: Sequence[str], *, kind: str, goal: str, package: str | None, accept: Sequence[str]
) -> tuple[dict[str, Any], ...]:
    """Return one task line, as data without defaults, for each path.

    Args:
        paths: fit targets.
        kind: the tasks' kind.
        goal: what should be true afterwards.
        package: the tasks' package; None takes each path's first folder.
        accept: acceptance sentences.

    Raises:
        ConfigError: kind, goal, package or accept are not legal in a task.
    """
    names = [_name(path) for path in paths]
    count = Counter(names)
    lines = []
    for path, name in zip(paths, names, strict=True):
        one = name if count[name] == 1 else f"{name[:57]}-{digest_bytes(path.encode())[:6]}"
        line: dict[str, Any] = {
            "id": one,
            "kind": kind,
            "package": path.rpartition("/")[0].partition("/")[0] if package is None else package,
            "goal": goal,
            "targets": [path],
        }
        if accept:
            line["accept"] = list(accept)
        try:
            task = Task.model_validate(line)
        except ValidationError as error:
            raise ConfigError("; ".join(explain(error))) from error
        if wrong := [f"{field}: {why}" for field, why in task_objections(task)]:
            raise ConfigError("; ".join(wrong))
        lines.append(line)
    return tuple(lines)


def _name(path: str) -> str:
    folder, _, file = path.rpartition("/")
    stem = file.rpartition(".")[0] or file
    text = re.sub(r"[^A-Za-z0-9._]+", "-", f"{folder}/{stem}").strip("-._")
    if len(text) <= 64 and text:
        return text
    return f"{text[-57:].lstrip('-._')}-{digest_bytes(path.encode())[:6]}".lstrip("-")
