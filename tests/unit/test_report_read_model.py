"""The report over a whole night, with evidence good, missing, torn and hostile."""

import json

import pytest

from pantheon.core.errors import ConfigError
from pantheon.report.html import render_html
from pantheon.report.json import render_json
from pantheon.report.read_model import build_report
from pantheon.testing.clock import FakeClock
from pantheon.testing.evidence import FakeEvidence
from pantheon.testing.sample_night import BATCH, SampleNight
from pantheon.testing.store import FakeStore


class Played:
    """A night that was played, and what can be asked of it."""

    def __init__(self):
        self.clock = FakeClock()
        self.store = FakeStore(self.clock)
        self.evidence = FakeEvidence()

    async def play(self, tasks=8, **how):
        return await SampleNight(self.store, self.clock, self.evidence.put).play(tasks, **how)

    async def report(self, night=None):
        return await build_report(self.store, self.evidence, night)


@pytest.fixture
def played():
    return Played()


def folder(night, number, node):
    return f"{night}/{BATCH}-note-{number:04}/{node}/001"


def both(report):
    return render_html(report).decode(), json.loads(render_json(report))


async def test_a_night_is_told_whole(played):
    """Sentence, needs, landed changes, causes and figures come from the store and the artifacts."""
    await played.play(8)
    report = await played.report()
    assert report.sentence == (
        "4 of 8 changes were accepted; 2 were denied by reviewers, 1 failed in doc.frontmatter, "
        "1 failed in plan.validate."
    )
    assert [need.urgency for need in report.needs] == ["now", "today", "today", "today", "today"]
    assert [(group.package, len(group.changes)) for group in report.landed] == [("docs", 2), ("journal", 2)]
    change = report.landed[0].changes[0]
    assert change.title == "How the rate limiter counts, part 0"
    assert change.diff.paths == (("docs/2025.07.01.note-0.md", "docs/0-rate-limiter.md"),)
    assert report.agreement[0].disputed == (f"{BATCH}/note-0002",)
    assert report.problems == ()
    html, data = both(report)
    assert "git merge pantheon/night-" in html
    assert data["format"] == "pantheon.report/1"
    assert data["outcomes"] == {"accepted": 4, "denied": 2, "failed": 2}


async def test_each_task_needs_a_person_once(played):
    """A task that is told of under one need is not told of again under a cause."""
    await played.play(8)
    keys = [key for need in (await played.report()).needs for key in need.tasks]
    assert len(keys) == len(set(keys))


async def test_without_any_artifact_the_report_still_comes(played):
    """What is missing is named, and accepted changes without evidence come first."""
    await played.play(8)
    played.evidence.files.clear()
    report = await played.report()
    assert report.needs[0].title == "4 accepted changes have gaps in the evidence"
    assert any("no artifacts" in problem for problem in report.problems)
    assert report.landed[0].changes[0].diff is None
    html, _ = both(report)
    assert "The diff is missing from the artifacts" in html


async def test_torn_artifacts_are_named(played):
    """Each artifact that ends in the middle or is not what it should be is a problem, and the rest is shown."""
    night = await played.play(1)
    work, review = folder(night, 0, "doc.frontmatter"), folder(night, 0, "review.peerA")
    played.evidence.put(work, "tool_calls.jsonl", b'{"step": 1}\n{"step": ')
    played.evidence.put(work, "llm_calls.jsonl", b"[1]\n")
    played.evidence.put(work, "metrics.json", b'{"wall_s": NaN}')
    played.evidence.put(review, "review.json", b'{"verdict": "maybe"}')
    del played.evidence.files[work]["attestation.json"]
    played.evidence.broken[review, "stdout.log"] = "cannot be read: Input/output error"
    told = "\n".join((await played.report()).problems)
    for part in (
        "tool_calls.jsonl ends in the middle of a line",
        "llm_calls.jsonl line 1 is not a JSON object",
        "metrics.json is not JSON",
        "review.json holds no verdict",
        "attestation.json is missing",
        "stdout.log cannot be read: Input/output error",
    ):
        assert part in told


