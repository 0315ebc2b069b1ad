"""The report of an honest night in a real browser."""

import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from pantheon.report.html import render_html
from pantheon.report.read_model import build_report
from pantheon.testing.clock import FakeClock
from pantheon.testing.evidence import FakeEvidence
from pantheon.testing.sample_night import SampleNight
from pantheon.testing.store import FakeStore

pytestmark = pytest.mark.browser
FORBIDDEN = {
    "script",
    "img",
    "iframe",
    "object",
    "embed",
    "link",
    "form",
    "button",
    "input",
    "base",
    "animate",
    "math",
}


class Elements(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.found, self.text = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def chromium():
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.fail("chromium is missing; install it: apt-get install chromium")
    return found


def show(chromium, tmp_path, page):
    """Load a page as a person would, scripts allowed, and return the document as the browser built it."""
    file = tmp_path / "report.html"
    file.write_bytes(page)
    done = subprocess.run(
        [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--virtual-time-budget=2000",
            "--dump-dom", file.as_uri(),
        ],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


async def night(say=None):
    clock, evidence = FakeClock(), FakeEvidence()
    store = FakeStore(clock)
    sample = SampleNight(store, clock, evidence.put, **({} if say is None else {"say": say}))
    await sample.play(8)
    return render_html(await build_report(store, evidence))


async def test_an_honest_night_in_a_browser(chromium, tmp_path):
    """The style is let in by its policy, nothing is complained about, and the sections are there in order."""
    dom, console = show(chromium, tmp_path, await night())
    assert console == []
    elements = Elements(dom)
    assert [a["id"] for t, a in elements.found if t == "section"] == [
        "needs", "landed", "causes", "time", "agents", "evidence",
    ]  # fmt: skip
    assert "4 of 8 changes were accepted" in "".join(elements.text)
    assert sum(tag == "details" and "target" in attrs.get("class", "") for tag, attrs in elements.found) == 8
    assert not FORBIDDEN & {tag for tag, _ in elements.found}
