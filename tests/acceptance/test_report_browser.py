"""The report of an honest night in a real browser."""

import pytest

from pantheon.report.html import render_html
from pantheon.testing.browser import Page, show_page
from pantheon.testing.sample_report import sample_report

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


async def test_an_honest_night_in_a_browser(tmp_path):
    """The style is let in by its policy, nothing is complained about, and the sections are there in order."""
    dom, console = show_page(tmp_path, render_html(await sample_report()))
    assert console == []
    page = Page(dom)
    assert [a["id"] for t, a in page.elements if t == "section"] == [
        "needs", "landed", "causes", "time", "agents", "evidence",
    ]  # fmt: skip
    assert "4 of 8 changes were accepted" in "".join(page.text)
    assert sum(tag == "details" and "target" in attrs.get("class", "") for tag, attrs in page.elements) == 8
    assert not FORBIDDEN & {tag for tag, _ in page.elements}
