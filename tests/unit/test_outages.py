"""Outages read back from events."""

from datetime import UTC, datetime, timedelta

from pantheon.core.outages import BACK, GONE, LOST, STILL_LOST, find_outages, idle_for_server_s
from pantheon.core.overview import NightOverview, add_outages
from pantheon.core.records import EventRecord
from pantheon.report.model import NightFacts, Report
from pantheon.report.outages import tell_outages

START = datetime(2026, 1, 1, tzinfo=UTC)


def events(*told: tuple[int, str]) -> list[EventRecord]:
    return [
        EventRecord(
            seq=n, at=START + timedelta(seconds=at), night="n", subject="n", name=name, details={"why": name}
        )
        for n, (at, name) in enumerate(told)
    ]


def test_outages_are_summed_whatever_order_they_are_read_in() -> None:
    """Pairs of lost and back; news in between change nothing."""
    told = events((1, LOST), (2, STILL_LOST), (4, BACK), (10, LOST), (11, BACK))
    found = find_outages(reversed([one for one in told if one.name != STILL_LOST]))
    assert [one.lasted_s(START) for one in found] == [3, 1]
    assert idle_for_server_s(found, START) == 4


def test_an_outage_that_lasts_ends_with_what_is_known() -> None:
    """Without an end it lasts until the moment that is asked about; a process that died in it ends with the next."""
    (only,) = find_outages(events((1, LOST)))
    assert (only.ended_at, only.lasted_s(START + timedelta(seconds=9))) == (None, 8)
    assert only.lasted_s(START) == 0
    first, second = find_outages(events((1, LOST), (5, LOST), (6, GONE)))
    assert (first.lasted_s(START), first.gone) == (4, False)
    assert (second.lasted_s(START), second.gone) == (1, True)


def test_an_end_without_a_beginning_is_none() -> None:
    """What makes no sense is not an outage."""
    assert find_outages(events((1, BACK), (2, GONE))) == ()


def test_status_says_since_when_and_why_only_while_it_lasts() -> None:
    """An open night in an outage says so; one that is back, or closed, only counts."""
    night = NightOverview(
        id="n", state="running", branch="b", started_at=START, closed_at=None, tasks=1, outcomes={}, nodes={}
    )
    lasting = find_outages(events((60, LOST)))
    assert add_outages(night, lasting).server_lost == "since 00:01 UTC: night.server_lost"
    assert add_outages(night, find_outages(events((60, LOST), (61, BACK)))).server_lost == ""
    closed = add_outages(night.model_copy(update={"closed_at": START}), lasting)
    assert (closed.server_lost, closed.outages) == ("", 1)


def test_the_report_says_how_long_the_night_was_idle_and_escapes_why() -> None:
    """The time is the outages' own; what a server said is written out; without an outage nothing is told."""
    facts = NightFacts.model_construct(closed_at=START + timedelta(seconds=100))
    report = Report.model_construct(night=facts, needs=())
    told = events((10, LOST), (40, BACK), (90, LOST))
    told[2].details["why"] = "\x1b[31mred\u202e"
    shown = tell_outages(report, find_outages(told), START)
    (need,) = shown.needs
    assert (shown.night.idle_server_s, shown.night.outages) == (40, 2)
    assert "lost 2 times, for 40 s" in need.title
    assert "\x1b" not in need.why
    assert "\u202e" not in need.why
    assert tell_outages(report, (), START) is report
