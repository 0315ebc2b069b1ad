"""A signer whose client gives a question up: no answer is ever taken for that of another question."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from pantheon.adapters import signer_client
from pantheon.adapters.signer_client import SocketSigner
from pantheon.adapters.signer_wire import Answer, Sign, encode_signature, pack, parse_message, read_message
from pantheon.core.errors import SignatureError
from pantheon.ports.signer import SigningRequest
from pantheon.testing.steps import Steps


@asynccontextmanager
async def repeater(path: Path, *, told: asyncio.Event | None = None) -> AsyncIterator[SocketSigner]:
    """A signer whose signature of a statement is the statement, and who answers once it is told to."""

    over = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(SignatureError, OSError):
                while (data := await read_message(reader)) is not None:
                    message = parse_message(data)
                    signatures: tuple[str, ...] = ()
                    if isinstance(message, Sign):
                        signatures = tuple(
                            encode_signature(one.statement.encode()) for one in message.requests
                        )
                        if told is not None:
                            await told.wait()
                    writer.write(pack(Answer(public_key="00", signatures=signatures)))
        finally:
            writer.transport.abort()
            over.set()

    server = await asyncio.start_unix_server(answer, path)
    try:
        signer = await SocketSigner.connect(path)
        try:
            yield signer
        finally:
            await signer.aclose()
    finally:
        server.close()
        await over.wait()
        await asyncio.sleep(0)


async def sign(signer: SocketSigner, letter: str) -> bytes:
    signed = await signer.sign_statements([SigningRequest("night", (letter * 64).encode())])
    return signed.signatures[0]


async def assert_own_answer_or_none(signer: SocketSigner) -> None:
    try:
        assert await sign(signer, "b") == b"b" * 64
    except SignatureError:
        return


async def test_a_late_answer_is_no_answer_to_the_next_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signer that was too slow is not asked again: what it says next is about the statement before."""
    told = asyncio.Event()
    async with repeater(tmp_path / "s", told=told) as signer:
        monkeypatch.setattr(signer_client, "ANSWER_S", 0.03)
        with pytest.raises(SignatureError, match="does not answer"):
            await sign(signer, "a")
        told.set()
        # Until the late answer has come, or has met a closed connection.
        for _ in range(50):
            await asyncio.sleep(0)
        monkeypatch.setattr(signer_client, "ANSWER_S", 20)
        await assert_own_answer_or_none(signer)


@pytest.mark.parametrize("late", [False, True])
async def test_cancelled_at_any_step_no_answer_is_left_for_the_next(tmp_path: Path, late: bool) -> None:
    """The next question gets its own answer, or none."""
    for at in range(1, 20):
        async with repeater(tmp_path / f"{at}") as signer:
            steps = Steps(at, late=late)
            await asyncio.wait([steps.start(sign(signer, "a"), name="sign")])
            await assert_own_answer_or_none(signer)
        if steps.count < at:
            return
    pytest.fail("nothing was ever signed")
