"""SQLite and the fake do the same, whatever is asked of them in whatever order."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from operator import methodcaller
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from pantheon.adapters.store import open_store
from pantheon.core.errors import PantheonError
from pantheon.core.lifecycle import OPEN, UNSUCCESSFUL
from pantheon.core.orders import Verb
from pantheon.core.records import AttemptOutcome, AttemptResult, Lease, NodeRecord, NodeState, TaskOutcome
from pantheon.ports.store import Store
from pantheon.testing.clock import FakeClock
from pantheon.testing.store import FakeStore
from pantheon.testing.store_contract import batch_of, night_of

NIGHTS = st.sampled_from(["n1", "n2"])
NODES = st.lists(st.sampled_from(["a", "b", "c"]), max_size=3)
TASKS = ["b1/x", "b1/y", "b2/x", "b2/y"]
RESULTS = st.builds(
    AttemptResult,
    outcome=st.sampled_from(AttemptOutcome),
    node_state=st.sampled_from(NodeState),
    cause=st.sampled_from(["", "broke", "\udfff"]),
    metrics=st.sampled_from([{}, {"tokens": 1}]),
)


class StoreMachine(RuleBasedStateMachine):
    """Sends every operation to both stores and compares what comes back and what is left."""

    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.clock = FakeClock()
        self.fake = FakeStore(self.clock)
        self.path = Path(self.folder.name) / "store.db"
        self.sqlite = self.runner.run(open_store(self.path, self.clock))

    def teardown(self) -> None:
        self.runner.run(self.sqlite.aclose())
        self.runner.close()
        self.folder.cleanup()

    def both(self, call: Callable[[Store], Awaitable[Any]]) -> Any:
        """Call both stores; their results, or the types of their errors, must be equal."""

        async def outcome(store: Store) -> Any:
            try:
                return await call(store)
            except PantheonError as error:
                return type(error)

        fake, real = (self.runner.run(outcome(store)) for store in (self.fake, self.sqlite))
        assert fake == real
        return fake

    @initialize()
    def begin(self) -> None:
        """Every history starts with a night that has ready nodes, so that most of it is about something."""
        self.add_batch("b1", ["x", "y"])
        self.open_night("n1", TASKS[:2])
        self.add_nodes("n1", ["a", "b"], TASKS[0], NodeState.READY)
        self.add_nodes("n1", ["c"], TASKS[1], NodeState.WAITING)

    @rule(name=st.sampled_from(["b1", "b2"]), ids=st.lists(st.sampled_from(["x", "y"]), max_size=2))
    def add_batch(self, name: str, ids: list[str]) -> None:
        batch, tasks = batch_of(self.clock, name, *ids)
        self.both(lambda store: store.add_batch(batch, tasks))

    @rule(night=NIGHTS, tasks=st.lists(st.sampled_from(TASKS), max_size=2))
    def open_night(self, night: str, tasks: list[str]) -> None:
        record = night_of(self.clock, night)
        self.both(lambda store: store.open_night(record, tasks))

    @rule(
        night=NIGHTS,
        summary=st.sampled_from([{}, {"accepted": 1}]),
        carry=st.lists(st.sampled_from(TASKS), max_size=3),
    )
    def close_night(self, night: str, summary: dict[str, Any], carry: list[str]) -> None:
        # Seldom, so that most nights live long enough for something to happen in them.
        if summary or self.clock.monotonic() > 300:
            self.both(lambda store: store.close_night(night, summary, carry=carry))

    @rule(night=NIGHTS, keys=NODES, task=st.sampled_from(TASKS), state=st.sampled_from(sorted(OPEN)))
    def add_nodes(self, night: str, keys: list[str], task: str, state: NodeState) -> None:
        needs = {"b": ("a",), "c": ("b",)}
        nodes = [
            NodeRecord(night=night, key=key, task=task, node=key, state=state, needs=needs.get(key, ()))
            for key in keys
        ]
        self.both(lambda store: store.add_nodes(nodes))

    @rule(night=NIGHTS, keys=NODES)
    def make_ready(self, night: str, keys: list[str]) -> None:
        self.both(lambda store: store.make_ready(night, keys))

    @rule(target=leases, night=NIGHTS, key=st.sampled_from("abc"), lease_s=st.sampled_from([1.0, 90.0]))
    def claim(self, night: str, key: str, lease_s: float) -> Any:
        lease = self.both(lambda store: store.claim(night, key, owner="me", lease_s=lease_s))
        return lease if isinstance(lease, Lease) else multiple()

    @rule(target=leases, lease=leases)
    def renew(self, lease: Lease) -> Any:
        renewed = self.both(lambda store: store.renew(lease, lease_s=90.0))
        return renewed if isinstance(renewed, Lease) else multiple()

    @rule(lease=leases, result=RESULTS)
    def settle(self, lease: Lease, result: AttemptResult) -> None:
        self.both(lambda store: store.settle(lease, result))

    @rule(night=NIGHTS, keys=NODES, state=st.sampled_from(NodeState))
    def end_nodes(self, night: str, keys: list[str], state: NodeState) -> None:
        self.both(lambda store: store.end_nodes(night, keys, state, "stop"))

    @rule(night=NIGHTS, task=st.sampled_from(TASKS), outcome=st.sampled_from(TaskOutcome))
    def finish_task(self, night: str, task: str, outcome: TaskOutcome) -> None:
        self.both(lambda store: store.finish_task(night, task, outcome, "because"))

    @rule(night=NIGHTS, expired_only=st.booleans())
    def sweep(self, night: str, expired_only: bool) -> None:
        self.both(lambda store: store.sweep(night, expired_only=expired_only))

    @rule(
        verb=st.sampled_from(Verb),
        night=st.sampled_from(["", "n1", "n2"]),
        batch=st.sampled_from(["", "", "b1", "b2"]),
        task=st.sampled_from(["", *TASKS]),
    )
    def add_order(self, verb: Verb, night: str, batch: str, task: str) -> None:
        order = {"night": night, "batch": "" if task else batch, "task": task}
        self.both(lambda store: store.add_order(verb, **order, reason="why\udfff", by="ann"))

    @rule(
        task=st.sampled_from(TASKS),
        night=st.sampled_from([None, None, "n1"]),
        from_node=st.sampled_from([None, None, "a"]),
    )
    def requeue(self, task: str, night: str | None, from_node: str | None) -> None:
        self.both(
            lambda store: store.requeue(task, night=night, from_node=from_node, reason="again", by="ann")
        )

    @rule(task=st.sampled_from(TASKS[:2]), outcome=st.sampled_from(sorted(UNSUCCESSFUL)))
    def lose(self, task: str, outcome: TaskOutcome) -> None:
        """End a task without success and all its nodes with it, so that there is something to requeue."""
        self.both(lambda store: store.end_nodes("n1", ["a", "b", "c"], NodeState.SKIPPED, "lost"))
        self.both(lambda store: store.finish_task("n1", task, outcome, "lost"))

    @rule(seconds=st.sampled_from([-30, 5, 100]))
    def move_clock(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def reopen(self) -> None:
        """Closing and opening again changes nothing that can be seen."""
        self.runner.run(self.sqlite.aclose())
        self.sqlite = self.runner.run(open_store(self.path, self.clock))

    @invariant()
    def both_hold_the_same(self) -> None:
        for name in ("batches", "tasks", "nights"):
            self.both(methodcaller(name))
        for call in (methodcaller("tasks", pending=True), methodcaller("counts")):
            self.both(call)
        self.both(methodcaller("tasks", after="b1/x", limit=2))
        for night in ("n1", "n2", ""):
            for name in ("nodes", "attempts", "events", "orders", "counts"):
                self.both(methodcaller(name, night))
            self.both(methodcaller("tasks", night=night))


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
