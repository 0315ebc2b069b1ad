"""What a person who approves a task line must be able to read: its goal, package, targets and acceptance sentences.

A model reads every character of a line, and a person only those that show; so what a person signs holds nothing
that hides or acts. Free ``inputs`` are data for tools and stay as they are.

This is asked when lines are enqueued, not of what was frozen before: a batch's lines never change.
"""

from collections.abc import Iterator

from pantheon.core.task import Task, check_relative_path
from pantheon.core.visible import UNSAFE


def task_objections(task: Task) -> Iterator[tuple[str, str]]:
    """Yield (field, what is wrong) for every text of a task that a person could not read as it is.

    A goal and an acceptance sentence may have several lines; a path and a package may not, and a package is written
    as a path.
    """
    if why := unreadable(task.goal):
        yield "goal", why
    if task.package and (why := _no_package(task.package)):
        yield "package", why
    for place, target in enumerate(task.targets):
        if why := unreadable(target):
            yield f"targets.{place}", why
    for place, sentence in enumerate(task.accept):
        if why := unreadable(sentence):
            yield f"accept.{place}", why


def unreadable(text: str) -> str | None:
    """Return why a person could not read a text, None when one can."""
    if (found := UNSAFE.search(text)) is not None:
        where = f" at character {found.start() + 1}"
        return f"U+{ord(found.group()):04X}{where} does not show, or acts on a terminal; leave it out"
    if not text.strip():
        return "nothing but blanks; say it in words"
    return None


def _no_package(package: str) -> str | None:
    try:
        check_relative_path(package)
    except ValueError as error:
        return f"{error}; a package is named by its folder, or left out"
    return unreadable(package)
