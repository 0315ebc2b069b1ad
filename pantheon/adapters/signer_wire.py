"""How the night and its signer speak over a Unix socket: four bytes of length, then one JSON message, each way in turn.

Invariants:
- a message is bounded before a byte of it is read;
- what is not exactly one of the known messages is refused.
"""

import asyncio
import base64
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from pantheon.core.checkpoint import Checkpoint
from pantheon.core.errors import SignatureError
from pantheon.core.model import Frozen

LENGTH_BYTES = 4
MAX_MESSAGE_BYTES = 8_000_000
MAX_REQUESTS = 1_024
MESSAGE_TIMEOUT_S = 10.0
"""From the first byte of a message to its last."""


class Hello(Frozen):
    """Asks for the user's public key."""

    op: Literal["hello"] = "hello"


class Delegate(Frozen):
    """Asks for the keys of a night."""

    op: Literal["delegate"] = "delegate"
    night: str = Field(max_length=200)
    origin: str = Field(max_length=200)
    roles: tuple[str, ...] = Field(min_length=1, max_length=100)
    seq: int = Field(ge=0, lt=2**53)
    previous: Checkpoint | None
    valid_s: float


class Wanted(Frozen):
    """One statement to be signed."""

    role: str = Field(max_length=100)
    statement: str


class Sign(Frozen):
    """Asks for signatures."""

    op: Literal["sign"] = "sign"
    requests: tuple[Wanted, ...] = Field(min_length=1, max_length=MAX_REQUESTS)


class SignCheckpoint(Frozen):
    """Asks for the signature of a checkpoint."""

    op: Literal["checkpoint"] = "checkpoint"
    text: str = Field(max_length=1_000)
    proof: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...] = Field(max_length=128)


class Answer(Frozen):
    """What the signer says."""

    public_key: str = ""
    """Hexadecimal."""
    envelope: str = ""
    signatures: tuple[str, ...] = ()
    """Standard base64."""
    refusal: str = ""
    """Why nothing, or nothing more, was done."""


Message = Hello | Delegate | Sign | SignCheckpoint
_MESSAGES: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="op")])


def pack(message: Frozen) -> bytes:
    """Return a message as it goes over the socket. Raises ``SignatureError`` when it is too long."""
    data = message.model_dump_json().encode()
    if len(data) > MAX_MESSAGE_BYTES:
        raise SignatureError(f"{len(data)} bytes are too much for the signer at once")
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


async def read_message(reader: asyncio.StreamReader) -> bytes | None:
    """Return the next message; None when the other side has ended.

    Raises:
        SignatureError: it is too long, does not come to its end in time, or breaks off.
    """
    first = await reader.read(1)
    if not first:
        return None
    try:
        async with asyncio.timeout(MESSAGE_TIMEOUT_S):
            size = int.from_bytes(first + await reader.readexactly(LENGTH_BYTES - 1), "big")
            if size > MAX_MESSAGE_BYTES:
                raise SignatureError(f"a message of {size} bytes is larger than {MAX_MESSAGE_BYTES}")
            return await reader.readexactly(size)
    except TimeoutError as error:
        raise SignatureError(f"half a message, and no more of it in {MESSAGE_TIMEOUT_S:.0f} s") from error
    except asyncio.IncompleteReadError as error:
        raise SignatureError("the message breaks off") from error


def parse_message(data: bytes) -> Message:
    """Read what is asked of the signer. Raises ``SignatureError`` for anything else."""
    try:
        return _MESSAGES.validate_json(data)
    except ValidationError as error:
        raise _unknown(error) from error


def parse_answer(data: bytes) -> Answer:
    """Read what the signer says. Raises ``SignatureError`` for anything else."""
    try:
        return Answer.model_validate_json(data)
    except ValidationError as error:
        raise _unknown(error) from error


def encode_signature(signature: bytes) -> str:
    """Return a signature as text."""
    return base64.b64encode(signature).decode()


def _unknown(error: ValidationError) -> SignatureError:
    return SignatureError(f"not a message of this protocol: {error.errors()[0]['msg']}")
