"""Nights to tamper with, and the verifiers that must notice: ours, and the recipes of docs/verify.md as they stand."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pantheon.adapters.keys import read_public_key
from pantheon.adapters.night_verifier import verify_night
from pantheon.core.verify import NightVerdict
from pantheon.testing.night import NoteScript, opened
from pantheon.testing.sample_notes import NOTES, PROPOSALS
from pantheon.testing.user_repository import make_repository

PAGE = Path(__file__).parents[2] / "docs" / "verify.md"


def make_night(top: Path, nights: Sequence[str] = ("n1",)) -> Path:
    """Run nights over one note each, and return the folder with their artifacts, keys and witness.

    Args:
        top: an empty folder; ``user`` in it becomes the repository.
        nights: their ids, at most as many as there are notes.
    """
    root = make_repository(top / "user", NOTES)

    async def run() -> None:
        async with opened(root, top / "night", NoteScript(PROPOSALS)) as bench:
            for number, (night, note) in enumerate(zip(nights, NOTES, strict=False)):
                await bench.night([note], night=night, batch=f"{number:012}")

    asyncio.run(run())
    return top / "night"


def user_key(night: Path) -> Path:
    """Return the public key of whoever ran a night."""
    return night.parents[1] / "keys" / "night.pub.pem"


def verify(night: Path, **more: object) -> NightVerdict:
    """Verify a night with our own verifier."""
    return verify_night(night, read_public_key(user_key(night)), **more)  # type: ignore[arg-type]


def run_openssl_recipe(night: Path) -> tuple[str, str]:
    """Run the shell recipe and return ``good`` or ``BAD``, and what it says of it."""
    script, call = _recipe("bash").rstrip().rsplit("\n", 1)
    assert call.startswith("verify artifacts/NIGHT ")
    done = subprocess.run(
        ["bash", "-c", f'{script}\nverify "$1" "$2"', "recipe", str(night), str(user_key(night))],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    found = re.findall(r"^(good|BAD) +(.*)$", done.stdout, re.M)
    if len(found) != 1:
        return "BAD", done.stdout + done.stderr
    return found[0][0], found[0][1]


def run_python_recipe(night: Path) -> str:
    """Run the recipe with securesystemslib and return ``good``, or the last line of what it says instead."""
    done = subprocess.run(
        [sys.executable, "-c", _recipe("python"), str(night), str(user_key(night))],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if done.returncode == 0:
        return done.stdout.strip()
    return (done.stderr.strip().splitlines() or ["?"])[-1]


def _recipe(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert found is not None, f"docs/verify.md has no recipe in {language}"
    return found[1]
