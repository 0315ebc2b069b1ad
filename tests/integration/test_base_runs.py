"""What is kept of base commits' runs: whole or not at all, bounded, and by key."""

import os
from pathlib import Path

import pytest

from pantheon.adapters.base_runs import BaseRunFolder
from pantheon.core.errors import StoreError

KEYS = [f"{n:064x}" for n in range(6)]


async def test_what_is_kept_is_found_by_a_second_reader(tmp_path: Path) -> None:
    """The last bytes under a key count, also after a restart."""
    folder = tmp_path / "state" / "base_runs"
    kept = BaseRunFolder(folder)
    assert await kept.get(KEYS[0]) is None
    await kept.put(KEYS[0], b"old")
    await kept.put(KEYS[0], b"new")
    assert await BaseRunFolder(folder).get(KEYS[0]) == b"new"


async def test_the_folder_stays_small(tmp_path: Path) -> None:
    """The oldest are forgotten, and so is what a killed process left half written."""
    kept = BaseRunFolder(tmp_path, max_files=3)
    (tmp_path / f"{KEYS[5]}.json.dead.new").write_bytes(b"half")
    for key in KEYS:
        await kept.put(key, b"x")
    assert len(os.listdir(tmp_path)) == 3
    assert await kept.get(KEYS[5]) == b"x" and await kept.get(KEYS[0]) is None


@pytest.mark.parametrize("key", ["", "../x", "A" * 64, "0" * 63, f"{'0' * 64}\n"])
async def test_a_key_is_a_digest(tmp_path: Path, key: str) -> None:
    """Nothing else becomes the name of a file."""
    with pytest.raises(StoreError, match="no key"):
        await BaseRunFolder(tmp_path).put(key, b"x")


async def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """A link in the place of a key is an error that names it."""
    (tmp_path / f"{KEYS[0]}.json").symlink_to("/etc/passwd")
    with pytest.raises(StoreError, match="cannot be read"):
        await BaseRunFolder(tmp_path).get(KEYS[0])
