"""The HTML file: one file, no way out of it, nothing hostile in it."""

import base64
import hashlib
import re
from html.parser import HTMLParser

from pantheon.report.html import render_html
from pantheon.report.json import render_json
from pantheon.testing.sample_report import sample_report

VOID = {"meta", "br", "hr", "img", "input", "link"}
ALLOWED = set(
    "html head meta title style body a header p h1 h2 h3 h4 svg rect ul li ol span b nav main section strong pre "
    "details summary div code table thead tbody tr th td line text footer".split()
)


class Shape(HTMLParser):
    """The elements of a page with their attributes, and whether they nest."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.open, self.text = [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


async def test_the_file_stands_alone():
    """No script, no image, no address but places in the file and folders beside it."""
    page = render_html(await sample_report()).decode()
    shape = Shape(page)
    assert {tag for tag, _ in shape.elements} <= ALLOWED
    links = [attrs["href"] for tag, attrs in shape.elements if tag == "a"]
    assert all(re.fullmatch(r"#[a-z0-9-]+|\./[A-Za-z0-9._/-]+/", link) for link in links)
    ids = [attrs["id"] for _, attrs in shape.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    assert "http" not in re.sub(r"http-equiv|, http\]", "", page)


async def test_the_policy_allows_exactly_the_one_style():
    """The content security policy names the style by its hash, and no attribute carries a style."""
    page = render_html(await sample_report(tasks=1)).decode()
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = next(a["content"] for t, a in Shape(page).elements if t == "meta" and "http-equiv" in a)
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert " style=" not in page


async def test_a_long_night_of_large_artifacts_stays_readable():
    """Excerpts shrink with the number of attempts; what is left out is marked with its place."""
    bulk = b'The "limiter" counts <requests> in a window.\n' * 2_000
    report = await sample_report(tasks=160, bulk=bulk)
    page = render_html(report)
    assert len(page) < 9_000_000
    assert len(render_json(report)) < 3_000_000
    assert b"bytes left out" in page
    assert b"the whole is in <code>20260101-220000/" in page
