"""Causes made comparable, and a night put into one honest sentence.

Invariants:
- the sentence names every outcome that occurred, and its numbers add up to the number of tasks;
- a night in which nothing was accepted, that is not closed, or that never ran is called that first.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from pantheon.core.records import TaskOutcome

OPEN = "open"
MAX_PATTERN = 200
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`|«[^»]*»")
_HEXADECIMAL = re.compile(r"\b[0-9a-f]{7,64}\b")
_NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)*")


def cause_pattern(cause: str) -> str:
    """Return a cause without what differs from task to task: quoted texts, commit ids, numbers."""
    text = _QUOTED.sub("'…'", cause[:2_000])
    text = _HEXADECIMAL.sub("…", text)
    text = _NUMBER.sub("N", text)
    text = " ".join(text.split())
    return text[:MAX_PATTERN] + "…" if len(text) > MAX_PATTERN else text or "no cause was recorded"


def name_failure(outcome: TaskOutcome | None, cause: str, *, by_reviewers: bool = False) -> str:
    """Return what happened to a task as the end of a sentence: ``2 …``.

    Args:
        outcome: what became of the task; None while it is open.
        cause: as the store has it, ``node: why``.
        by_reviewers: for a denial, whether a reviewer was against it.
    """
    node = cause.partition(":")[0].strip()
    known = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", node) is not None
    if outcome is TaskOutcome.DENIED:
        return "denied by reviewers" if by_reviewers else f"denied at {node}" if known else "denied"
    if outcome is TaskOutcome.FAILED:
        return f"failed in {node}" if known else "failed"
    return _WORDS[outcome]


_WORDS: Mapping[TaskOutcome | None, str] = {
    TaskOutcome.ACCEPTED: "accepted",
    TaskOutcome.BLOCKED: "blocked by another task",
    TaskOutcome.SKIPPED: "had nothing to do",
    TaskOutcome.CANCELLED: "cancelled",
    TaskOutcome.NOT_REACHED: "not reached",
    None: "still open",
}
_WITH_WAS = ("denied", "blocked", "cancelled", "not reached")


def say_night(
    failures: Sequence[str], accepted: int, *, closed: bool, attempts: int, to_land: int = 0
) -> str:
    """Return the night in one sentence.

    Args:
        failures: ``name_failure`` of every task that was not accepted.
        accepted: number of accepted tasks.
        closed: whether the night came to its end.
        attempts: number of attempts that were started.
        to_land: allowed changes for which an open night waits until the merge window opens.
    """
    total = accepted + len(failures)
    if total == 0:
        return "The night had no work: no task was given to it."
    if attempts == 0:
        tasks = "its one task was not" if total == 1 else f"none of its {total} tasks was"
        return f"The night never ran: {tasks} started."
    opening = _say_accepted(accepted, total)
    if not closed:
        why = "The night was interrupted or is still running"
        if to_land:
            why = (
                f"The night waits for the merge window to land {to_land} allowed change{'s' * (to_land > 1)}"
            )
        opening = f"{why}; so far {opening[0].lower()}{opening[1:]}"
    rest = [
        _say_rest(name, count)
        for name, count in sorted(Counter(failures).items(), key=lambda p: (-p[1], p[0]))
    ]
    return f"{opening}; {', '.join(rest)}." if rest else f"{opening}."


def _say_accepted(accepted: int, total: int) -> str:
    if total == 1:
        return "The one change was accepted" if accepted else "The one change was not accepted"
    if accepted == 0:
        return f"None of {total} changes was accepted"
    if accepted == total:
        return f"All {total} changes were accepted"
    return f"{accepted} of {total} changes {'was' if accepted == 1 else 'were'} accepted"


def _say_rest(name: str, count: int) -> str:
    if name.startswith(_WITH_WAS):
        return f"{count} {'was' if count == 1 else 'were'} {name}"
    if name == _WORDS[None]:
        return f"{count} {'is' if count == 1 else 'are'} {name}"
    return f"{count} {name}"
