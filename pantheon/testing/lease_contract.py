"""What every store must do for attempts: claim, renew, settle, sweep, end. See ``store_contract``."""

import asyncio
from datetime import timedelta

import pytest

from pantheon.core.errors import LeaseLostError, TransitionError
from pantheon.core.records import AttemptOutcome, AttemptResult, Lease, NodeState
from pantheon.ports.store import Store
from pantheon.testing.clock import FakeClock
from pantheon.testing.store_contract import DONE, FAILED, NIGHT, begin, names, node_of, state_of

AGAIN = AttemptResult(outcome=AttemptOutcome.TIMED_OUT, node_state=NodeState.READY, cause="slow")


class LeaseContract:
    """The port's promises about who may run a node, and about how attempts end."""

    async def test_a_node_is_claimed_once(self, store: Store, clock: FakeClock) -> None:
        """Of many claims at once exactly one wins."""
        await begin(store, clock, node_of("n", NodeState.READY))
        won: list[Lease] = []
        lost: list[TransitionError] = []

        async def claim(owner: str) -> None:
            try:
                won.append(await store.claim(NIGHT, "n", owner=owner, lease_s=60))
            except TransitionError as error:
                lost.append(error)

        async with asyncio.TaskGroup() as group:
            for place in range(8):
                group.create_task(claim(f"owner {place}"), name=f"claim {place}")
        assert (len(won), len(lost)) == (1, 7)
        assert (won[0].attempt, won[0].expires_at) == (1, clock.now() + timedelta(seconds=60))
        (attempt,) = await store.attempts(NIGHT)
        assert (attempt.owner, attempt.token, attempt.result) == (won[0].owner, won[0].token, None)
        with pytest.raises(TransitionError):
            await store.claim(NIGHT, "unknown", owner="me", lease_s=60)

    async def test_an_attempt_ends_once(self, store: Store, clock: FakeClock) -> None:
        """Settling moves the node; saying the same again changes nothing, saying another thing is refused."""
        await begin(store, clock, node_of("n", NodeState.READY))
        lease = await store.claim(NIGHT, "n", owner="me", lease_s=60)
        clock.advance(5)
        await store.settle(lease, DONE)
        ended = clock.now()
        clock.advance(5)
        await store.settle(lease, DONE)
        with pytest.raises(LeaseLostError):
            await store.settle(lease, FAILED)
        (attempt,) = await store.attempts(NIGHT)
        assert (attempt.result, attempt.ended_at) == (DONE, ended)
        (node,) = await store.nodes(NIGHT)
        assert (node.state, node.output_commit) == (NodeState.SUCCEEDED, "c1")
        assert (await names(store))[1:] == [("n", "node.running"), ("n", "node.succeeded")]

    async def test_an_illegal_end_is_refused(self, store: Store, clock: FakeClock) -> None:
        """An attempt never ends in waiting or running."""
        await begin(store, clock, node_of("n", NodeState.READY))
        lease = await store.claim(NIGHT, "n", owner="me", lease_s=60)
        for state in (NodeState.WAITING, NodeState.RUNNING):
            with pytest.raises(TransitionError):
                await store.settle(lease, DONE.model_copy(update={"node_state": state}))
        assert await state_of(store, "n") is NodeState.RUNNING

    async def test_tokens_rise_over_every_claim(self, store: Store, clock: FakeClock) -> None:
        """Attempts are numbered per node, fencing tokens over the whole store."""
        await begin(store, clock, node_of("n", NodeState.READY), node_of("m", NodeState.READY))
        tokens = []
        for key, number in (("n", 1), ("m", 1), ("n", 2), ("n", 3)):
            lease = await store.claim(NIGHT, key, owner="me", lease_s=60)
            assert lease.attempt == number
            tokens.append(lease.token)
            await store.settle(lease, AGAIN)
        assert tokens == sorted(set(tokens))
        assert [one.token for one in await store.attempts(NIGHT)] == tokens

    async def test_a_stale_lease_can_do_nothing(self, store: Store, clock: FakeClock) -> None:
        """After a sweep the old owner can neither renew nor settle, before and after the next claim."""
        await begin(store, clock, node_of("n", NodeState.READY))
        stale = await store.claim(NIGHT, "n", owner="old", lease_s=60)
        assert await store.sweep(NIGHT, expired_only=False) == ("n",)
        for fresh in (None, "new"):
            if fresh is not None:
                lease = await store.claim(NIGHT, "n", owner=fresh, lease_s=60)
            with pytest.raises(LeaseLostError):
                await store.settle(stale, DONE)
            with pytest.raises(LeaseLostError):
                await store.renew(stale, lease_s=60)
        forged = stale.model_copy(update={"token": lease.token})
        with pytest.raises(LeaseLostError):
            await store.settle(forged, DONE)
        await store.settle(lease, DONE)
        outcomes = [one.result.outcome for one in await store.attempts(NIGHT) if one.result is not None]
        assert outcomes == [AttemptOutcome.INTERRUPTED, AttemptOutcome.SUCCEEDED]

    async def test_a_sweep_takes_only_leases_that_ran_out(self, store: Store, clock: FakeClock) -> None:
        """A renewed lease survives; one that ran out does not; a second sweep finds nothing."""
        await begin(store, clock, *(node_of(key, NodeState.READY) for key in ("kept", "lost", "waits")))
        kept = await store.claim(NIGHT, "kept", owner="me", lease_s=60)
        await store.claim(NIGHT, "lost", owner="me", lease_s=60)
        clock.advance(59)
        kept = await store.renew(kept, lease_s=60)
        assert await store.sweep(NIGHT) == ()
        clock.advance(1)
        assert await store.sweep(NIGHT) == ("lost",)
        assert await store.sweep(NIGHT) == ()
        assert await store.sweep("another night", expired_only=False) == ()
        assert await state_of(store, "lost") is NodeState.READY
        await store.settle(kept, DONE)

    async def test_ending_nodes_spares_what_has_ended(self, store: Store, clock: FakeClock) -> None:
        """Waiting and ready nodes end with the cause, terminal ones stay, a running one refuses the call."""
        await begin(store, clock, *(node_of(key, NodeState.READY) for key in ("done", "runs", "ready")))
        await store.add_nodes([node_of("waits")])
        await store.settle(await store.claim(NIGHT, "done", owner="me", lease_s=60), DONE)
        await store.claim(NIGHT, "runs", owner="me", lease_s=60)
        everything = ["done", "ready", "waits"]
        with pytest.raises(TransitionError):
            await store.end_nodes(NIGHT, [*everything, "runs"], NodeState.CANCELLED, "stop")
        with pytest.raises(TransitionError):
            await store.end_nodes(NIGHT, everything, NodeState.FAILED, "stop")
        for _ in range(2):
            await store.end_nodes(NIGHT, everything, NodeState.CANCELLED, "stop")
        found = {node.key: (node.state.value, node.cause) for node in await store.nodes(NIGHT)}
        assert found == {
            "done": ("succeeded", ""),
            "runs": ("running", ""),
            "ready": ("cancelled", "stop"),
            "waits": ("cancelled", "stop"),
        }
        assert (await names(store)).count(("waits", "node.cancelled")) == 1
