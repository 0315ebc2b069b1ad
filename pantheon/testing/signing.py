"""A signer whose key lives and dies with the test, and what every signer must do."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pantheon.core.dsse import PAYLOAD_TYPE, key_id, open_envelope, pae, seal
from pantheon.core.errors import SignatureError
from pantheon.ports.signer import Signer


class FakeSigner:
    """``ports.signer.Signer`` with a key made from a number, so that signatures repeat.

    Args:
        seed: another number, another key.
    """

    def __init__(self, seed: int = 1) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed.to_bytes(32, "big"))

    @property
    def key_id(self) -> str:
        return key_id(self.public_key)

    @property
    def public_key(self) -> bytes:
        return self._key.public_key().public_bytes_raw()

    async def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)


async def check_signer(signer: Signer) -> None:
    """Hold a signer to the port's contract. Raises ``AssertionError``."""
    assert signer.key_id == key_id(signer.public_key)
    assert len(signer.public_key) == 32
    payload = b"{}"
    signature = await signer.sign(pae(PAYLOAD_TYPE, payload))
    assert len(signature) == 64
    assert signature == await signer.sign(pae(PAYLOAD_TYPE, payload)), "Ed25519 is deterministic"
    envelope = seal(payload, [(signer.key_id, signature)])
    assert open_envelope(envelope, [signer.public_key]) == payload
    try:
        open_envelope(envelope, [FakeSigner(2**200).public_key])
    except SignatureError:
        return
    raise AssertionError("a signature held under another key")
