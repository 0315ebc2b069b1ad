"""What an operator may do to the store in memory."""

from pantheon.core import lifecycle
from pantheon.core.errors import TransitionError
from pantheon.core.orders import Order, Verb, cancel_cause, changes, check_order, fold_orders
from pantheon.core.records import NightState, TaskOutcome, TaskRecord, storable_text
from pantheon.core.requeue import plan_requeue
from pantheon.testing.store_memory import Memory


class OrdersMemory(Memory):
    """Orders and requeues."""

    async def add_order(
        self, verb: Verb, *, night: str = "", batch: str = "", task: str = "", reason: str, by: str
    ) -> Order | None:
        self._check()
        order = self._new_order(verb, night=night, batch=batch, task=task, reason=reason, by=by)
        check_order(order)
        self._require([task] if task else [], self._tasks, "task")
        self._require([batch] if batch else [], self._batches, "batch")
        subject = [one for one in self._tasks.values() if task == one.key or batch == one.batch]
        if not order.night:
            order = order.model_copy(update={"night": self._night_of(subject)})
        if order.night:
            self._running_night(order.night)
        cancels = verb is Verb.CANCEL and bool(task or batch)
        untaken = [one for one in subject if cancels and one.night is None and one.outcome is None]
        working = any(
            one.outcome is None and one.night == order.night
            for one in self._night_tasks.values()
            if one.key == task or one.batch == batch
        )
        standing = fold_orders(await self.orders(order.night))
        if not untaken and (not changes(standing, order) or (cancels and not working)):
            return None
        for one in untaken:
            cause = cancel_cause(order.reason)
            self._put(one.model_copy(update={"outcome": TaskOutcome.CANCELLED, "cause": cause}))
            self._record("", one.key, "task.cancelled", {"cause": cause})
        return self._add(order)

    async def requeue(
        self, task: str, *, night: str | None = None, from_node: str | None = None, reason: str, by: str
    ) -> tuple[str, ...]:
        self._check()
        self._require([task], self._tasks, "task")
        known = self._tasks[task]
        if night is not None and known.night != night:
            raise TransitionError(f"night {night} does not have task {task}")
        order = self._new_order(Verb.REQUEUE, night=known.night or "", task=task, reason=reason, by=by)
        if known.night is None:
            if known.left_by is None:
                lifecycle.require_unsuccessful(task, known.outcome)
            self._untake([task], order)
            return (task,)
        of = known.night
        running = self._night(of).state is NightState.RUNNING
        outcomes = {key: one.outcome for (has, key), one in self._night_tasks.items() if has == of}
        plan = plan_requeue(task, outcomes, await self.nodes(of), running=running, from_node=from_node)
        if not running:
            taken = [key for key in plan.tasks if self._tasks[key].night == of]
            self._untake(taken, order)
            return tuple(taken)
        for key, state in plan.nodes.items():
            change = {"state": state, "cause": "", "output_commit": None}
            self._nodes[of, key] = self._nodes[of, key].model_copy(update=change)
            self._record(of, key, "node.requeued", {"reason": order.reason, "by": order.by})
        for key in plan.tasks:
            self._put(self._night_tasks[of, key].model_copy(update={"outcome": None, "cause": ""}))
            self._add(order.model_copy(update={"task": key}))
        return tuple(plan.nodes)

    def _untake(self, tasks: list[str], order: Order) -> None:
        for key in tasks:
            change = {"night": None, "outcome": None, "cause": "", "left_by": None}
            self._tasks[key] = self._tasks[key].model_copy(update=change)
            self._record(order.night, key, "task.requeued", {"reason": order.reason, "by": order.by})
        self._add(order)

    def _night_of(self, subject: list[TaskRecord]) -> str:
        nights = (one.night for one in subject if one.night is not None and one.outcome is None)
        return next((one for one in nights if self._nights[one].state is NightState.RUNNING), "")

    def _new_order(
        self, verb: Verb, *, night: str = "", batch: str = "", task: str = "", reason: str, by: str
    ) -> Order:
        return Order(
            seq=1,
            at=self.clock.now(),
            verb=verb,
            night=night,
            batch=batch,
            task=task,
            reason=storable_text(reason),
            by=storable_text(by),
        )

    def _add(self, order: Order) -> Order:
        order = order.model_copy(update={"seq": len(self._orders) + 1})
        self._orders.append(order)
        details = {"order": order.seq, "reason": order.reason, "by": order.by}
        subject = order.task or order.batch or order.night
        self._record(order.night, subject, f"order.{order.verb}", details)
        return order
