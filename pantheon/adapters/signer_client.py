"""The night's side of the signer's socket.

Invariant: whose socket it is, is asked of the kernel before a byte is sent.
"""

import asyncio
import base64
import binascii
import os
from collections.abc import Collection, Sequence
from pathlib import Path

from pantheon.adapters.signer_peer import peer_of
from pantheon.adapters.signer_wire import (
    LENGTH_BYTES,
    MAX_MESSAGE_BYTES,
    Answer,
    Delegate,
    Hello,
    Sign,
    SignCheckpoint,
    Wanted,
    pack,
    parse_answer,
    read_message,
)
from pantheon.core.errors import SignatureError
from pantheon.core.model import Frozen
from pantheon.ports.signer import DelegationRequest, SignedBatch, SigningRequest

ANSWER_S = 30.0
MAX_BATCH_BYTES = MAX_MESSAGE_BYTES // 4
"""Of statements in one message; JSON may write a character with six."""


class SocketSigner:
    """``ports.signer.NightSigner`` over a socket, made by ``connect``; ``aclose`` makes the signer forget the night.

    Args:
        reader: from the signer.
        writer: to it.
        public_key: the user's, as the signer told it.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, public_key: bytes = b""
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()
        self._public_key = public_key

    @classmethod
    async def connect(
        cls, path: Path, *, uids: Collection[int] | None = None, pid: int | None = None
    ) -> "SocketSigner":
        """Connect to a signer that runs.

        Args:
            path: its socket.
            uids: the users that it may run as; None for this one alone.
            pid: the only process that it may be; None for any of theirs.

        Raises:
            SignatureError: nobody answers there, or somebody else.
        """
        try:
            async with asyncio.timeout(ANSWER_S):
                reader, writer = await asyncio.open_unix_connection(path, limit=MAX_MESSAGE_BYTES)
        except (OSError, TimeoutError) as error:
            raise SignatureError(f"no signer answers at {path}: {error}") from error
        signer = cls(reader, writer)
        try:
            _check_server(path, writer, {os.geteuid()} if uids is None else uids, pid)
            answer = await signer._ask(Hello())
            signer._public_key = bytes.fromhex(answer.public_key)
        except ValueError as error:
            await signer.aclose()
            raise SignatureError("the signer's public key is malformed") from error
        except BaseException:
            await signer.aclose()
            raise
        return signer

    @property
    def public_key(self) -> bytes:
        return self._public_key

    async def aclose(self) -> None:
        """Leave; the signer drops the night's keys."""
        self._writer.close()

    async def delegate(self, request: DelegationRequest) -> bytes:
        answer = await self._ask(Delegate(**request._asdict()))
        return answer.envelope.encode()

    async def sign_statements(self, requests: Sequence[SigningRequest]) -> SignedBatch:
        signatures: list[bytes] = []
        for batch in _batches(requests):
            wanted = tuple(Wanted(role=one.role, statement=one.statement.decode()) for one in batch)
            answer = await self._ask(Sign(requests=wanted), partly=True)
            signatures += [_signature(one) for one in answer.signatures]
            if answer.refusal:
                return SignedBatch(tuple(signatures), answer.refusal)
        return SignedBatch(tuple(signatures), "")

    async def sign_checkpoint(self, text: str, proof: Sequence[bytes]) -> bytes:
        answer = await self._ask(SignCheckpoint(text=text, proof=tuple(one.hex() for one in proof)))
        if len(answer.signatures) != 1:
            raise SignatureError("the signer has not signed the checkpoint")
        return _signature(answer.signatures[0])

    async def _ask(self, message: Frozen, *, partly: bool = False) -> Answer:
        """Return the signer's answer; one that refuses is an error unless ``partly`` done work counts."""
        question = pack(message)
        async with self._turn:
            answered = False
            try:
                async with asyncio.timeout(ANSWER_S):
                    self._writer.write(question)
                    await self._writer.drain()
                    data = await read_message(self._reader)
                answered = True
            except (OSError, TimeoutError) as error:
                raise SignatureError(f"the signer does not answer: {type(error).__name__} {error}") from error
            finally:
                if not answered:
                    # The answer may be under way and would be taken for that of the next question.
                    self._writer.transport.abort()
        if data is None:
            raise SignatureError("the signer has gone", hint="pantheon night goes on with a new one.")
        answer = parse_answer(data)
        if answer.refusal and not partly:
            raise SignatureError(f"the signer refuses: {answer.refusal}")
        return answer


def _check_server(path: Path, writer: asyncio.StreamWriter, uids: Collection[int], pid: int | None) -> None:
    peer = peer_of(writer.get_extra_info("socket"))
    if peer.uid not in uids:
        named = " or ".join(map(str, sorted(uids)))
        raise SignatureError(
            f"process {peer.pid}, which listens at {path}, is of user {peer.uid}; the signer is of user {named}",
            hint="Look who made that socket; night.signer and night.signer_user in pantheon.toml name the signer's.",
        )
    if pid is not None and peer.pid != pid:
        raise SignatureError(f"process {peer.pid} listens at {path}, not the signer, which is {pid}")


def _batches(requests: Sequence[SigningRequest]) -> list[list[SigningRequest]]:
    batches: list[list[SigningRequest]] = []
    room = 0
    for one in requests:
        size = len(one.statement) + LENGTH_BYTES
        if not batches or size > room:
            batches.append([])
            room = MAX_BATCH_BYTES
        batches[-1].append(one)
        room -= size
    return batches


def _signature(text: str) -> bytes:
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SignatureError("the signer's answer is malformed") from error
    if len(found) != 64:
        raise SignatureError("the signer's answer is no signature")
    return found
