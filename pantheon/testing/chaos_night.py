"""A small whole night that may be killed at any instant and is run again by the same call.

Everything is real (git, SQLite, artifacts, key, model client) but the model, which is scripted and deterministic, so
that every way of getting to the end must come to the same content.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pantheon.adapters.artifacts import ArtifactFolder, FolderSink
from pantheon.adapters.clock import SystemClock
from pantheon.adapters.ledger_file import AppendedFile, LedgerFolder
from pantheon.adapters.store import hold_night
from pantheon.core.canaries import CanaryPolicy
from pantheon.core.records import NightState
from pantheon.engine.night import NightSummary
from pantheon.testing.night import Bench, NoteScript, opened, proposal
from pantheon.testing.sample_notes import PROPOSALS
from pantheon.testing.user_repository import make_repository

NIGHT = "n1"
BRANCH = f"pantheon/night-{NIGHT}"
MOST_NOTES = 4
CANARIES = CanaryPolicy(rate=0, minimum=1)
"""One for each reviewer: it dies and comes back like everything else."""
_NOTES = {
    "queues": "We compared retries with dead letter queues for the order service. Retries with backoff hide slow"
    " consumers, dead letter queues show them. See [the cache note](2026.01.02.md).",
    "caches": "The cache of the catalogue service keeps stale prices for ten minutes. Invalidation by event beats"
    " lifetimes. Related: [queues](2026.01.01.md).",
    "indexes": "The monthly report needs a composite index on customer and date; the query plan shows a sequential"
    " scan. [Queues](2026.01.01.md) were no help.",
    "backups": "The nightly backup of the mail archive fails when the tunnel to the second site drops; it must resume"
    " from the last chunk. [Indexes](2026.01.03.md) are rebuilt afterwards.",
}
"""First word of a note -> its text."""
_PROPOSALS = {
    **PROPOSALS,
    "backups": proposal(
        "mail backup", "Resuming the Mail Archive Backup after a Dropped Tunnel",
        "The nightly backup of the mail archive fails when the tunnel drops and must resume from the last chunk.",
        "backup", "mail archive", "tunnel",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class ChaosNight:
    """One night in one folder.

    Args:
        folder: holds the user's repository (``user``) and everything of Pantheon's (``night``).
        notes: number of tasks, at most ``MOST_NOTES``; from the third on each needs the one two before it.
    """

    folder: Path
    notes: int = 2

    @property
    def root(self) -> Path:
        """The user's repository."""
        return self.folder / "user"

    @property
    def own(self) -> Path:
        """What is Pantheon's: state, artifacts, keys."""
        return self.folder / "night"

    @property
    def database(self) -> Path:
        """The store's file."""
        return self.own / "state" / "pantheon.db"

    def make(self) -> None:
        """Make the user's repository, with a work tree and an index that are not clean."""
        self.folder.mkdir(parents=True, exist_ok=True)
        files = {
            self._target(place): f"{word} notes\n\n{text}\n".encode()
            for place, (word, text) in enumerate(_NOTES.items())
        }
        make_repository(self.root, {**files, "README.md": b"Start with [queues](docs/2026.01.01.md).\n"})
        (self.root / "README.md").write_bytes(b"half a sentence\n")
        (self.root / "untracked.txt").write_bytes(b"mine\n")

    async def run(self, on_bench: Callable[[Bench], None] = lambda _: None) -> NightSummary | None:
        """Run the night, or go on with it; None when it was closed before.

        Args:
            on_bench: told of the opened services, to break something among them.

        Raises:
            PantheonError: as a night does.
        """
        await asyncio.to_thread(self.database.parent.mkdir, parents=True, exist_ok=True)
        script = NoteScript(_PROPOSALS)
        planted = opened(self.root, self.own, script, canaries=CANARIES)
        async with hold_night(self.database, SystemClock()), planted as bench:
            known = {one.id: one.state for one in await bench.store.nights()}
            if known.get(NIGHT) is NightState.CLOSED:
                return None
            bench.services = replace(bench.services, artifacts=TwoStrokes(self.own / "artifacts"))
            bench.ledgers = TwoStrokeLedgers(self.own / "artifacts")
            on_bench(bench)
            summary = await bench.night(self.targets, needs=self.needs, night=NIGHT)
            await bench.services.artifacts.put_night_file(NIGHT, "report.json", b"{}\n")
            return summary

    @property
    def targets(self) -> list[str]:
        """The notes of the night."""
        return [self._target(place) for place in range(self.notes)]

    @property
    def needs(self) -> Mapping[str, list[str]]:
        """Task id -> the ids of the tasks it needs."""
        names = [Path(target).stem for target in self.targets]
        return {name: [names[place]] for place, name in enumerate(names[2:])}

    def _target(self, place: int) -> str:
        return f"docs/2026.01.{place + 1:02}.md"


class TwoStrokeSink(FolderSink):
    """Writes each artifact in two halves, so that a process can die between them."""

    def _write(self, path: Path, data: bytes, flag: int) -> None:
        half = len(data) // 2
        super()._write(path, data[:half], flag)
        super()._write(path, data[half:], os.O_APPEND)


class TwoStrokes(ArtifactFolder):
    """``ports.artifacts.ArtifactStore`` whose attempts write in two halves."""

    async def open_attempt(self, night: str, task: str, node: str, attempt: int) -> FolderSink:
        sink = await super().open_attempt(night, task, node, attempt)
        return TwoStrokeSink(self._root, sink.folder)


class TwoStrokeLedger(AppendedFile):
    """Appends each group in two halves, so that a process can die between them."""

    def _write(self, data: bytes) -> None:
        half = len(data) // 2
        super()._write(data[:half])
        super()._write(data[half:])


class TwoStrokeLedgers(LedgerFolder):
    """``ports.ledger.LedgerStore`` whose lines are written in two halves."""

    def _file(self, handle: int, path: Path, night: str) -> AppendedFile:
        return TwoStrokeLedger(handle, path, self._artifacts, night)
