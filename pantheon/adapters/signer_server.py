"""The signer's side of the socket: answers one night at a time, and only the process it is there for.

Invariants:
- who is at the other end is told by the kernel (``SO_PEERCRED``), before a byte is read;
- a connection gets the keys of one night, and a night's own signer serves no other one;
- keys belong to the connection that had them made, and are dropped when it ends, however it ends;
- a message that is too long, garbled or does not come to its end costs its sender the connection, nobody else anything;
- what was refused is told, so that it stands in a log.
"""

import asyncio
import os
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pantheon.adapters.night_keys import HeldKeys
from pantheon.adapters.signer_peer import Peer, peer_of
from pantheon.adapters.signer_wire import (
    MAX_MESSAGE_BYTES,
    Answer,
    Delegate,
    Hello,
    Message,
    Sign,
    encode_signature,
    pack,
    parse_message,
    read_message,
)
from pantheon.core.errors import SignatureError
from pantheon.core.visible import visible_line
from pantheon.ports.signer import DelegationRequest, SigningRequest

MAX_CONNECTIONS = 8
STRANGER_S = 10.0
"""Seconds that a connection without keys may stay silent."""
MAX_TOLD = 1_000
"""Refusals that are told of one by one."""


@dataclass(frozen=True)
class Admission:
    """Whom the signer answers.

    Args:
        uid: the user that may ask.
        pid: the only process that may; None for any of the user's.
    """

    uid: int
    pid: int | None = None

    def refusal(self, peer: Peer) -> str:
        """Return why a process is not answered; empty when it is."""
        if peer.uid != self.uid:
            return f"process {peer.pid} is of user {peer.uid}, not {self.uid}"
        if self.pid is not None and peer.pid != self.pid:
            return f"process {peer.pid} is not the night's, which is {self.pid}"
        return ""


class SignerServer:
    """Serves the keys over a socket.

    Args:
        held: the keys.
        admission: whom it answers.
        tell: told of refusals, one line each.
    """

    def __init__(self, held: HeldKeys, admission: Admission, tell: Callable[[str], None]) -> None:
        self._held = held
        self._admission = admission
        self._tell = tell
        self._told = 0
        self._open = 0
        self._owner: object | None = None
        """The connection that has keys."""
        self._night: tuple[str, str] | None = None
        """Night and log that the keys are for; a night's own signer has one for as long as it lives."""

    async def serve(self, listening: socket.socket, ready: Callable[[], None]) -> None:
        """Answer until cancelled.

        Args:
            listening: a listening Unix socket; closed on the way out.
            ready: called once connections are accepted.
        """
        server = await asyncio.start_unix_server(self._converse, sock=listening, limit=MAX_MESSAGE_BYTES)
        async with server:
            ready()
            await server.serve_forever()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            peer = peer_of(writer.get_extra_info("socket"))
            if why := self._admission.refusal(peer):
                self._refuse(why)
            elif self._open > MAX_CONNECTIONS:
                self._refuse(f"process {peer.pid}: there are {MAX_CONNECTIONS} connections already")
            else:
                await self._answer_all(reader, writer, peer)
        except (OSError, TimeoutError) as error:
            self._refuse(f"a connection broke: {type(error).__name__} {error}")
        finally:
            self._open -= 1
            if self._owner is writer:
                self._owner = None
                self._held.drop()
                if self._admission.pid is None:
                    self._night = None
            writer.close()

    async def _answer_all(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: Peer
    ) -> None:
        while True:
            try:
                # The one process that may ask at all is no stranger: it may load a model before it has a question.
                known = self._owner is writer or self._admission.pid is not None
                async with asyncio.timeout(None if known else STRANGER_S):
                    data = await read_message(reader)
                if data is None:
                    return
                message = parse_message(data)
            except (SignatureError, TimeoutError) as error:
                self._refuse(f"process {peer.pid}: {error or 'said nothing'}")
                return
            answer = self._answer(message, writer, peer)
            writer.write(pack(answer))
            async with asyncio.timeout(STRANGER_S):
                await writer.drain()

    def _answer(self, message: Message, writer: asyncio.StreamWriter, peer: Peer) -> Answer:
        try:
            if isinstance(message, Hello):
                return Answer(public_key=self._held.public_key.hex())
            if isinstance(message, Delegate):
                if self._owner not in (None, writer):
                    raise SignatureError("another night has this signer")
                if self._night not in (None, (message.night, message.origin)):
                    raise SignatureError("whoever has the keys of one night gets none of another")
                request = DelegationRequest(
                    night=message.night,
                    origin=message.origin,
                    roles=message.roles,
                    seq=message.seq,
                    previous=message.previous,
                    valid_s=message.valid_s,
                )
                envelope = self._held.delegate(request)
                self._owner, self._night = writer, (message.night, message.origin)
                return Answer(envelope=envelope.decode())
            if self._owner is not writer:
                raise SignatureError("this connection has no night's keys")
            if isinstance(message, Sign):
                signed = self._held.sign_statements(
                    [SigningRequest(one.role, one.statement.encode()) for one in message.requests]
                )
                if signed.refusal:
                    self._refuse(f"process {peer.pid}: {signed.refusal}")
                return Answer(
                    signatures=tuple(map(encode_signature, signed.signatures)), refusal=signed.refusal
                )
            proof = [bytes.fromhex(one) for one in message.proof]
            return Answer(signatures=(encode_signature(self._held.sign_checkpoint(message.text, proof)),))
        except SignatureError as error:
            self._refuse(f"process {peer.pid}: {error.message}")
            return Answer(refusal=error.message)

    def _refuse(self, why: str) -> None:
        self._told += 1
        if self._told <= MAX_TOLD:
            self._tell(f"refused: {visible_line(why)[:300]}")


def listen(path: Path, uid: int) -> socket.socket:
    """Return a listening socket at ``path`` that this user alone can reach, or its group when another one is served.

    Args:
        path: in a folder that nobody else can enter.
        uid: the user that is served.

    Raises:
        SignatureError: its folder is open to others, or it cannot be made there.
    """
    own = uid == os.geteuid()
    folder, forbidden, mode = path.parent, 0o077 if own else 0o007, 0o600 if own else 0o660
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        found = folder.stat()
        if found.st_uid not in (os.geteuid(), 0) or stat.S_IMODE(found.st_mode) & forbidden:
            raise SignatureError(
                f"others can enter {folder}",
                hint="put the socket into a folder that only this user can enter",
            )
        before = os.umask(0o777 & ~mode)
        try:
            listening.bind(str(path))
        finally:
            os.umask(before)
        listening.listen(MAX_CONNECTIONS)
    except OSError as error:
        listening.close()
        raise SignatureError(f"no socket can be made at {path}: {error.strerror or error}") from error
    except BaseException:
        listening.close()
        raise
    return listening
