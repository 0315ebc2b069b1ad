"""``pantheon report`` over a real store and real artifacts."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pantheon.adapters.store import open_store
from pantheon.shell.config import load_project
from pantheon.testing.clock import FakeClock
from pantheon.testing.sample_night import SampleNight


def pantheon(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pantheon", "-C", str(folder), *args],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "work"
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    assert pantheon(folder, "init").returncode == 0
    return load_project(folder)


async def play(project, night="20260101-220000"):
    clock = FakeClock()
    store = await open_store(project.database, clock, write=True)

    def put(folder, name, data):
        place = project.artifacts / folder
        place.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)

    await SampleNight(store, clock, put, night=night).play(6)
    await store.aclose()


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


def test_a_policy_without_a_sandbox_is_repeated(project):
    """Said at the top of the page and in the JSON; under the default nothing is said on the page."""
    asyncio.run(play(project))
    page = project.artifacts / "20260101-220000" / "report.html"
    assert pantheon(project.root, "report").returncode == 0
    assert 'id="sandbox"' not in page.read_text()
    assert json.loads(page.with_name("report.json").read_bytes())["night"]["sandbox"] == "bubblewrap"
    policy = project.policies / "night.toml"
    policy.write_text(policy.read_text().replace('sandbox = "bubblewrap"', 'sandbox = "none"'))
    assert pantheon(project.root, "report").returncode == 0
    assert "code of the repository may run with everything that the night can reach" in page.read_text()
    assert json.loads(page.with_name("report.json").read_bytes())["night"]["sandbox"] == "none"
