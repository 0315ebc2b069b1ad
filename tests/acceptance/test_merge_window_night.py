"""The merge window from the command line: a night that waits to land, what it says, and the one that lands."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pantheon.testing.night import NoteScript
from pantheon.testing.project import QueuedProject
from pantheon.testing.sample_notes import NOTE, PROPOSALS, TARGET
from pantheon.testing.scripted_model import serve_script
from pantheon.testing.thread import in_thread
from pantheon.testing.user_repository import git

SCRIPT = NoteScript(PROPOSALS)


@pytest.fixture
def site(tmp_path: Path) -> QueuedProject:
    """A repository with one queued note."""
    endpoint = f'[endpoint]\nkind = "openai"\nuds = "{tmp_path}/a.sock"\nmodel = "scripted"\n'
    return QueuedProject.make(tmp_path, {TARGET: NOTE}, endpoint)


def set_merge_window(site: QueuedProject, *, opens_in: timedelta) -> None:
    """Give the merge window two hours, the first of them after ``opens_in`` from now."""
    opens = datetime.now(UTC) + opens_in
    policy = site.root / "policies/night.toml"
    kept = policy.read_text().partition("\n[merge_window]")[0]
    policy.write_text(
        f"{kept}\n[merge_window]\n"
        f'start = "{opens:%H:%M}"\nend = "{opens + timedelta(hours=2):%H:%M}"\ntime_zone = "UTC"\n'
    )


def test_a_night_waits_for_the_merge_window_and_lands_in_it(site: QueuedProject) -> None:
    """Changed hours are no drift. Closed: exit code 5, nothing on any branch, and everybody is told; open: it lands."""
    set_merge_window(site, opens_in=timedelta(hours=5))
    with in_thread(serve_script(SCRIPT, site.top / "a.sock")):
        done = site.run("night", "--json")
        assert done.returncode == 5, done
        told = json.loads(done.stdout)
        assert (told["outcomes"], told["to_land"]) == ({"open": 1}, 1)
        assert git(site.root, "branch", "--list", "pantheon/*") == ""
        again = site.run("night")
        assert again.returncode == 5
        assert "1 allowed change waits for the merge window, which opens 20" in again.stderr
        status = site.run("status").stdout
        assert "1 allowed change waits for the merge window" in status
        assert "interrupted" not in status
        assert "waits for the merge window to land 1 allowed change" in site.run("report").stderr
        assert site.run("night", "--land-only").returncode == 5
        set_merge_window(site, opens_in=timedelta(hours=-1))
        landed = site.run("night", "--land-only", "--json")
        assert landed.returncode == 0, landed
        assert json.loads(landed.stdout)["outcomes"] == {"accepted": 1}
        assert site.run("night", "--land-only").returncode == 0, "nothing is left"
    night = told["night"]
    assert git(site.root, "branch", "--list", "pantheon/*").strip().endswith(night)
    assert site.run("verify", f"artifacts/{night}").returncode == 0


def test_a_wrong_merge_window_is_refused_by_name(site: QueuedProject) -> None:
    """A time zone that no machine knows stops the night before anything runs, and names the section."""
    policy = site.root / "policies/night.toml"
    policy.write_text(policy.read_text() + '\n[merge_window]\ntime_zone = "Mars/Olympus"\n')
    with in_thread(serve_script(SCRIPT, site.top / "a.sock")) as server:
        done = site.run("night")
    assert done.returncode == 2
    assert "merge_window.time_zone" in done.stderr
    assert server.requests == []
