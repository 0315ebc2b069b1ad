"""The signer's half of the wiring: its process, and the ledger of a night that it signs."""

import asyncio
import os
import pwd
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pantheon.core.dsse import key_id
from pantheon.core.errors import SignatureError
from pantheon.ports.signer import NightSigner
from pantheon.shell.config import Project, UserPaths
from pantheon.shell.environment import environment

if TYPE_CHECKING:
    from pantheon.core.records import NightRecord
    from pantheon.engine.ledger import NightLedger
    from pantheon.ports.clock import Clock

CREDENTIAL = "night.ed25519"
LOG = "signer.log"


async def serve_signer(
    path: Path,
    key: Path | None,
    user: UserPaths,
    *,
    uid: int,
    tell: Callable[[str], None],
    outside: Path | None = None,
    child_of: int | None = None,
    parent: int | None = None,
) -> None:
    """Hold keys and answer on a socket until told to end.

    Args:
        path: the socket.
        key: the user's private key; None for the service manager's credential, else the user's own.
        user: the user's own folders.
        uid: the user that may ask.
        tell: told of refusals.
        outside: folder that the key must not be in.
        child_of: the only process that may ask, which holds standard input open; None for a service.
        parent: the process to die with.

    Raises:
        SignatureError: the key or the socket cannot be used.
    """
    from pantheon.adapters.keys import open_credential, open_key, refuse_inside
    from pantheon.adapters.signer_process import die_with, harden_process, remove_stale_socket, run_signer
    from pantheon.adapters.signer_server import Admission

    harden_process()
    if parent is not None:
        die_with(parent)
    credentials = environment().get("CREDENTIALS_DIRECTORY", "")
    if key is None and credentials:
        private = open_credential(Path(credentials) / CREDENTIAL)
    else:
        own = key or user.signing_key
        if outside is not None:
            refuse_inside(own, outside)
        private = open_key(own)
    remove_stale_socket(path)
    admission = Admission(uid=uid, pid=child_of)
    await run_signer(private, path, admission, tell=tell, child=child_of is not None)


@asynccontextmanager
async def open_signer(project: Project, user: UserPaths, clock: "Clock") -> AsyncIterator[NightSigner]:
    """Connect to the signer that the configuration names, else run one for the length of a ``with``.

    Raises:
        SignatureError: none answers, none can be started, or the one that answers is not the user's.
    """
    from pantheon.adapters.signer_child import signer_child
    from pantheon.adapters.signer_client import SocketSigner

    if path := project.config.night.signer:
        trusted = await asyncio.to_thread(_trusted_keys, user)
        uids = await asyncio.to_thread(_signer_uids, project.config.night.signer_user)
        signer = await SocketSigner.connect(Path(path), uids=uids)
        try:
            _refuse_stranger(signer.public_key, path, trusted)
            yield signer
        finally:
            await signer.aclose()
        return
    await asyncio.to_thread(_refuse_lost_key, project, user)
    log = project.state / "logs" / LOG
    async with signer_child(
        user.signing_key, outside=project.root, log=log, environment=environment(), clock=clock
    ) as child:
        yield child


@asynccontextmanager
async def open_night_ledger(
    project: Project,
    user: UserPaths,
    record: "NightRecord",
    reviewers: Sequence[str],
    *,
    signer: NightSigner,
    clock: "Clock",
) -> AsyncIterator["NightLedger"]:
    """Open the ledger of a night for the length of a ``with``.

    Raises:
        SignatureError: the ledger that is there was altered, cut or set back, or the signer refuses.
        ArtifactError: it cannot be read or written.
    """
    from pantheon.adapters.ledger_file import LedgerFolder
    from pantheon.adapters.witness_file import WitnessFile
    from pantheon.engine.ledger_opening import open_ledger

    async with open_ledger(
        record,
        reviewers,
        store=LedgerFolder(project.artifacts),
        witness=WitnessFile(witness_path(project, user)),
        signer=signer,
        clock=clock,
    ) as ledger:
        yield ledger


def _refuse_lost_key(project: Project, user: UserPaths) -> None:
    from pantheon.engine.custody import refuse_lost_key
    from pantheon.shell.queue_wiring import project_queue

    if not os.path.lexists(user.signing_key):
        refuse_lost_key(project_queue(project), str(user.signing_key))


def _trusted_keys(user: UserPaths) -> dict[Path, bytes]:
    """Return the public keys that a service may hold the private half of: none of them lies in the repository."""
    from pantheon.adapters.keys import public_pem_path, read_public_key

    places = (public_pem_path(user.signing_key), user.machine_key)
    found = {place: read_public_key(place) for place in places if os.path.lexists(place)}
    if not found:
        raise SignatureError(
            "night.signer names a service, and no public key says whose it must be",
            hint=f"Copy the public half of the key it holds to {places[0]}, or as root to {places[1]}.",
        )
    return found


def _signer_uids(name: str) -> set[int]:
    uids = {0, os.geteuid()}
    with suppress(KeyError):
        uids.add(pwd.getpwnam(name).pw_uid)
    return uids


def _refuse_stranger(key: bytes, path: str, trusted: Mapping[Path, bytes]) -> None:
    """Refuse a signer of another key: what it signs would count for whoever put that socket there."""
    if key not in trusted.values():
        named = ", ".join(f"{place} is {key_id(own)}" for place, own in trusted.items())
        raise SignatureError(
            f"the signer at {path} holds the key {key_id(key)}; {named}",
            hint="Mend night.signer in pantheon.toml. If the key was changed on purpose, put its public half there.",
        )


def witness_path(project: Project, user: UserPaths) -> Path:
    """Return the file that remembers the checkpoints of a project's nights, outside the project."""
    from pantheon.core.canonical import digest_bytes

    name = digest_bytes(os.fsencode(project.root))[:16]
    return user.witness / f"{name}.jsonl"
