"""``pantheon report`` over a real store and real artifacts."""

import asyncio
import json
from pathlib import Path

from pantheon.adapters.store import open_store
from pantheon.core.sandbox import SandboxKind
from pantheon.engine.ledger_opening import record_containment
from pantheon.testing.clock import FakeClock
from pantheon.testing.contained_night import contained
from pantheon.testing.project import pantheon
from pantheon.testing.sample_night import SampleNight
from pantheon.testing.sample_project import play_night
from pantheon.testing.signing import inline_ledger


async def play(project, night=SampleNight.night):
    await play_night(project.database, project.artifacts, 6, night=night)


def test_the_path_is_data_and_the_sentence_is_a_remark(project):
    """stdout has the path alone, so that it can be piped; both files are there."""
    asyncio.run(play(project))
    done = pantheon(project.root, "report")
    html = project.artifacts / "20260101-220000" / "report.html"
    assert (done.returncode, done.stdout) == (0, f"{html}\n")
    assert done.stderr.startswith("3 of 6 changes were accepted")
    assert html.read_bytes().startswith(b"<!doctype html>")
    assert json.loads(html.with_name("report.json").read_bytes())["night"]["id"] == "20260101-220000"


def test_json_names_what_was_written(project):
    """The keys are stable: night, sentence, html, json."""
    asyncio.run(play(project))
    said = json.loads(pantheon(project.root, "report", "2026", "--json").stdout)
    assert set(said) == {"night", "sentence", "html", "json"}
    assert Path(said["json"]).is_file()


def test_a_report_is_made_anew(project):
    """A second call replaces the first report, also where somebody has damaged it."""
    asyncio.run(play(project))
    first = Path(pantheon(project.root, "report").stdout.strip())
    whole = first.read_bytes()
    first.write_bytes(b"damaged")
    pantheon(project.root, "report")
    assert first.read_bytes() == whole


def test_links_lead_to_the_artifacts(project):
    """Every relative link of the report is a folder beside it."""
    asyncio.run(play(project))
    html = Path(pantheon(project.root, "report").stdout.strip())
    links = {part.split('"')[0] for part in html.read_text().split('href="./')[1:]}
    assert links
    assert all((html.parent / link).is_dir() for link in links)


def test_without_a_night_it_says_what_to_do(project):
    """No store, and no night in the store: exit 2 and the next step; an unknown night names the known."""
    done = pantheon(project.root, "report")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there was no night yet" in done.stderr
    asyncio.run(play(project))
    done = pantheon(project.root, "report", "1999")
    assert done.returncode == 2
    assert "20260101-220000" in done.stderr


async def attest(project, sandbox):
    """Note what a process of the night has attested, as the night's wiring does."""
    store = await open_store(project.database, FakeClock(), write=True)
    record = (await store.nights())[-1]
    ledger = inline_ledger(record.id, record.base_commit)
    ledger.state = lambda *claim: ledger.enter(*claim)
    await record_containment(ledger, store, record, contained(sandbox))
    await store.aclose()


def test_a_night_without_a_sandbox_says_so(project):
    """What that night attested stands at the top of the page and in the JSON, whatever the policy says today."""
    asyncio.run(play(project))
    page = project.artifacts / "20260101-220000" / "report.html"
    policy = project.policies / "night.toml"
    policy.write_text(policy.read_text().replace('sandbox = "bubblewrap"', 'sandbox = "none"'))

    def told():
        assert pantheon(project.root, "report").returncode == 0
        return json.loads(page.with_name("report.json").read_bytes())["night"]["sandbox"]

    assert told() is None
    asyncio.run(attest(project, SandboxKind.BUBBLEWRAP))
    assert told() == "bubblewrap"
    assert 'id="sandbox"' not in page.read_text()
    policy.write_text(policy.read_text().replace('sandbox = "none"', 'sandbox = "bubblewrap"'))
    asyncio.run(attest(project, SandboxKind.NONE))
    assert told() == "none"
    assert "could run with everything that the night could reach" in page.read_text()
