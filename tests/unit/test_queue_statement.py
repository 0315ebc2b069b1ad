"""Statements say the same to every reader; a batch's statement is about that batch alone."""

import json
from typing import Any

import pytest

from pantheon.core.batch import BatchClaim, Pins, batch_name, batch_statement, check_label, read_claim
from pantheon.core.errors import ConfigError, VerificationError
from pantheon.core.statement import STATEMENT_TYPE, make_statement, parse_statement

DIGEST = "ab" * 32


def claim(**changes: Any) -> BatchClaim:
    values: dict[str, Any] = {
        "digest": DIGEST, "count": 2, "label": "", "enqueuedAt": "2026-01-01T22:00:00+00:00",
        "baseCommit": "c" * 40, "pins": Pins(flows={"docops": "f" * 64}), "version": "1",
    }  # fmt: skip
    return BatchClaim(**{**values, **changes})


def test_a_statement_is_canonical() -> None:
    """Same content, same bytes, whatever the order it was given in."""
    one = make_statement({"b": DIGEST, "a": DIGEST}, "type", {"y": 1, "x": "é"})
    two = make_statement({"a": DIGEST, "b": DIGEST}, "type", {"x": "é", "y": 1})
    assert one == two
    value = json.loads(one)
    assert value["_type"] == STATEMENT_TYPE
    assert value["subject"][0] == {"name": "a", "digest": {"sha256": DIGEST}}


@pytest.mark.parametrize("value", [1.0, {"a": [0.5]}, 2**53 + 1, float("nan"), "\ud800"])
def test_a_value_that_readers_would_round_is_refused(value: object) -> None:
    """Floats, integers beyond 2^53 and half characters are never signed."""
    with pytest.raises(ValueError):
        make_statement({"a": DIGEST}, "type", {"value": value})


@pytest.mark.parametrize(
    "change",
    [
        b'"_type":"https://in-toto.io/Statement/v0.1"',
        b'"_type":"https://in-toto.io/Statement/v1","extra":1',
        b'"_type":"https://in-toto.io/Statement/v1","_type":"https://in-toto.io/Statement/v1"',
    ],
)
def test_a_statement_of_another_shape_is_refused(change: bytes) -> None:
    """Unknown versions, unknown fields and keys that stand twice are refused."""
    good = make_statement({"a": DIGEST}, "type", {"n": 1})
    parse_statement(good)
    with pytest.raises(VerificationError):
        parse_statement(good.replace(b'"_type":"https://in-toto.io/Statement/v1"', change))


def test_a_float_in_a_statement_is_refused() -> None:
    """Also when it was signed elsewhere."""
    good = make_statement({"a": DIGEST}, "type", {"n": 1})
    with pytest.raises(VerificationError):
        parse_statement(good.replace(b'"n":1', b'"n":1.0'))


def test_a_claim_survives_its_statement() -> None:
    """What was claimed is what is read back."""
    for one in (claim(), claim(label="second time")):
        assert read_claim(parse_statement(batch_statement(one))) == one


def test_the_label_is_part_of_the_name() -> None:
    """Without a label the name is the beginning of the file's digest; with one it is another."""
    assert batch_name(DIGEST) == DIGEST[:12]
    names = {batch_name(DIGEST), batch_name(DIGEST, "a"), batch_name(DIGEST, "b")}
    assert len(names) == 3
    assert all(len(name) == 12 for name in names)


def test_the_statement_of_one_batch_is_not_that_of_another() -> None:
    """A digest, label or subject exchanged afterwards does not fit the name any more."""
    text = batch_statement(claim(label="a")).decode()
    for old, new in (('"label":"a"', '"label":"b"'), (DIGEST, "cd" * 32), ("batch/v1", "attempt/v1")):
        assert old in text
        with pytest.raises(ValueError):
            read_claim(parse_statement(text.replace(old, new).encode()))


@pytest.mark.parametrize("label", [" a", "a ", "a\nb", "\x1b[2J", "\u202e", "x" * 101, " "])
def test_a_label_that_cannot_be_shown_is_refused(label: str) -> None:
    """A label stands in file names' digests, tables and reports: one visible line."""
    with pytest.raises(ConfigError):
        check_label(label)


def test_drift_names_what_has_changed() -> None:
    """Every change is named; no change is silence."""
    before = Pins(flows={"a": "1", "b": "2"}, agents={"x": "1"}, settings={"endpoint": "1"}, model="m")
    after = Pins(flows={"a": "1", "b": "3"}, policies={"p": "1"}, settings={"endpoint": "2"}, model="n")
    assert before.drift(before) == ()
    assert before.drift(after) == (
        "flows/b has changed", "agents/x is gone", "policies/p is new",
        "pantheon.toml: endpoint has changed", "the model is another one",
    )  # fmt: skip
