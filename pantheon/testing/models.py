"""Tiny models in tiny wheels, and a fetcher of wheels that does what a test tells it."""

import asyncio
import hashlib
import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from pantheon.core.catalogue import FileSource, HttpsSource, ModelEntry, PackagesSource, plan_parts
from pantheon.core.errors import ArtifactError

PART_BYTES = 40_000


def tiny_bytes(size_bytes: int = 3 * PART_BYTES + 7) -> bytes:
    """Return bytes that look random and are the same every time."""
    return b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(size_bytes // 32 + 1))[:size_bytes]


def packages_source(size_bytes: int, *, name: str = "tiny-part{number}") -> PackagesSource:
    """Return a source of packages for a file of this size."""
    count = -(-size_bytes // PART_BYTES)
    return PackagesSource(
        kind="packages",
        name=name,
        version="1.0",
        count=count,
        member="*/data/part{number:02}.bin",
        part_bytes=PART_BYTES,
    )


def tiny_entry(data: bytes, *sources: PackagesSource | HttpsSource | FileSource) -> ModelEntry:
    """Return the catalogue's entry of ``data``; from packages where no source is given."""
    return ModelEntry(
        name="tiny",
        file="tiny.gguf",
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        licence="Apache-2.0",
        context_tokens=512,
        sources=sources or (packages_source(len(data)),),
    )


def make_wheel(members: Mapping[str, bytes]) -> bytes:
    """Return a zip with these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def part_wheels(data: bytes, source: PackagesSource | None = None) -> dict[str, bytes]:
    """Return package -> wheel for a file cut into parts."""
    source = source or packages_source(len(data))
    entry = tiny_entry(data, source)
    return {
        part.package: make_wheel(
            {
                f"pkg/data/part{part.number:02}.bin": data[
                    part.offset_bytes : part.offset_bytes + part.size_bytes
                ],
                "pkg/__init__.py": b"raise SystemExit('a wheel was imported')",
            }
        )
        for part in plan_parts(entry, source)
    }


class FakeWheels:
    """``WheelFetcher`` over bytes in memory.

    Args:
        wheels: package -> its wheel; a package that is not there cannot be had.
        before: called with the package before each download; may raise.
    """

    def __init__(self, wheels: Mapping[str, bytes], before: Callable[[str], None] | None = None) -> None:
        self.wheels = dict(wheels)
        self.asked: list[str] = []
        self.running = 0
        self.most_running = 0
        self.before = before

    async def download(self, package: str, version: str, folder: Path, *, max_bytes: int) -> Path:
        self.asked.append(package)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(0)
            if self.before is not None:
                self.before(package)
            if package not in self.wheels:
                raise ArtifactError(f"no package {package}=={version}")
            path = folder / f"{package}-{version}-py3-none-any.whl"
            path.write_bytes(self.wheels[package][:max_bytes])
            await asyncio.sleep(0)
            return path
        finally:
            self.running -= 1
