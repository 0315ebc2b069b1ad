"""Pages as a browser has them: loaded by a real one, and taken apart into elements."""

import shutil
import subprocess
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest


class Page(HTMLParser):
    """The elements of a page, their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    @property
    def names(self) -> set[tuple[str, tuple[str, ...]]]:
        """Each element with the names of its attributes."""
        return {(tag, tuple(attrs)) for tag, attrs in self.elements}


def find_chromium() -> str:
    """Return the program; missing, it fails the test: never a silent skip."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.fail("chromium is missing; install it: apt-get install chromium")
    return found


def show_page(folder: Path, page: bytes) -> tuple[str, list[str]]:
    """Load a page as a person would, scripts allowed; return the document as built, and what was complained about.

    Args:
        folder: an empty one, for the page and the browser's things.
        page: the HTML.
    """
    file = folder / "report.html"
    file.write_bytes(page)
    done = subprocess.run(
        [
            find_chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", "--virtual-time-budget=2000",
            "--dump-dom", file.as_uri(),
        ],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]
