"""Which endpoints the operator has drained: events of the store, of no night, that hold until they are taken back."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pantheon.ports.store import Store

DRAINS = "endpoint.drain"
"""Name of the event; its subject is the endpoint, its details say whether it drains from then on, why, and by whom."""
OF_NO_NIGHT = ""
AT_ONCE = 500


@dataclass
class Drains:
    """What is ordered, read on from where it was read last.

    Args:
        store: where orders are.
    """

    store: Store
    _after: int = 0
    _known: dict[str, str] = field(default_factory=dict)

    async def read(self) -> Mapping[str, str]:
        """Return endpoint -> why it is drained now.

        Raises:
            StoreError: the store cannot be read.
        """
        while True:
            events = await self.store.events(OF_NO_NIGHT, after=self._after, limit=AT_ONCE, name=DRAINS)
            for event in events:
                self._after = event.seq
                self._known.pop(event.subject, None)
                if event.details.get("draining") is True:
                    self._known[event.subject] = str(event.details.get("reason", "")) or "no reason given"
            if len(events) < AT_ONCE:
                return dict(self._known)

    async def order(self, endpoint: str, *, draining: bool, reason: str, by: str) -> bool:
        """Record an order; False, and no record, when it changes nothing. Raises ``StoreError``."""
        if (endpoint in await self.read()) == draining:
            return False
        told = {"draining": draining, "reason": reason, "by": by}
        await self.store.add_event(OF_NO_NIGHT, endpoint, DRAINS, told)
        return True
