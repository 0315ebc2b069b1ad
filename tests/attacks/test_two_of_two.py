"""Attacks on the two-of-two rule: whoever has one reviewer, or neither, must not get a change through the gate."""

import json
from collections.abc import Callable

import pytest

from pantheon.core.attestations import SignedVerdict, Whose, against_signatures, read_verdict, review_claim
from pantheon.core.delegation import NIGHT_ROLE, reviewer_role
from pantheon.core.dsse import PAYLOAD_TYPE, key_id, open_envelope, pae, parse_envelope, peek_payload, seal
from pantheon.core.errors import SignatureError
from pantheon.core.gate import Change
from pantheon.core.review import Review
from pantheon.core.statement import REVIEW_PREDICATE, make_statement
from pantheon.ports.signer import SigningRequest
from pantheon.testing.signing import InlineLedger, inline_ledger

NIGHT, A, B = "n", "peerA", "peerB"
CHANGE = Change(base="b" * 40, head="c" * 40, tree="d" * 40)
DIFF = "e" * 64


def verdict(reviewer: str, **changes: str) -> Review:
    values = {"base": CHANGE.base, "head": CHANGE.head, "tree": CHANGE.tree, "verdict": "pass", **changes}
    reasons = () if values["verdict"] == "pass" else ("no",)
    return Review(reviewer=reviewer, version="1", margin=2.0, reasons=reasons, **values)  # type: ignore[arg-type]


def whose(attempt: int = 1, night: str = NIGHT) -> Whose:
    return Whose(night=night, task="b/t", node="review", attempt=attempt)


class Court:
    """A night's ledger, and what the gate makes of the verdicts in it."""

    def __init__(self) -> None:
        self.ledger: InlineLedger = inline_ledger(NIGHT, CHANGE.base, (A, B))

    async def say(
        self, review: Review, *, diff: str = DIFF, role: str | None = None, night: str = NIGHT
    ) -> bytes:
        claim = review_claim(review, diff, whose(night=night))
        entry = await self.ledger.enter(REVIEW_PREDICATE, *claim, role=role or reviewer_role(review.reviewer))
        return entry.line

    def plant(self, line: bytes) -> None:
        """Put a line into the ledger without asking the signer."""
        payload = peek_payload(parse_envelope(line))
        self.ledger.index.add(line, REVIEW_PREDICATE, payload)

    def against(self, change: Change = CHANGE, *, diff: str = DIFF, night: str = NIGHT) -> tuple[str, ...]:
        verdicts: list[SignedVerdict] = []
        reasons: list[str] = []
        for _, line in self.ledger.index.evidence_of(change.head):
            try:
                verdicts.append(read_verdict(line, self.ledger.index.delegations))
            except SignatureError as error:
                reasons.append(error.message)
        return (
            *reasons,
            *against_signatures(change, night=night, diff=diff, reviewers=(A, B), verdicts=verdicts),
        )


@pytest.fixture
async def court() -> Court:
    return Court()


async def test_control_two_passes_by_two_keys_leave_nothing_to_be_said(court: Court) -> None:
    """The same probe succeeds where nothing is wrong."""
    await court.say(verdict(A))
    await court.say(verdict(B))
    assert court.against() == ()


async def test_a_missing_verdict_denies(court: Court) -> None:
    """One reviewer alone is not two."""
    await court.say(verdict(A))
    assert court.against() == (f"{B}: no signed verdict",)


async def test_the_envelope_of_one_reviewer_does_not_count_for_the_other(court: Court) -> None:
    """A's envelope put into the ledger twice is still A's."""
    line = await court.say(verdict(A))
    court.plant(line)
    assert f"{B}: no signed verdict" in court.against()


async def test_one_key_under_two_key_ids_does_not_count_twice(court: Court) -> None:
    """The key id of an envelope decides nothing: A's key under B's id is refused."""
    line = await court.say(verdict(A))
    envelope = parse_envelope(line)
    other = court.ledger.delegation.key(reviewer_role(B))
    assert other is not None
    relabelled = json.loads(line)
    relabelled["signatures"][0]["keyid"] = key_id(other)
    court.plant(json.dumps(relabelled).encode())
    assert f"{B}: no signed verdict" in court.against()
    # And both ids beside each other in one envelope, as a naive threshold would count them.
    doubled = json.loads(line)
    doubled["signatures"].append({**doubled["signatures"][0], "keyid": key_id(other)})
    court.plant(json.dumps(doubled).encode())
    assert any("exactly one signature" in reason for reason in court.against())
    with pytest.raises(SignatureError):
        open_envelope(envelope, [court.ledger.delegation.key(reviewer_role(A)) or b"", other], threshold=2)


async def test_a_verdict_in_the_name_of_another_is_not_signed(court: Court) -> None:
    """A's key says nothing in B's name, and the night's key says no verdict at all."""
    for role in (reviewer_role(A), NIGHT_ROLE):
        with pytest.raises(SignatureError):
            await court.say(verdict(B), role=role)


