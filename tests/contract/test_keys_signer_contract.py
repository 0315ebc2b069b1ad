"""The fake signer and the real one keep the same promises."""

from pathlib import Path

import pytest

from pantheon.adapters.keys import FileSigner
from pantheon.ports.signer import Signer
from pantheon.testing.signing import FakeSigner, check_signer


@pytest.mark.parametrize("kind", ["fake", "file"])
async def test_a_signer_keeps_the_contract(kind: str, tmp_path: Path) -> None:
    """Id, key and signature belong together, and nobody else's key verifies."""
    signer: Signer = FakeSigner() if kind == "fake" else FileSigner.open(tmp_path / "keys" / "k")
    await check_signer(signer)
