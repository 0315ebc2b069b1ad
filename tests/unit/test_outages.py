"""Outages read back from events."""

from datetime import UTC, datetime, timedelta

from pantheon.core.outages import BACK, GONE, LOST, STILL_LOST, find_outages, idle_for_server_s
from pantheon.core.records import EventRecord

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
