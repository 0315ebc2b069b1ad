"""Which folders hold entries that a power loss could still take, of all attempts together.

An attempt that was cancelled, or that has not ended yet, may have made a folder on the way to another attempt's:
whoever says first that what is below is durable makes the way there durable too.
"""

import threading
from collections.abc import Mapping
from itertools import count
from pathlib import Path


class NewEntries:
    """Used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._noted: dict[Path, int] = {}

    def make(self, folder: Path) -> None:
        """Make a folder and note the one that holds it. Raises ``OSError``."""
        # Under the lock: whoever finds the folder made must find it noted.
        with self._lock:
            folder.mkdir()
            self._noted[folder.parent] = next(self._numbers)

    def above(self, folder: Path) -> Mapping[Path, int]:
        """Return those on the way to a folder, for ``forget`` once they are flushed."""
        with self._lock:
            return {one: self._noted[one] for one in folder.parents if one in self._noted}

    def forget(self, flushed: Mapping[Path, int]) -> None:
        """Note that folders are durable, as far as nothing new was made in them since ``above``."""
        with self._lock:
            for one, number in flushed.items():
                if self._noted.get(one) == number:
                    del self._noted[one]
