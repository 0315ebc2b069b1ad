"""The verifier's half of the wiring: nights' folders, a public key, and what else somebody has to compare with."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pantheon.adapters.keys import public_pem_path, read_public_key
from pantheon.adapters.night_folder import Progress
from pantheon.adapters.night_verifier import find_nights, verify_found, verify_night
from pantheon.adapters.witness_file import read_witness
from pantheon.core.errors import ArtifactError, ConfigError, GitError, SignatureError
from pantheon.core.verify import NightVerdict, check_chain
from pantheon.shell.config import UserPaths

QUIET_BYTES = 5_000_000
"""Ledgers below this need no progress."""


def read_key(path: Path | None, user: UserPaths) -> bytes:
    """Return the public key to verify with, by default the user's own, else the one that the machine trusts.

    Raises:
        ConfigError: there is none in the file.
    """
    place = path or public_pem_path(user.signing_key)
    if path is None and not place.exists() and user.machine_key.exists():
        place = user.machine_key
    try:
        return read_public_key(place)
    except SignatureError as error:
        raise ConfigError(error.message, hint="Name the public key: --key FILE.pub.pem") from error


def verify_nights(
    path: Path, key: bytes, *, witness: Path | None, repository: Path | None, progress: Progress
) -> Sequence[NightVerdict]:
    """Verify the night in a folder, or all nights right below it and how they hang together.

    Args:
        path: the folder.
        key: the user's public key, raw.
        witness: a witness file to compare with.
        repository: a repository to compare with.
        progress: told how far it is.

    Raises:
        ConfigError: there is no night, no witness or no repository.
    """
    from pantheon.adapters.git.landed import read_landed, read_named

    try:
        nights = find_nights(path)
        if not nights:
            raise ConfigError(f"{path}: holds no night")
        if witness is not None and not witness.exists():
            raise ConfigError(f"{witness}: there is no such file")
        notes = None if witness is None else read_witness(witness)
        landed = None if repository is None else partial(read_landed, repository)
        named = None if repository is None else partial(read_named, repository)
        verify = partial(
            verify_night, user_key=key, witness=notes, landed=landed, named=named, progress=progress
        )
        verdicts = [verify_found(path, night, verify) for night in nights]
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (ArtifactError, GitError) as error:
        raise ConfigError(error.message, hint=error.hint) from error
    # One night that was asked for says nothing of others; a folder of nights is to hold them all.
    return verdicts if nights == (path,) else check_chain(verdicts, notes or ())


def is_large(path: Path) -> bool:
    """Tell whether verifying takes long enough to show how far it is."""
    return sum(one.stat().st_size for one in (*path.glob("ledger.jsonl"), *path.glob("*/ledger.jsonl"))) > (
        QUIET_BYTES
    )
