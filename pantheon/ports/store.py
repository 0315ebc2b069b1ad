"""The seam to the one truth: batches, nights, tasks, nodes, attempts, events.

Every write is durable when its call returns. Writes of concurrent callers share group commits.
Every method raises ``StoreError`` when the database cannot be read or written.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from pantheon.core.orders import Order, Verb
from pantheon.core.records import (
    AttemptFigures,
    AttemptRecord,
    AttemptResult,
    BatchRecord,
    Conclusion,
    Counts,
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

    async def open_night(self, night: NightRecord, tasks: Sequence[str]) -> int:
        """Add a night and assign it those of the tasks (keys) that no night has taken and no operator holds.

        Its event ``night.opened`` says how many, and of which closed nights they were left.

        Returns:
            How many it took now.
        """
        ...

    async def close_night(self, night: str, summary: dict[str, Any], *, carry: Sequence[str] = ()) -> None:
        """Mark a night closed, and with it hand tasks on to the next one. Closing twice changes nothing.

        Args:
            night: id of the night.
            summary: its figures.
            carry: keys of tasks that it has not reached; those that it has, or that are not its own, stay.
        """
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

    async def settle(
        self, lease: Lease, result: AttemptResult, *, conclusion: Conclusion | None = None
    ) -> None:
        """End an attempt and move its node, and with its last node conclude a task, all in one.

        Args:
            lease: the attempt's lease.
            result: how it ended; saying the same again changes nothing.
            conclusion: what becomes of the task, as ``finish_task`` would record it.

        Raises:
            LeaseLostError: the lease is no longer the current one.
        """
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
        self, verb: Verb, *, night: str = "", batch: str = "", task: str = "", reason: str, by: str
    ) -> Order | None:
        """Record an operator's order; None, and no change, when it changes nothing.

        A cancel ends at once the tasks that no night has taken; the others are the running night's to end.

        Args:
            verb: what is ordered; for a requeue there is ``requeue``.
            night: the running night it is about; found by the batch or task when empty.
            batch: name of the batch it is about.
            task: key of the task it is about; without batch and task it is about the whole night.
            reason: why, for the record.
            by: who ordered it.

        Raises:
            TransitionError: the subject is unknown or missing, or the night does not run.
        """
        ...

    async def orders(self, night: str, *, after: int = 0) -> tuple[Order, ...]:
        """Return what a night must follow: its own orders, and every hold and release, by number."""
        ...

    async def requeue(
        self, task: str, *, night: str | None = None, from_node: str | None = None, reason: str, by: str
    ) -> tuple[str, ...]:
        """Take up again what of a task did not succeed, with what had waited for it in vain.

        In a running night its nodes go back and each task concerned gets an order ``requeue``, so that the night
        hears of it. After a closed night the tasks wait for the next one; the closed night keeps what it made of
        them.

        Args:
            task: key of the task.
            night: the night that must have it; None is whichever has.
            from_node: the flow's node to begin at, in a running night; None is all that did not succeed.
            reason: why, for the record.
            by: who ordered it.

        Returns:
            Keys of the nodes that went back in a running night, else keys of the tasks that wait again.

        Raises:
            TransitionError: the task is unknown, under way or succeeded, or something it needs has not succeeded.
        """
        ...

    async def counts(self, night: str | None = None) -> Counts:
        """Count tasks and nodes, of a night or (None) of the whole store; cheap however many there are.

        What no night has taken is counted whatever the night.
        """
        ...

    async def measure_attempts(self, night: str) -> AttemptFigures:
        """Return a night's ended attempts in numbers, without handing any of them out."""
        ...

    async def batches(self) -> tuple[BatchRecord, ...]: ...

    async def tasks(
        self,
        *,
        night: str | None = None,
        pending: bool = False,
        after: str | None = None,
        limit: int | None = None,
    ) -> tuple[TaskRecord, ...]:
        """Return tasks in queue order.

        Args:
            night: only those it took, with what it made of them, also when a later night has them now.
            pending: only those that the next night may take: not taken, not cancelled, not held.
            after: key of the last task of the page before.
            limit: most tasks to return.
        """
        ...

    async def nights(self) -> tuple[NightRecord, ...]:
        """Return every night, oldest first."""
        ...

    async def nodes(self, night: str) -> tuple[NodeRecord, ...]: ...

    async def attempts(self, night: str) -> tuple[AttemptRecord, ...]: ...

    async def events(
        self, night: str, *, after: int = 0, limit: int = 1000, name: str | None = None
    ) -> tuple[EventRecord, ...]:
        """Return a night's events in order, those of one name only where it is given."""
        ...

    async def aclose(self) -> None:
        """Finish the writes that were accepted and close the database."""
        ...
