"""Watches how much of a disk vanishes while a program runs.

A quota would be the kernel's own way, and needs a file system that was made for it. Files that were deleted while open
take space under no name, so the free space is watched and not the size of the tree.
"""

import asyncio
import os
from pathlib import Path
from typing import NoReturn

from pantheon.core.sandbox import SandboxLimits

LOOK_S = 0.1


class DiskError(Exception):
    """Too much of the disk is gone. Caught where the run is ended; never leaves this package."""


async def guard_disk(folder: Path, limits: SandboxLimits) -> NoReturn:
    """Look until cancelled.

    Raises:
        DiskError: more space, or room for files, has vanished than the limits allow, or nobody can tell.
    """
    first_bytes, first_files = await asyncio.to_thread(_free, folder)
    while True:
        await asyncio.sleep(LOOK_S)
        free_bytes, free_files = await asyncio.to_thread(_free, folder)
        if first_bytes - free_bytes > limits.disk_bytes or first_files - free_files > limits.disk_files:
            raise DiskError


def _free(folder: Path) -> tuple[int, int]:
    try:
        told = os.statvfs(folder)
    except OSError as error:
        raise DiskError from error
    return told.f_bavail * told.f_frsize, told.f_favail
