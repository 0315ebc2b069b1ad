"""The part of ``pantheon.toml`` that tells of further endpoints."""

from typing import Annotated

from pydantic import Field, model_validator

from pantheon.core.model import Frozen

Slots = Annotated[int, Field(ge=1, le=1024)]
OWN_ENDPOINT = "endpoint"
"""What a pool calls the server of ``[endpoint]``."""
MAX_SOCKET_BYTES = 107
"""What the kernel takes as a Unix socket's path."""


class PoolConfig(Frozen):
    """One more endpoint beside ``[endpoint]``, or, called ``endpoint`` and without an address, more about that one."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,31}$")
    """What records and ``pantheon server drain`` call it."""
    url: str = ""
    """The address before ``/v1``; must be local."""
    uds: str = ""
    """Absolute path of the server's Unix socket; wins over ``url``."""
    weight: int = Field(default=1, ge=1, le=1_000)
    """Its share of the calls, against the other endpoints'."""
    models: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(default_factory=list)
    """Names of the models that it serves, as agents ask for them; empty: the night's own."""
    adapters: dict[str, str] = Field(default_factory=dict)
    """LoRA adapters: name -> folder; loaded where the server does not list them, and unloaded at the night's end."""
    slots: Slots = 16
    """Requests that are in flight at once, at most."""

    @model_validator(mode="after")
    def _one_address(self) -> "PoolConfig":
        if (self.name == OWN_ENDPOINT) == bool(self.url or self.uds):
            raise ValueError(
                f"{self.name}: needs url or uds"
                if self.name != OWN_ENDPOINT
                else f"{self.name}: has the address of [endpoint] and none of its own"
            )
        check_socket(self.uds)
        return self


def check_socket(path: str) -> None:
    """Refuse what is no path of a Unix socket; an empty one is none at all. Raises ``ValueError``."""
    if path and (not path.startswith("/") or "\0" in path or len(path.encode()) > MAX_SOCKET_BYTES):
        raise ValueError(f"uds: an absolute path of at most {MAX_SOCKET_BYTES} bytes")
