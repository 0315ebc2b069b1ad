"""Records of canaries are read back strictly, and canaries are wrong in one way only."""

import json
from typing import Any

import pytest

from pantheon.core.canaries import CanaryResult, Standing, rate_canaries, say_canaries
from pantheon.core.canary_making import make_canary
from pantheon.core.canary_record import canary_claim, parse_canary
from pantheon.core.canonical import digest_bytes
from pantheon.core.decoys import MAX_GROUNDED, Metadata, content_words, grounded_share
from pantheon.core.delegation import Place, with_place
from pantheon.core.errors import VerificationError
from pantheon.core.gate import Change, CheckReport, Decision, Rules, decide
from pantheon.core.notes.unheard import stray_part
from pantheon.core.review import Review
from pantheon.core.statement import (
    CANARY_PREDICATE,
    REVIEW_PREDICATE,
    Statement,
    make_statement,
    parse_statement,
)
from pantheon.core.verify import Faults, Flaw
from pantheon.core.verify_canaries import CanaryWatch

PLACE = Place(night="n", seq=3, at="2026-01-02T03:04:05+00:00")
NOTE = (
    "uploads\n\nAn upload that fails with 503 is retried with backoff; after six tries the client gives up.\n"
)
OWN = Metadata(
    title="Retrying Failed Uploads with Backoff",
    description="Says how often an upload is retried with backoff before the client gives up.",
    tags=("uploads", "retries", "backoff"),
)
OTHERS = (
    Metadata(
        title="A Composite Index for the Monthly Report",
        description="The query plan shows a sequential scan; an index on customer and date helps.",
        tags=("index", "query-plan", "report"),
    ),
    Metadata(
        title="Moving Cron Jobs to systemd Timers",
        description="Lists the steps to replace crontab entries with timers and what changes for logs.",
        tags=("systemd", "cron", "timers"),
    ),
    Metadata(
        title="Uploads That Fail and How the Client Retries",
        description="How an upload with 503 is retried by the client, with backoff and six tries.",
        tags=("uploads", "client", "tries"),
    ),
)


def result(**changes: Any) -> CanaryResult:
    values = {
        "night": "n", "task": "b/t", "node": "review.peerA", "attempt": 1, "reviewer": "review.peerA",
        "version": "2", "number": 1, "kind": "swapped_metadata", "content": "a" * 64, "verdict": "fail",
        "marginMillinats": -120,
    }  # fmt: skip
    return CanaryResult.model_validate({**values, **changes})


def statement(kind: str = CANARY_PREDICATE, subjects: Any = None, **changes: Any) -> Statement:
    named, predicate = canary_claim(result())
    data = make_statement(subjects or named, kind, with_place({**predicate, **changes}, PLACE))
    return parse_statement(data)


def test_a_record_says_again_what_was_said() -> None:
    """What is built is read back, also where no canary could be made."""
    assert parse_canary(statement()) == result()
    none = result(verdict="none", kind="", content="", cause="no material", marginMillinats=None)
    subjects, predicate = canary_claim(none)
    assert subjects == {"canary": digest_bytes(b"")}
    data = make_statement(subjects, CANARY_PREDICATE, with_place(predicate, PLACE))
    assert parse_canary(parse_statement(data)) == none


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"verdict": "maybe"}, "malformed"),
        ({"number": 0}, "malformed"),
        ({"more": 1}, "malformed"),
        ({"content": "b" * 64}, "subject"),
        ({"night": "m"}, "another night"),
        ({"subjects": {"canary": "a" * 64, "change": {"gitCommit": "c" * 40}}}, "subject"),
        ({"kind": REVIEW_PREDICATE}, "not the record of a canary"),
    ],
)
def test_nothing_else_is_a_record(changed: dict[str, Any], why: str) -> None:
    """A record with another field, subject, night or kind is none; above all, it is about no commit."""
    kind, subjects = changed.pop("kind", CANARY_PREDICATE), changed.pop("subjects", None)
    with pytest.raises(VerificationError, match=why):
        parse_canary(statement(kind, subjects, **changed))


