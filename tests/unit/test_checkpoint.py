"""Checkpoints and the notes around them: one spelling, one signature that counts."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.checkpoint import Checkpoint, open_note, parse_checkpoint, write_note
from pantheon.core.errors import SignatureError, VerificationError
from pantheon.core.merkle import MerkleTree

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = KEY.public_key().public_bytes_raw()
POINT = Checkpoint(origin="pantheon.local/n1", size=2, root=MerkleTree([b"a", b"b"]).root().hex())


def note(text: str = POINT.text(), key: Ed25519PrivateKey = KEY) -> bytes:
    return write_note(text, POINT.origin, key.public_key().public_bytes_raw(), key.sign(text.encode()))


def test_a_checkpoint_round_trips() -> None:
    """What is signed is what is read."""
    assert parse_checkpoint(open_note(note(), [PUBLIC])) == POINT
    assert POINT.text().count("\n") == 3


def test_the_vector_of_the_signed_note_specification_verifies() -> None:
    """A note made by Go's own implementation is read and verified."""
    import base64

    # From the documentation of golang.org/x/mod/sumdb/note.
    vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    text = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n\n"
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )
    key = base64.b64decode(vkey.split("+", 2)[2])[1:]
    assert open_note(text.encode(), [key]).startswith("If you think")
    with pytest.raises(SignatureError):
        open_note(text.replace("answer", "anawer").encode(), [key])


def test_another_key_or_another_text_does_not_count() -> None:
    """A signature by somebody else, or over something else, is none."""
    other = Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
    with pytest.raises(SignatureError):
        open_note(note(key=other), [PUBLIC])
    with pytest.raises(SignatureError):
        open_note(note().replace(b"\n2\n", b"\n3\n"), [PUBLIC])
    with pytest.raises(SignatureError):
        open_note(note(), [])


@pytest.mark.parametrize(
    "text",
    [
        "", "a\n1\n", "a\n01\n" + POINT.text().split("\n")[2] + "\n", POINT.text() + "extension\n",
        POINT.text().replace("2", "-2"), POINT.text().replace("2", "٢"), POINT.text().rstrip("\n"),
        POINT.text().replace("=\n", "\n"), POINT.text().replace("n1", "n 1"), POINT.text().replace("\n2\n", "\n2 \n"),
        "a\n9999999999999999\n" + POINT.text().split("\n")[2] + "\n", "a\n1\nAAAA\n", "a+b\n1\n" + POINT.text()[20:],
    ],
)  # fmt: skip
def test_a_checkpoint_has_one_spelling(text: str) -> None:
    """Padding, signs, other digits, missing or further lines are refused."""
    with pytest.raises(VerificationError):
        parse_checkpoint(text)


@given(st.integers(0, len(note()) - 1), st.integers(1, 255))
def test_no_byte_of_a_note_can_change(place: int, flip: int) -> None:
    """Any single byte that is different makes it no note, or one that nobody trusted has signed."""
    data = bytearray(note())
    data[place] ^= flip
    with pytest.raises(SignatureError):
        open_note(bytes(data), [PUBLIC])


@given(st.binary(max_size=300))
def test_garbage_is_refused_and_never_crashes(data: bytes) -> None:
    """Whatever the bytes, the answer is an error of ours."""
    with pytest.raises(SignatureError):
        open_note(data, [PUBLIC])
