"""Which endpoint of a pool answers a call: weighted rendezvous hashing with bounded loads, as a pure function.

Every endpoint draws a score for the prefix that a call begins with, and the highest one wins. So the calls of one
agent meet where its prefix is cached, and an endpoint that joins or leaves moves only the calls it wins or held.

Invariants:
- an endpoint that is lost, draining, or does not serve the model is never chosen;
- one that has clearly more in flight than its share passes the call on to the next in its order, and as long as any
  endpoint may be asked one of them takes it;
- the same values give the same choice: nothing here draws or remembers.

Source: Thaler and Ravishankar, "Using name-based mappings to increase hit rates" (1998); weights by
``-weight / ln(u)``; bounded loads by Mirrokni, Thorup and Zadimoghaddam, "Consistent hashing with bounded loads"
(2018).
"""

import hashlib
import math
from collections.abc import Collection, Iterable, Sequence

from pydantic import Field

from pantheon.core.chat import ChatRequest
from pantheon.core.concurrency import Load
from pantheon.core.model import Frozen

BOUND = 1.25
"""Times its share of what is in flight that an endpoint takes before it passes calls on."""
_DRAWS = 2.0**64


class Member(Frozen):
    """One endpoint at the moment of a choice."""

    name: str
    weight: int = Field(default=1, ge=1, le=1_000)
    """Its share of the calls, against those of the others."""
    models: frozenset[str]
    """Names that it answers to; the empty one is the night's own model."""
    in_flight: int = Field(default=0, ge=0)
    lost: bool = False
    draining: bool = False

    def takes(self, model: str) -> bool:
        """Whether it may be asked for a model now."""
        return model in self.models and not self.lost and not self.draining


def prefix_key(request: ChatRequest) -> str:
    """Return what calls that share a prefix share: the model and the opening turn, which is an agent's own."""
    opening = request.messages[0]
    text = f"{request.model}\0{opening.role}\0{opening.content}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def rank(members: Iterable[Member], key: str) -> tuple[Member, ...]:
    """Return members in the order in which a key prefers them; the order of two does not depend on the rest."""
    return tuple(sorted(members, key=lambda one: (-_score(one, key), one.name)))


def choose(members: Sequence[Member], *, model: str, key: str, tried: Collection[str] = ()) -> Member | None:
    """Return who is asked; None when nobody may be.

    Args:
        members: the pool.
        model: name that the call asks for.
        key: what ``prefix_key`` says of the call.
        tried: names of those that have failed this call already.
    """
    able = [one for one in members if one.takes(model) and one.name not in tried]
    if len(able) < 2:
        return able[0] if able else None
    in_flight, weights = sum(one.in_flight for one in able) + 1, sum(one.weight for one in able)
    for one in rank(able, key):
        if one.in_flight < math.ceil(BOUND * in_flight * one.weight / weights):
            return one
    raise AssertionError("all of them cannot be above their shares")


def add_loads(loads: Iterable[Load]) -> Load:
    """Return what several servers say together: requests add up, and the fullest cache counts.

    A sum is left out where no server says its part: of one that says nothing, nothing is known.
    """
    known = tuple(loads)
    return Load(
        running=_sum(one.running for one in known),
        waiting=_sum(one.waiting for one in known),
        cache_use=max((one.cache_use for one in known if one.cache_use is not None), default=None),
    )


def _score(member: Member, key: str) -> float:
    drawn = hashlib.sha256(f"{key}\0{member.name}".encode("utf-8", "surrogatepass")).digest()
    share = (int.from_bytes(drawn[:8], "big") + 0.5) / _DRAWS
    return -member.weight / math.log(min(share, math.nextafter(1.0, 0.0)))


def _sum(parts: Iterable[float | None]) -> float | None:
    said = [one for one in parts if one is not None]
    return sum(said) if said else None
