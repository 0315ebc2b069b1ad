"""An envelope opens only for the exact bytes, type and keys that it was sealed with."""

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from pantheon.core.dsse import (
    MAX_ENVELOPE_BYTES,
    MAX_SIGNATURES,
    PAYLOAD_TYPE,
    Envelope,
    key_id,
    open_envelope,
    pae,
    parse_envelope,
    seal,
)
from pantheon.core.errors import SignatureError, VerificationError
from pantheon.testing.signing import FakeSigner

PAYLOAD = b'{"_type":"x","n":"\xfb\xff"}'


async def sealed(*seeds: int) -> Envelope:
    signers = [FakeSigner(seed) for seed in seeds or (1,)]
    signed = pae(PAYLOAD_TYPE, PAYLOAD)
    return seal(PAYLOAD, [(signer.key_id, await signer.sign(signed)) for signer in signers])


async def data(*seeds: int) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((await sealed(*seeds)).to_bytes())
    return value


def reopen(value: Any, *keys: bytes, threshold: int = 1) -> bytes:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return open_envelope(parse_envelope(raw), keys or [FakeSigner().public_key], threshold=threshold)


def test_the_encoding_is_the_one_of_the_specification() -> None:
    """The specification's own example comes out byte for byte."""
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_lengths_count_bytes_not_characters() -> None:
    """Two different (type, payload) pairs never have the same encoding."""
    assert pae("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "
    assert pae("a", b"b 1 c") != pae("a b", b"1 c")


def test_the_key_id_is_the_one_other_tools_compute() -> None:
    """SHA-256 over the canonical description of the key, as securesystemslib does it."""
    described = '{"keytype":"ed25519","keyval":{"public":"' + "00" * 32 + '"},"scheme":"ed25519"}'
    assert key_id(bytes(32)) == hashlib.sha256(described.encode()).hexdigest()


async def test_what_was_sealed_opens() -> None:
    """The positive control of every attack below."""
    assert reopen(await data()) == PAYLOAD
    assert parse_envelope((await sealed()).to_bytes() + b"\n") == await sealed()


ATTACKS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "payload changed": lambda e: {**e, "payload": base64.b64encode(PAYLOAD + b" ").decode()},
    "payload's base64 with a newline": lambda e: {**e, "payload": e["payload"] + "\n"},
    "payload's base64 with a space": lambda e: {**e, "payload": " " + e["payload"]},
    "payload's base64 without padding": lambda e: {**e, "payload": e["payload"].rstrip("=")},
    "payload's base64 for URLs": lambda e: {**e, "payload": base64.urlsafe_b64encode(PAYLOAD).decode()},
    "payload empty": lambda e: {**e, "payload": ""},
    "payload a number": lambda e: {**e, "payload": 1},
    "type changed": lambda e: {**e, "payloadType": "application/json"},
    "type with another case": lambda e: {**e, "payloadType": PAYLOAD_TYPE.upper()},
    "type with a space": lambda e: {**e, "payloadType": PAYLOAD_TYPE + " "},
    "type missing": lambda e: {key: e[key] for key in ("payload", "signatures")},
    "no signature": lambda e: {**e, "signatures": []},
    "signatures missing": lambda e: {key: e[key] for key in ("payload", "payloadType")},
    "unknown field": lambda e: {**e, "extra": 1},
    "unknown field in a signature": lambda e: {**e, "signatures": [{**e["signatures"][0], "cert": "x"}]},
    "the model's own name of a field": lambda e: {**e, "payload_type": PAYLOAD_TYPE},
    "key id missing": lambda e: {**e, "signatures": [{"sig": e["signatures"][0]["sig"]}]},
    "key id empty": lambda e: {**e, "signatures": [{**e["signatures"][0], "keyid": ""}]},
    "signature empty": lambda e: {**e, "signatures": [{**e["signatures"][0], "sig": ""}]},
    "signature of zeros": lambda e: {
        **e, "signatures": [{**e["signatures"][0], "sig": base64.b64encode(bytes(64)).decode()}]
    },
    "signature cut": lambda e: {
        **e,
        "signatures": [
            {
                **e["signatures"][0],
                "sig": base64.b64encode(base64.b64decode(e["signatures"][0]["sig"])[:-1]).decode(),
            }
        ],
    },
    "too many signatures": lambda e: {**e, "signatures": e["signatures"] * (MAX_SIGNATURES + 1)},
    "a list": lambda e: [e],
    "a field twice": lambda e: json.dumps(e).replace("{", '{"payload":"",', 1).encode(),
    "a field twice, the good one last": lambda e: (
        b'{"payloadType":"x",' + json.dumps(e).encode()[1:]
    ),
    "two envelopes": lambda e: json.dumps(e).encode() * 2,
    "not UTF-8": lambda e: json.dumps(e).encode("utf-16"),
    "a byte order mark": lambda e: b"\xef\xbb\xbf" + json.dumps(e).encode(),
    "not JSON": lambda e: b"{",
    "nothing": lambda e: b"",
    "nested without end": lambda e: b"[" * 100_000,
    "too large": lambda e: json.dumps(e).encode() + b" " * MAX_ENVELOPE_BYTES,
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_changed_envelope_is_refused(attack: str) -> None:
    """Every change is refused, and never with anything but a SignatureError."""
    with pytest.raises(SignatureError):
        reopen(ATTACKS[attack](await data()))


async def test_every_flipped_byte_is_refused_or_changes_nothing_that_counts() -> None:
    """Flip one bit anywhere: either it is refused, or the very payload comes back (the key id is a hint)."""
    raw = (await sealed()).to_bytes()
    hint = raw.index(b'"keyid":"') + len(b'"keyid":"')
    for place in range(len(raw)):
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        if hint <= place < hint + 64:
            continue
        with pytest.raises(SignatureError):
            reopen(changed)


async def test_the_key_id_decides_nothing() -> None:
    """A foreign key under a trusted id is refused; a trusted key under a foreign id is accepted."""
    theirs = await data(2)
    theirs["signatures"][0]["keyid"] = FakeSigner(1).key_id
    with pytest.raises(SignatureError):
        reopen(theirs)
    ours = await data(1)
    ours["signatures"][0]["keyid"] = "somebody else"
    assert reopen(ours) == PAYLOAD


async def test_one_key_under_two_ids_is_one_key() -> None:
    """A threshold of two needs two distinct keys, however often one of them has signed."""
    value = await data(1)
    value["signatures"].append({**value["signatures"][0], "keyid": "another id"})
    key = FakeSigner(1).public_key
    with pytest.raises(SignatureError):
        reopen(value, key, key, FakeSigner(2).public_key, threshold=2)
    both = await data(1, 2)
    assert reopen(both, key, FakeSigner(2).public_key, threshold=2) == PAYLOAD


async def test_without_a_key_nothing_is_verified() -> None:
    """No key is "could not tell", and never a pass; neither is a threshold of nothing."""
    envelope = await sealed()
    with pytest.raises(VerificationError):
        open_envelope(envelope, [])
    with pytest.raises(SignatureError):
        open_envelope(envelope, [FakeSigner(2).public_key], threshold=0)


async def test_a_key_of_the_wrong_size_verifies_nothing() -> None:
    """Malformed keys deny; they do not crash."""
    with pytest.raises(SignatureError):
        open_envelope(await sealed(), [b"short"])