def test_verification_names_a_canary_that_is_there_twice() -> None:
    """Measured twice, a reviewer would look better measured than it is."""
    faults = Faults()
    watch = CanaryWatch(faults)
    watch.read("record 3", statement())
    assert faults.found == []
    watch.read("record 4", statement(verdict="pass"))
    assert [(one.flaw, one.where) for one in faults.found] == [(Flaw.DUPLICATE, "record 4")]


def test_a_canary_is_wrong_for_certain_and_each_is_another() -> None:
    """What could fit the note is never taken, nothing serves twice, and without material there is none."""
    used: set[str] = set()
    words = content_words(NOTE)
    titles = []
    for seed in range(6):
        canary = make_canary("docs/a.md", NOTE, OWN, OTHERS, seed=seed, used=used)
        if canary is None:
            continue
        assert canary.content not in used
        used.add(canary.content)
        assert "Uploads" not in canary.proposal.title
        titles.append(canary.proposal.title)
        assert grounded_share(canary.proposal.title, words) <= MAX_GROUNDED
        assert canary.proposal.title in {one.title for one in OTHERS}
        assert not stray_part(canary.proposal.description, NOTE), "a reviewer is asked about it"
    assert len(titles) == 2
    assert make_canary("docs/a.md", NOTE, OWN, OTHERS[2:], seed=1) is None
    assert make_canary("docs/a.md", NOTE, OWN, (), seed=1) is None
    sealed = "---\ntitle: [unclosed\n---\n" + NOTE
    assert make_canary("docs/a.md", sealed, OWN, OTHERS, seed=1) is None, "no layout that can be edited"
    first = make_canary("docs/a.md", NOTE, OWN, OTHERS, seed=5)
    assert first == make_canary("docs/a.md", NOTE, OWN, OTHERS, seed=5)


def test_a_report_says_first_what_is_against_a_reviewer() -> None:
    """Disqualified in any night, too little measured in a closed one; nothing is said of a good one."""

    def standing(name: str, measured: int, accepted: int) -> Standing:
        return Standing(
            reviewer=name,
            measured=measured,
            accepted=accepted,
            missed=0,
            minimum=5,
            disqualified=accepted > 0,
        )

    rates = rate_canaries([standing("b", 3, 0), standing("a", 5, 2), standing("c", 5, 0)])
    assert [one.reviewer for one in rates] == ["a", "b", "c"]
    assert say_canaries(rates, 1, closed=True) == (
        "a was disqualified, it passed 2 of 5 canaries; b was measured with 3 of at least 5 canaries; "
        "1 accepted change rests on the word of a disqualified reviewer."
    )
    assert say_canaries(rates[1:], 0, closed=False) == ""
    assert json.loads(rates[0].model_dump_json())["false_accept"]["hits"] == 2


CHANGE = Change(base="a" * 40, head="b" * 40, tree="c" * 40)


def decided(verdicts: dict[str, str], discounted: dict[str, str]) -> Decision:
    """Return the gate's answer to verdicts, where some reviewers do not count."""
    bound = {"base": CHANGE.base, "head": CHANGE.head, "tree": CHANGE.tree}
    reviews = [
        Review.model_validate(
            {
                "reviewer": name, "version": "1", "verdict": said, "margin": 1.0 if said == "pass" else -1.0,
                "reasons": () if said == "pass" else ("no",), **bound,
            }
        )
        for name, said in verdicts.items()
    ]  # fmt: skip
    report = CheckReport.model_validate({**bound, "checks": [{"name": "scope", "passed": True}]})
    rules = Rules(checks=("scope",), reviewers=("a", "b"), discounted=discounted)
    return decide(CHANGE, report, reviews, rules)


def test_who_is_disqualified_neither_lets_land_nor_denies() -> None:
    """The change is held with the reason, whatever that reviewer said; the other's word still denies."""
    assert decided({"a": "pass", "b": "pass"}, {}).decision == "allow", "the control"
    why = {"a": "disqualified: it passed 2 of 5 canaries"}
    for said in ("pass", "fail"):
        held = decided({"a": said, "b": "pass"}, why)
        assert held.decision == "hold"
        assert held.reasons == ("a: disqualified: it passed 2 of 5 canaries",)
    assert decided({"a": "pass", "b": "fail"}, why).decision == "deny"
    assert decided({"a": "pass", "b": "pass"}, {"stranger": "disqualified"}).decision == "allow"
