"""Fetches a model file over https, and goes on where it was broken off.

Invariants:
- every hop of a redirect is https; nothing is sent but the range that is wanted;
- a server that announces another size than the catalogue is refused before its first byte is kept;
- a resumed download continues only the same version of the file (``If-Range``), else it begins again.

By day only: proxies and certificates of the user's environment are respected here, unlike at night.
"""

import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

import httpx

from pantheon.adapters.fetching import Job, disk_error, write_durably
from pantheon.adapters.threads import run_to_end
from pantheon.core.catalogue import HttpsSource
from pantheon.core.errors import ArtifactError
from pantheon.ports.clock import Clock

MAX_REDIRECTS = 5
FRUITLESS_TRIES = 4
"""Tries in a row that bring nothing before giving up."""
TIMEOUT = httpx.Timeout(30)
SYNC_BYTES = 32 * 1024 * 1024
"""How much may be lost to a power cut."""

_RANGE = re.compile(r"bytes (\d{1,16})-\d{1,16}/(\d{1,16})", re.ASCII)
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


def https_client() -> httpx.AsyncClient:
    """Return a client for downloads by day: the user's proxies and certificates, no redirects by itself."""
    return httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=False, headers={"User-Agent": "pantheon"})


class HttpsFetcher:
    """Fetches what an ``HttpsSource`` describes.

    Args:
        clock: time between tries.
        connect: makes the client of one fetch.
    """

    def __init__(self, clock: Clock, connect: Callable[[], httpx.AsyncClient] = https_client) -> None:
        self._clock = clock
        self._connect = connect

    async def fetch(self, source: HttpsSource, job: Job) -> Path:
        """Return the whole file; its size is right, its digest is for the caller to compare.

        Raises:
            ArtifactError: the server refuses, lies about the size, or is lost again and again.

        Cancellation:
            What has arrived is kept, and the next fetch goes on from there.
        """
        fruitless = 0
        async with self._connect() as client:
            while (had := _size(job.data)) < job.entry.size_bytes:
                try:
                    await self._go_on(client, source, job, had)
                except httpx.HTTPError as error:
                    fruitless = 0 if _size(job.data) > had else fruitless + 1
                    if fruitless == FRUITLESS_TRIES:
                        raise ArtifactError(
                            f"{source.url}: {type(error).__name__}: {error}",
                            hint="Try again: what has arrived is kept.",
                        ) from error
                    await self._clock.sleep(2.0**fruitless)
        return job.data

    async def _go_on(self, client: httpx.AsyncClient, source: HttpsSource, job: Job, had: int) -> None:
        mark = job.folder / "etag"
        etag = mark.read_text("utf-8") if had and mark.is_file() else ""
        headers = {"Accept-Encoding": "identity"}
        if etag:
            headers |= {"Range": f"bytes={had}-", "If-Range": etag}
        async with _follow(client, source.url, headers) as response:
            start = _check(response, source, job, had if etag else 0)
            try:
                with _open_at(job.data, start) as out:
                    # After the old bytes are gone: a mark never vouches for bytes of another version.
                    write_durably(mark, _strong_etag(response).encode())
                    await _receive(response, source, job, out, start)
            except OSError as error:
                raise disk_error(job.data, error) from error


@asynccontextmanager
async def _follow(
    client: httpx.AsyncClient, url: str, headers: dict[str, str]
) -> AsyncIterator[httpx.Response]:
    target = httpx.URL(url)
    for _ in range(MAX_REDIRECTS + 1):
        if target.scheme != "https":
            raise ArtifactError(f"{url}: leads to {target.scheme}://{target.host}, not https")
        async with client.stream("GET", target, headers=headers) as response:
            if not response.has_redirect_location:
                yield response
                return
            try:
                target = target.join(response.headers["Location"])
            except httpx.InvalidURL as error:
                raise ArtifactError(f"{url}: leads to no URL: {error}") from error
    raise ArtifactError(f"{url}: more than {MAX_REDIRECTS} redirects")


def _check(response: httpx.Response, source: HttpsSource, job: Job, had: int) -> int:
    """Return where the body begins in the file."""
    status, wanted = response.status_code, job.entry.size_bytes
    if status in _TRANSIENT:
        raise httpx.HTTPStatusError(f"HTTP {status}", request=response.request, response=response)
    if status not in (200, 206):
        raise ArtifactError(f"{source.url}: HTTP {status}")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise ArtifactError(f"{source.url}: sends an encoding that was not asked for")
    start, total = 0, _number(response.headers.get("Content-Length"))
    if status == 206:
        match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != had or not had:
            raise ArtifactError(f"{source.url}: sends another range than was asked for")
        start, total = had, int(match[2])
    if total is not None and total != wanted:
        raise ArtifactError(f"{source.url}: has {total} bytes, the catalogue says {wanted}")
    return start


async def _receive(
    response: httpx.Response, source: HttpsSource, job: Job, out: BinaryIO, start: int
) -> None:
    done, synced, wanted = start, start, job.entry.size_bytes
    # Chunks as they come: gathered into larger ones, the last of a broken connection would be lost.
    async for chunk in response.aiter_raw():
        if done + len(chunk) > wanted:
            raise ArtifactError(f"{source.url}: sends more than {wanted} bytes")
        await run_to_end(partial(out.write, chunk))
        done += len(chunk)
        if done - synced >= SYNC_BYTES or done == wanted:
            await run_to_end(partial(_sync, out))
            synced = done
        job.progress(done, wanted, "")
    if done < wanted:
        raise httpx.RemoteProtocolError("the answer ended too early")


def _open_at(path: Path, start: int) -> BinaryIO:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    out = os.fdopen(descriptor, "r+b")
    out.truncate(start)
    out.seek(start)
    return out


def _sync(out: BinaryIO) -> None:
    out.flush()
    os.fsync(out.fileno())


def _strong_etag(response: httpx.Response) -> str:
    etag: str = response.headers.get("ETag", "")
    return etag if etag.startswith('"') and len(etag) < 500 and etag.isascii() and etag.isprintable() else ""


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 17 else None


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0