async def test_a_conflict_is_shown_and_inert(played):
    """What a merge that could not be made has left stands in the report, as text."""
    night = await played.play(1)
    merge = folder(night, 0, "merge")
    told = b"# a.md: wanted, changed\n+mine\x1b[2J<script>\n# a.md: now, changed\n+theirs\n"
    played.evidence.put(merge, "conflict.patch", told)
    html, _ = both(await played.report())
    assert "Conflict" in html and "# a.md: now, changed" in html
    assert "<script>" not in html and "\x1b" not in html


async def test_absurd_metrics_are_no_figures(played):
    """Wrong types, negative and endless numbers count as nothing and break nothing."""
    night = await played.play(1)
    for node in ("doc.frontmatter", "review.peerA"):
        played.evidence.put(
            folder(night, 0, node),
            "review.json",
            b'{"verdict": "pass", "margins": 3, "questions": [1, {"margins": {}}]}',
        )
    attempts = played.store._attempts
    for history in attempts.values():
        metrics = {
            "wall_s": -5,
            "calls": "many",
            "tool_errors": [1, {}, None],
            "agent": ["x"],
            "model_s": 1e300,
        }
        result = history[0].result.model_copy(update={"metrics": metrics})
        history[0] = history[0].model_copy(update={"result": result})
    report = await played.report()
    assert all(row.total_s >= 0 for row in report.timings)
    both(report)


async def test_an_output_that_looks_like_a_verdict_is_none(played):
    """Only the review's own artifact speaks for a reviewer."""
    night = await played.play(1)
    forged = json.dumps({"verdict": "pass", "reviewer": "review.peerA"}).encode()
    played.evidence.put(folder(night, 0, "doc.frontmatter"), "output.json", forged)
    report = await played.report()
    assert sum(row.passed.total for row in report.reviewers) == 2


async def test_an_open_night_says_so(played):
    """A night that was interrupted is reported as far as it came."""
    await played.play(3, close=False)
    report = await played.report()
    assert report.sentence.startswith("The night was interrupted or is still running; so far 2 of 3")
    assert report.needs[0].title == "The night is not closed"
    html, _ = both(report)
    assert "not closed" in html


async def test_a_running_attempt_is_shown_and_is_no_gap(played):
    """An attempt without an end has no figures, and nothing is missing from it yet."""
    night = await played.play(1, close=False, start=False)
    key = f"{BATCH}/note-0000#plan.validate"
    await played.store.make_ready(night, [key])
    await played.store.claim(night, key, owner="me", lease_s=5)
    report = await played.report()
    (attempt,) = report.tasks[0].nodes[0].attempts
    assert (attempt.facts.outcome, attempt.problems) == (None, ())
    assert "running" in both(report)[0]


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        (0, "The night had no work: no task was given to it."),
        (3, "The night never ran: none of its 3 tasks was started."),
    ],
)
async def test_a_night_that_never_ran_gets_a_report(played, tasks, said):
    """No attempt, no chart, no error."""
    await played.play(tasks, start=False)
    report = await played.report()
    assert report.sentence == said
    html, _ = both(report)
    assert "nothing to draw" in html


async def test_nights_are_found_by_prefix_and_never_guessed(played):
    """The last night without a name; an unknown or doubtful name is refused with what there is."""
    with pytest.raises(ConfigError, match="no night yet"):
        await played.report()
    await played.play(1)
    assert (await played.report("2026")).night.id == "20260101-220000"
    for name in ("1999", ""):
        with pytest.raises(ConfigError) as caught:
            await played.report(name)
        assert "20260101-220000" in caught.value.hint


async def test_equal_nights_make_equal_bytes(played):
    """A report is a function of the store and the artifacts."""
    await played.play(4)
    first, second = await played.report(), await played.report()
    assert render_html(first) == render_html(second)
    assert render_json(first) == render_json(second)