async def test_a_verdict_in_the_name_of_another_would_not_count_either(court: Court) -> None:
    """Should A's key ever sign in B's name, the gate does not take it for B's."""
    held = court.ledger.signer.held  # type: ignore[attr-defined]
    await court.say(verdict(A))
    subjects, predicate = review_claim(verdict(B), DIFF, whose())
    place = {"night": NIGHT, "seq": 9, "at": court.ledger.clock.now().isoformat()}
    payload = make_statement(subjects, REVIEW_PREDICATE, {**predicate, "ledger": place})
    signature = held._keys[reviewer_role(A)].sign(pae(PAYLOAD_TYPE, payload))
    court.plant(seal(payload, [("x", signature)]).to_bytes())
    reasons = court.against()
    assert f"{B}: no signed verdict" in reasons
    assert "no key that was delegated for this signed it" in reasons


@pytest.mark.parametrize("field", ["base", "head", "tree"])
async def test_a_verdict_for_another_change_does_not_count(court: Court, field: str) -> None:
    """Base, head and tree are those that were reviewed."""
    await court.say(verdict(A))
    await court.say(verdict(B))
    other = CHANGE.model_copy(update={field: "f" * 40})
    assert court.against(other) != ()


async def test_a_verdict_for_another_diff_or_night_does_not_count(court: Court) -> None:
    """The same commits shown as another diff, or a verdict of another night."""
    await court.say(verdict(A))
    await court.say(verdict(B))
    assert len(court.against(diff="0" * 64)) == 2
    assert len(court.against(night="another")) == 2


async def test_a_verdict_that_says_more_than_a_verdict_may_is_none(court: Court) -> None:
    """An unknown field, or an unknown word for a verdict, does not pass for a pass."""
    await court.say(verdict(A))
    subjects, predicate = review_claim(verdict(B), DIFF, whose())
    with pytest.raises(SignatureError):
        await court.ledger.enter(
            REVIEW_PREDICATE, subjects, {**predicate, "verdict": "approve"}, role=reviewer_role(B)
        )
    more = {**predicate, "override": True}
    with pytest.raises(SignatureError, match="malformed"):
        await court.ledger.enter(REVIEW_PREDICATE, subjects, more, role=reviewer_role(B))
    place = {"night": NIGHT, "seq": 9, "at": court.ledger.clock.now().isoformat()}
    payload = make_statement(subjects, REVIEW_PREDICATE, {**more, "ledger": place})
    held = court.ledger.signer.held  # type: ignore[attr-defined]
    signature = held._keys[reviewer_role(B)].sign(pae(PAYLOAD_TYPE, payload))
    court.plant(seal(payload, [("x", signature)]).to_bytes())
    assert f"{B}: no signed verdict" in court.against()


@pytest.mark.parametrize(
    "order",
    [lambda passes, fails: (passes, fails), lambda passes, fails: (fails, passes)],
    ids=["pass first", "fail first"],
)
async def test_a_reviewer_does_not_change_its_mind(
    court: Court, order: Callable[[Review, Review], tuple[Review, Review]]
) -> None:
    """The signer signs one verdict on one change; a second, other one is refused."""
    first, second = order(verdict(B), verdict(B, verdict="fail"))
    await court.say(first)
    with pytest.raises(SignatureError, match="another verdict"):
        await court.say(second)


@pytest.mark.parametrize("how", ["subjects turned round", "another diff", "another tree"])
async def test_the_same_change_in_other_words_is_the_same_change(court: Court, how: str) -> None:
    """However the night names a change, its reviewer's key gives one verdict on the commit and its base."""
    held = court.ledger.signer.held  # type: ignore[attr-defined]
    await court.say(verdict(B, verdict="fail"))
    tree, diff = (
        "f" * 40 if how == "another tree" else CHANGE.tree,
        "0" * 64 if how == "another diff" else DIFF,
    )

    def wish(said: str) -> SigningRequest:
        subjects, predicate = review_claim(verdict(B, verdict=said, tree=tree), diff, whose(2))
        place = {"night": NIGHT, "seq": 2, "at": court.ledger.clock.now().isoformat()}
        made = json.loads(make_statement(subjects, REVIEW_PREDICATE, {**predicate, "ledger": place}))
        if how == "subjects turned round":
            made["subject"].reverse()
        return SigningRequest(reviewer_role(B), json.dumps(made).encode())

    assert "another verdict" in held.sign_statements([wish("pass")]).refusal
    assert held.sign_statements([wish("fail")]).refusal == "", "the control: the same verdict again is signed"


async def test_a_later_process_cannot_outvote_an_earlier_verdict(court: Court) -> None:
    """After a restart the signer has forgotten, the ledger has not: one fail among the passes denies."""
    await court.say(verdict(A))
    await court.say(verdict(B, verdict="fail"))
    held = court.ledger.signer.held  # type: ignore[attr-defined]
    held._rules._verdicts.clear()
    await court.say(verdict(B))
    assert court.against() == (f"{B}: the signed verdict is against it",)


async def test_control_and_the_signer_refuses_a_place_twice(court: Court) -> None:
    """A place in the ledger is signed for once, whatever stands there."""
    held = court.ledger.signer.held  # type: ignore[attr-defined]
    subjects, predicate = review_claim(verdict(A), DIFF, whose())

    def wish(seq: int, attempt: int) -> SigningRequest:
        place = {"night": NIGHT, "seq": seq, "at": court.ledger.clock.now().isoformat()}
        changed = {**predicate, "attempt": attempt, "ledger": place}
        return SigningRequest(reviewer_role(A), make_statement(subjects, REVIEW_PREDICATE, changed))

    assert held.sign_statements([wish(1, 1)]).refusal == ""
    assert "signed for already" in held.sign_statements([wish(1, 2)]).refusal
