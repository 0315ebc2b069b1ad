"""The report under attack: whatever a model or a repository wrote is text in it, and nothing else."""

import http.server
import itertools
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import pantheon.report
from pantheon.report.html import render_html
from pantheon.report.json import render_json
from pantheon.testing.browser import Page, show_page
from pantheon.testing.hostile import HOSTILE_TEXTS
from pantheon.testing.sample_report import sample_report

Names = set[tuple[str, tuple[str, ...]]]
VOID = {"meta", "br", "hr", "img", "input", "link", "base", "embed"}
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


_honest: Names = set()


async def honest_names() -> Names:
    """Return what an honest night's page is made of."""
    if not _honest:
        _honest.update(Page(render_html(await sample_report()).decode()).names)
    return _honest


async def test_the_corpus_is_an_attack() -> None:
    """The control: put into a page as they are, most of the texts make elements or attributes of their own."""
    assert len(HOSTILE_TEXTS) >= 30
    known = await honest_names()
    foreign = [
        payload
        for payload in HOSTILE_TEXTS
        if Page(f'<p class="{payload}">{payload}</p>').names - known - {("p", ("class",)), ("p", ())}
    ]
    assert len(foreign) >= 20


@pytest.mark.parametrize("payload", HOSTILE_TEXTS)
async def test_a_hostile_text_makes_no_element_and_no_attribute(payload: str) -> None:
    """In names, titles, reasons, diffs, errors, causes, packages, labels: the page is made of what it always is."""
    report = await sample_report(lambda _: payload)
    hostile = Page(render_html(report).decode())
    assert hostile.names <= await honest_names()
    for _, attrs in hostile.elements:
        assert not any(name.startswith("on") or name in ("style", "src") for name in attrs)
        assert not (attrs.get("href") or "#").startswith(("javascript", "data", "http", "//"))
    policy = next(
        attrs["content"] for tag, attrs in hostile.elements if tag == "meta" and "http-equiv" in attrs
    )
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]{44}'; base-uri 'none'; form-action 'none'",
        str(policy),
    )
    json.loads(render_json(report))


@pytest.mark.parametrize("payload", HOSTILE_TEXTS)
async def test_a_hostile_text_beside_honest_words_changes_nothing_either(payload: str) -> None:
    """Behind and before ordinary text, so that no check of a whole text hides what is inside."""
    report = await sample_report(lambda text: f"{text} {payload} {text}", tasks=4)
    assert Page(render_html(report).decode()).names <= await honest_names()


async def test_controls_and_directions_are_written_out() -> None:
    """No byte of the files can move a cursor or turn the direction of writing."""
    report = await sample_report(lambda text: f"{text}\x1b]0;x\x07\u202e\u200b\ufeff\x9b1m\b\r\u2028")
    for data in (render_html(report), render_json(report)):
        assert not UNPRINTABLE.search(data.decode())
    assert "\\u202e" in render_html(report).decode()


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """Yield the address of a server on loopback, and what it is asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


@pytest.mark.browser
@pytest.mark.primitive("chromium")
async def test_the_attack_is_seen_where_nothing_is_escaped(
    tmp_path: Path, listener: tuple[str, list[str]]
) -> None:
    """The control: the same payloads in a page without escaping and policy do run and do fetch."""
    address, asked = listener
    page = f"<title>x</title><img src={address}/seen.png><script>document.title='pwned'</script>"
    dom, _ = show_page(tmp_path, page.encode())
    assert "<title>pwned</title>" in dom
    assert asked == ["/seen.png"]


@pytest.mark.browser
@pytest.mark.primitive("chromium")
async def test_a_night_of_attacks_in_a_browser(tmp_path: Path, listener: tuple[str, list[str]]) -> None:
    """All payloads at once, in every text: nothing runs, no dialog, nothing is fetched, no element is added."""
    address, asked = listener
    payloads = itertools.cycle(text.replace("http://127.0.0.1:9", address) for text in HOSTILE_TEXTS)
    report = await sample_report(lambda _: next(payloads))
    dom, console = show_page(tmp_path, render_html(report))
    page = Page(dom)
    assert asked == []
    assert console == []
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in await honest_names()}
    assert not [name for _, attrs in page.elements for name in attrs if name.startswith("on")]
    assert all(re.match(r"#|\./", str(attrs["href"])) for tag, attrs in page.elements if tag == "a")
    assert re.search(r"<title>Night 20260101-220000: 4 of 8 accepted</title>", dom)
    assert "pwned" in "".join(page.text)


def test_nothing_in_the_report_goes_past_the_door() -> None:
    """No template turns escaping off, and the one text that is markup is the page's own style."""
    folder = Path(pantheon.report.__path__[0])
    templates = list((folder / "templates").glob("*.j2"))
    assert templates
    for template in templates:
        assert not re.search(
            r"\|\s*safe\b|autoescape|\bMarkup\b|<script|\bon\w+\s*=", template.read_text(encoding="utf-8")
        )
    markup = {path.name: path.read_text(encoding="utf-8").count("Markup(") for path in folder.glob("*.py")}
    assert {name: count for name, count in markup.items() if count} == {"html.py": 1}
