"""Which changes of a night go into one pull request, and what it says.

Invariants:
- every change is in exactly one group, in the order it landed in;
- changes of one package are in one group, and so are changes that touch a common path: no two groups touch the same
  path, so each group can be made, read and merged without the others;
- a text that a model wrote calls nobody and closes nothing when a forge shows it.
"""

import re
from collections.abc import Mapping, Sequence

from pantheon.core.model import Frozen
from pantheon.core.visible import visible_line

MAX_TITLE = 100
MAX_LISTED = 100
"""Changes that a pull request's text names; forges bound such texts, and so do arguments of programs."""
_CALLS = re.compile(r"@(?=\w)")
_NUMBERS = re.compile(r"#(?=\d)|\bGH-(?=\d)", re.I)


class Landing(Frozen):
    """One change that stands on a night's branch."""

    commit: str
    parent: str
    task: str
    package: str
    subject: str
    paths: tuple[str, ...]


class Group(Frozen):
    """The changes of one pull request."""

    packages: tuple[str, ...]
    slug: str
    """Fits a branch's and a file's name; no two groups of a night share it."""
    changes: tuple[Landing, ...]


def plan_groups(changes: Sequence[Landing], *, one: bool = False) -> tuple[Group, ...]:
    """Return the groups, the one that landed first before the others.

    Args:
        changes: oldest first.
        one: everything in one group.
    """
    leader: dict[str, int] = {}
    above = list(range(len(changes)))

    def top(place: int) -> int:
        while above[place] != place:
            above[place] = above[above[place]]
            place = above[place]
        return place

    for place, change in enumerate(changes):
        everything = ("all",) if one else ()
        for mark in (*everything, f"package {change.package}", *(f"path {path}" for path in change.paths)):
            first, second = sorted((top(leader.setdefault(mark, place)), top(place)))
            above[second] = first
    members: dict[int, list[Landing]] = {}
    for place, change in enumerate(changes):
        members.setdefault(top(place), []).append(change)
    taken: dict[str, int] = {}
    return tuple(_group(found, taken) for _, found in sorted(members.items()))


def _group(changes: Sequence[Landing], taken: dict[str, int]) -> Group:
    packages = tuple(dict.fromkeys(change.package for change in changes))
    slug = _slug(packages)
    taken[slug] = number = taken.get(slug, 0) + 1
    if number > 1:
        slug = _unused(f"{slug}-{number}", taken)
    return Group(packages=packages, slug=slug, changes=tuple(changes))


def _unused(slug: str, taken: dict[str, int]) -> str:
    while slug in taken:
        slug += "-x"
    taken[slug] = 1
    return slug


def _slug(packages: Sequence[str]) -> str:
    words = "-".join(re.findall(r"[a-z0-9]+", " ".join(packages).lower()))[:50].strip("-")
    return words or "changes"


def calm(text: str) -> str:
    """Return a text on one line that mentions no account and refers to no issue, by number or address."""
    return _NUMBERS.sub("no. ", _CALLS.sub("@ ", visible_line(text).replace("://", ": //")))


def picked_message(message: str, landed: str) -> str:
    """Return the message of a picked commit: its subject calmed, its lines as they were, and where it comes from."""
    subject, _, rest = message.partition("\n")
    return f"{calm(subject)}\n{rest.rstrip(chr(10))}\nPantheon-Landed: {landed}\n"


def request_title(group: Group, night: str) -> str:
    """Return the title of a group's pull request."""
    if len(group.changes) == 1:
        title = group.changes[0].subject
    else:
        title = f"{', '.join(filter(None, group.packages)) or 'Night'}: {len(group.changes)} changes of night {night}"
    return calm(title)[:MAX_TITLE].rstrip()


def request_body(group: Group, night: str, branch: str, margins: Mapping[str, Sequence[str]]) -> str:
    """Return the text of a group's pull request, in Markdown.

    Args:
        group: its changes.
        night: id of the night.
        branch: the night's branch.
        margins: task key -> what each reviewer said, in words.
    """
    count = "1 change" if len(group.changes) == 1 else f"{len(group.changes)} changes"
    lines = [
        f"{count} of night `{_code(night)}`. Each passed the repository's checks",
        "and was accepted by every reviewer; no person has read it yet. Please do.",
        "",
    ]
    for change in group.changes[:MAX_LISTED]:
        lines.append(f"- {_span(change.subject)}")
        lines.append(
            f"  - task {_span(change.task)}, landed as `{_code(change.commit[:12])}` on `{_code(branch)}`"
        )
        lines += [f"  - {_span(said)}" for said in margins.get(change.task, ())]
    if len(group.changes) > MAX_LISTED:
        lines.append(f"- and {len(group.changes) - MAX_LISTED} more; the commits name them")
    lines += [
        "",
        "Why each was accepted: `pantheon gate explain TASK`. To take one back: `pantheon undo TASK --reason TEXT`.",
    ]
    return "\n".join(lines) + "\n"


def _span(text: str) -> str:
    """Return a text as a code span, in which a forge reads neither markup nor mentions."""
    return f"`{_code(calm(text))}`"


def _code(text: str) -> str:
    return " ".join(visible_line(text).replace("`", "'").split()) or "?"
