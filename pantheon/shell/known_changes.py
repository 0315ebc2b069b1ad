"""Gathers what is known to be good: notes as they lie in the repository, and changes by people that stood."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pantheon.adapters.git.history import open_history
from pantheon.core.errors import ConfigError
from pantheon.core.known_cases import KnownNote, known_notes
from pantheon.core.operation import operation_message
from pantheon.core.past_changes import MAX_COMMITS, PastChange, find_settled, read_change, say_left_out
from pantheon.engine.services import Services
from pantheon.shell.config import Project
from pantheon.tools.rename import NOTE_SUFFIXES

SHIPPED = "calibration-notes"
"""Folder in which the notes that travel with Pantheon lie, in commits that nobody else sees."""
ENOUGH_NOTES = 40
"""With this many known notes of its own, a repository needs none of ours."""
MAX_READ = 300
"""How many changes of the past are read, newest first, in search of enough."""
Source = Literal["files", "history", "both"]


@dataclass(frozen=True)
class Known:
    """What the cases of a calibration are made from."""

    start: str
    """The commit that holds the notes."""
    notes: tuple[KnownNote, ...]
    chosen: tuple[int, ...]
    """Numbers of the notes that are tried."""
    past: tuple[PastChange, ...]
    """Changes from history that are tried, newest first."""
    beside: Mapping[str, bytes]
    """Known notes of ours that lie beside them: path -> content."""
    found: tuple[str, ...]
    """What there was, for people."""


async def find_known(
    services: Services, project: Project, source: Source, most: int, *, checked: bool = True
) -> Known:
    """Return what a calibration is to try; from both sources, at most half of it comes from history.

    Args:
        services: of the calibration.
        project: the configured repository.
        source: where known-good changes are taken from.
        most: how many.
        checked: leave out notes to whose metadata a check objects today.

    Raises:
        ConfigError: nothing is known to be good.
        GitError: the history cannot be read.
    """
    start, notes, beside = await _notes(services, checked=checked)
    past: tuple[PastChange, ...] = ()
    found = []
    if source != "files":
        past, told = await _past(services, project, most if source == "history" else most // 2)
        found.append(told)
    chosen: tuple[int, ...] = ()
    if source != "history":
        taken = {path for one in past for path in (one.path, one.old_path, one.last_path)}
        free = [number for number, note in enumerate(notes) if note.path not in taken]
        chosen = _spread(free, most - len(past))
        found.append(f"from files: {len(chosen)} of {len(notes)} notes that are catalogued rightly")
    if not chosen and not past:
        raise ConfigError(
            f"nothing is known to be good: {'; '.join(found)}",
            hint="pantheon review calibrate --from both takes files too, and notes that travel with Pantheon.",
        )
    return Known(start, notes, chosen, past, beside, tuple(found))


async def _notes(
    services: Services, *, checked: bool
) -> tuple[str, tuple[KnownNote, ...], Mapping[str, bytes]]:
    """Return a commit, its notes that are catalogued rightly, and ours among them where its own are few."""
    repository = services.repository
    head = await repository.resolve("HEAD")
    paths = [path for path in await repository.list_files(head) if path.lower().endswith(NOTE_SUFFIXES)]
    own = known_notes(await repository.read_files(head, paths), checked=checked)
    if len(own) >= ENOUGH_NOTES:
        return head, own, {}
    shipped = {f"{SHIPPED}/{name}": data for name, data in (await asyncio.to_thread(shipped_notes)).items()}
    async with repository.work_tree(head) as tree:
        for path, data in shipped.items():
            await asyncio.to_thread(tree.files.write_bytes, path, data)
        start = await tree.commit(operation_message("Known notes", ()))
    return start, (*own, *known_notes(shipped, checked=checked)), shipped


async def _past(services: Services, project: Project, most: int) -> tuple[tuple[PastChange, ...], str]:
    """Return the newest changes that are known to be good, and what there was, for people."""
    repository = services.repository
    head = await repository.resolve("HEAD")
    async with open_history(project.root, project.state, services.clock) as history:
        commits = await history.past(head, MAX_COMMITS)
    settled = find_settled(commits, services.clock.now())
    left_out = Counter(settled.left_out)
    good: list[PastChange] = []
    for edit in settled.edits[:MAX_READ]:
        if len(good) >= most:
            break
        before = await repository.read_file(edit.parent, edit.old_path)
        read = read_change(edit, before, await repository.read_file(edit.commit, edit.path))
        if isinstance(read, PastChange):
            good.append(read)
        else:
            left_out[read] += 1
    told = f"from history: {len(good)} that stood, in {len(commits)} commits"
    return tuple(good), f"{told}; left out: {say_left_out(left_out)}" if left_out else told


def _spread(numbers: Sequence[int], most: int) -> tuple[int, ...]:
    """Return at most so many of these, from all over."""
    step = max(len(numbers) / max(most, 1), 1.0)
    return tuple(numbers[int(number * step)] for number in range(min(most, len(numbers))))


def shipped_notes() -> Mapping[str, bytes]:
    """Return the known notes that travel with Pantheon: file name -> content."""
    from importlib.resources import files

    folder = files("pantheon.shell").joinpath("content", "known_notes")
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.name.endswith(NOTE_SUFFIXES)}
