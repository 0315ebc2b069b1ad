"""Checkpoints: three lines that fix a whole log, and the signed note around them.

A note is text, an empty line, and signature lines ``— NAME BASE64``; the base64 holds four bytes of key hash and
the Ed25519 signature over the text.

Invariants:
- reading is strict: what would be written differently is refused, so that one checkpoint has one spelling;
- the four bytes of key hash are a hint; only a signature that verifies counts.

Source: C2SP tlog-checkpoint and signed-note.
"""

import base64
import hashlib
import re
from collections.abc import Iterable

from pydantic import Field

from pantheon.core.errors import SignatureError, VerificationError
from pantheon.core.merkle import HASH_BYTES
from pantheon.core.model import Frozen
from pantheon.core.signature_bytes import decode_base64, is_signed

MAX_NOTE_BYTES = 10_000
ED25519 = b"\x01"
_ORIGIN = re.compile(r"[!-*,-~]{1,200}")
_LINE = re.compile(r"— ([!-*,-~]{1,200}) ([A-Za-z0-9+/=]{1,200})")
_SIZE = re.compile(r"0|[1-9][0-9]{0,15}")


class Checkpoint(Frozen):
    """The state of a log."""

    origin: str = Field(pattern=r"^[!-*,-~]{1,200}$")
    """Name of the log, unique among all logs; no blank and no plus sign."""
    size: int = Field(ge=0, lt=2**53)
    """Number of records."""
    root: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Root of the Merkle tree over them, in hexadecimal."""

    def text(self) -> str:
        """Return the three lines that are signed."""
        root = base64.b64encode(bytes.fromhex(self.root)).decode()
        return f"{self.origin}\n{self.size}\n{root}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the three lines. Raises ``VerificationError`` for anything else, extensions too."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise VerificationError("a checkpoint has three lines: origin, size, root")
    origin, size, root = lines[:3]
    if not _ORIGIN.fullmatch(origin) or not _SIZE.fullmatch(size):
        raise VerificationError("the checkpoint's origin or size is malformed")
    found = decode_base64(root)
    if len(found) != HASH_BYTES or int(size) >= 2**53:
        raise VerificationError("the checkpoint's size or root is malformed")
    return Checkpoint(origin=origin, size=int(size), root=found.hex())


def key_hash(name: str, public_key: bytes) -> bytes:
    """Return the four bytes that tell a verifier which key a signature line is from."""
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + public_key).digest()[:4]


def write_note(text: str, name: str, public_key: bytes, signature: bytes) -> bytes:
    """Return the signed note around a text.

    Args:
        text: what was signed; ends with a newline.
        name: the key's name.
        public_key: 32 raw bytes.
        signature: Ed25519 over the text.
    """
    signed = base64.b64encode(key_hash(name, public_key) + signature).decode()
    return f"{text}\n— {name} {signed}\n".encode()


def open_note(data: bytes, trusted: Iterable[bytes]) -> str:
    """Return the text of a note that one of the trusted keys signed.

    Args:
        data: the note.
        trusted: raw Ed25519 public keys.

    Raises:
        SignatureError: none of them signed it.
        VerificationError: it is no note.
    """
    text, lines = _split(data)
    for name, signed in lines:
        for key in trusted:
            if signed[:4] == key_hash(name, key) and is_signed(key, signed[4:], text.encode()):
                return text
    raise SignatureError("the checkpoint is signed by no key that this night was given")


def note_text(data: bytes) -> str:
    """Return the text of a note without looking at its signatures. Raises ``VerificationError``."""
    return _split(data)[0]


def _split(data: bytes) -> tuple[str, list[tuple[str, bytes]]]:
    if len(data) > MAX_NOTE_BYTES:
        raise VerificationError(f"a note of {len(data)} bytes is larger than {MAX_NOTE_BYTES}")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise VerificationError("a note is UTF-8") from error
    text, gap, tail = whole.rpartition("\n\n")
    if not gap or not tail.endswith("\n"):
        raise VerificationError("a note is a text, an empty line and signatures")
    lines = []
    for line in tail.removesuffix("\n").split("\n"):
        if (found := _LINE.fullmatch(line)) is None:
            raise VerificationError("a signature line of the note is malformed")
        lines.append((found[1], decode_base64(found[2])))
    return f"{text}\n", lines
