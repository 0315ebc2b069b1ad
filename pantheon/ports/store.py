"""The seam to the one truth: batches, nights, tasks, nodes, attempts, events.

Every write is durable when its call returns. Writes of concurrent callers share group commits.
Every method raises ``StoreError`` when the database cannot be read or written.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from pantheon.core.orders import Order, Verb
from pantheon.core.records import (
    AttemptRecord,
    AttemptResult,
    BatchRecord,
    EventRecord,
    Lease,
    NightRecord,
    NodeRecord,
    NodeState,
    TaskOutcome,
    TaskRecord,
)


class Store(Protocol):
    """Durable state of every night."""

    async def add_batch(self, batch: BatchRecord, tasks: Sequence[TaskRecord]) -> bool:
        """Add a batch with its tasks; False, and no change, when its name is known."""
        ...

    async def open_night(self, night: NightRecord, tasks: Sequence[str]) -> None:
        """Add a night and assign it the tasks (keys) that no night has taken yet."""
        ...

    async def close_night(self, night: str, summary: dict[str, Any]) -> None:
        """Mark a night closed. Closing twice changes nothing."""
        ...

    async def add_nodes(self, nodes: Sequence[NodeRecord]) -> None:
        """Add nodes; those whose key is known in that night stay as they are."""
        ...

    async def make_ready(self, night: str, nodes: Sequence[str]) -> None:
        """Move waiting nodes to ready; those that are ready already stay."""
        ...

    async def claim(self, night: str, node: str, *, owner: str, lease_s: float) -> Lease:
        """Move a node that waits or is ready to running and start its next attempt.

        Raises:
            TransitionError: the node runs or has ended.
        """
        ...

    async def renew(self, lease: Lease, *, lease_s: float) -> Lease:
        """Extend a lease. Raises ``LeaseLostError`` when it is no longer the current one."""
        ...

    async def settle(self, lease: Lease, result: AttemptResult) -> None:
        """End an attempt and move its node. Raises ``LeaseLostError`` for a stale token."""
        ...

    async def end_nodes(self, night: str, nodes: Sequence[str], state: NodeState, cause: str) -> None:
        """Move nodes that never ran to skipped or cancelled; terminal ones stay."""
        ...

    async def finish_task(self, night: str, task: str, outcome: TaskOutcome, cause: str) -> None:
        """Record what became of a task. The first outcome stays; repeating it changes nothing."""
        ...

    async def sweep(self, night: str, *, expired_only: bool = True) -> tuple[str, ...]:
        """End running attempts as interrupted and make their nodes ready; returns the nodes' keys.

        Args:
            night: id of the night.
            expired_only: only those whose lease has run out; False after a restart, when this process knows
                that it is the only one.
        """
        ...

    async def add_event(
        self, night: str, subject: str, name: str, details: dict[str, Any] | None = None
    ) -> None:
        """Record something that is no transition."""
        ...

    async def add_order(
        self, verb: Verb, *, night: str, batch: str = "", task: str = "", reason: str, by: str
    ) -> Order | None:
        """Record an operator's order; None, and no change, when it changes nothing.

        Args:
            verb: what is ordered.
            night: id of the night; empty when no night has the subject.
            batch: name of the batch it is about; empty for a task or the whole night.
            task: key of the task it is about.
            reason: why, in the operator's words.
            by: who ordered it.
        """
        ...

    async def orders(self, night: str, *, after: int = 0) -> tuple[Order, ...]:
        """Return the orders of a night, and those that were given without one, in order."""
        ...

    async def batches(self) -> tuple[BatchRecord, ...]: ...

    async def tasks(self, *, night: str | None = None, pending: bool = False) -> tuple[TaskRecord, ...]:
        """Return tasks in queue order: all, those of a night, or (``pending``) those no night has taken."""
        ...

    async def nights(self) -> tuple[NightRecord, ...]:
        """Return every night, oldest first."""
        ...

    async def nodes(self, night: str) -> tuple[NodeRecord, ...]: ...

    async def attempts(self, night: str) -> tuple[AttemptRecord, ...]: ...

    async def events(self, night: str, *, after: int = 0, limit: int = 1000) -> tuple[EventRecord, ...]: ...

    async def aclose(self) -> None:
        """Finish the writes that were accepted and close the database."""
        ...
