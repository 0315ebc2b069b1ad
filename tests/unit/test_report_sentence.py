"""The first sentence of the report, and causes made comparable."""

import pytest

from pantheon.core.causes import cause_pattern, name_failure, say_night
from pantheon.core.records import TaskOutcome


def night(failures, accepted, *, closed=True, attempts=9):
    return say_night(failures, accepted, closed=closed, attempts=attempts)


def test_a_usual_night():
    """Every outcome is named, the most frequent first."""
    failures = ["denied by reviewers"] * 2 + ["failed in plan.validate", "had nothing to do"]
    assert night(failures, 8) == (
        "8 of 12 changes were accepted; 2 were denied by reviewers, 1 failed in plan.validate, "
        "1 had nothing to do."
    )


@pytest.mark.parametrize(
    ("failures", "accepted", "closed", "attempts", "said"),
    [
        ([], 0, True, 0, "The night had no work: no task was given to it."),
        (["not reached"] * 3, 0, True, 0, "The night never ran: none of its 3 tasks was started."),
        (["not reached"], 0, True, 0, "The night never ran: its one task was not started."),
        (["failed"] * 2, 0, True, 4, "None of 2 changes was accepted; 2 failed."),
        ([], 5, True, 9, "All 5 changes were accepted."),
        ([], 1, True, 9, "The one change was accepted."),
        (["cancelled"], 0, True, 1, "The one change was not accepted; 1 was cancelled."),
        (["failed"], 1, True, 9, "1 of 2 changes was accepted; 1 failed."),
        (
            ["still open"] * 2,
            1,
            False,
            3,
            "The night was interrupted or is still running; so far 1 of 3 changes was accepted; 2 are still open.",
        ),
    ],
)
def test_unusual_nights_are_called_what_they_were(failures, accepted, closed, attempts, said):
    """No success is implied where there was none."""
    assert night(failures, accepted, closed=closed, attempts=attempts) == said


def test_a_failure_names_its_node_but_nothing_hostile():
    """Only a plain node name gets into the sentence."""
    assert name_failure(TaskOutcome.FAILED, "doc.rename: the name is taken") == "failed in doc.rename"
    assert name_failure(TaskOutcome.FAILED, "<b>x</b>: y") == "failed"
    assert name_failure(TaskOutcome.FAILED, "") == "failed"


def test_a_denial_says_by_whom():
    """Reviewers, else the gate where it happened, else nobody that we know of."""
    denied = TaskOutcome.DENIED
    assert name_failure(denied, "gate: x", by_reviewers=True) == "denied by reviewers"
    assert name_failure(denied, "checks: links: one leads nowhere") == "denied at checks"
    assert name_failure(denied, "") == "denied"
    assert night(["denied at merge"] * 2, 1).endswith("; 2 were denied at merge.")


def test_equal_causes_meet_in_one_pattern():
    """Quoted texts, numbers and commit ids do not split a group."""
    one = cause_pattern(
        "gate: peerA: title: 'It\\'s a note' was not preferred to 'B' (margin -0.31) at 0a1b2c3d"
    )
    two = cause_pattern("gate: peerA: title: \"Other\" was not preferred to 'C' (margin +12.5) at ffffffff")
    assert one == two == "gate: peerA: title: '…' was not preferred to '…' (margin N) at …"
    assert cause_pattern("") == "no cause was recorded"
    assert len(cause_pattern("word " * 10_000)) <= 201


def test_a_night_that_waits_to_land_says_so() -> None:
    """It is neither interrupted nor running, and what waits is counted."""
    said = say_night(["still open"] * 2, 1, closed=False, attempts=9, to_land=2)
    assert said.startswith(
        "The night waits for the merge window to land 2 allowed changes; so far 1 of 3 changes was"
    )
    assert "interrupted" not in said
    one = say_night(["still open"], 0, closed=False, attempts=9, to_land=1)
    assert "to land 1 allowed change;" in one
