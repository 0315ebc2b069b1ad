"""The limit on requests in flight, against simulated servers: it finds what pays and keeps to its bounds."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.concurrency import CACHE_FULL, PAYS_SHARE, REST, Concurrency, Load, Measurement, Phase

loads = st.builds(
    Load,
    running=st.none() | st.floats(0, 1e4),
    waiting=st.none() | st.floats(0, 1e4),
    cache_use=st.none() | st.floats(0, 1),
)
measurements = st.builds(
    Measurement,
    per_s=st.floats(0, 1e6),
    in_flight=st.floats(0, 1e4),
    refused=st.integers(0, 100),
    load=loads,
)


@dataclass(frozen=True)
class Server:
    """A server whose speed grows with what is in flight up to a width, and which may tell how full it is."""

    width: int
    alone_per_s: float = 10.0
    tells: bool = False
    room: int = 1_000

    def seen(self, in_flight: int) -> Measurement:
        speed = self.alone_per_s * min(in_flight, self.width, self.room)
        running = min(in_flight, self.room)
        load = Load(running=running, waiting=in_flight - running, cache_use=0.5) if self.tells else Load()
        return Measurement(per_s=speed, in_flight=in_flight, load=load)


def work(server: Server, begin: Concurrency, rounds: int) -> list[Concurrency]:
    states = [begin]
    for _ in range(rounds):
        states.append(states[-1].after(server.seen(states[-1].limit)))
    return states


@given(st.integers(1, 64), st.integers(0, 63), st.lists(measurements, max_size=60))
def test_the_limit_stays_within_its_bounds(floor: int, more: int, seen: list[Measurement]) -> None:
    """Whatever is measured or told."""
    state = Concurrency(ceiling=floor + more, floor=floor, limit=floor)
    for one in seen:
        state = state.after(one)
        assert floor <= state.limit <= floor + more


@given(st.integers(1, 64), st.integers(1, 64))
def test_it_finds_what_pays(width: int, ceiling: int) -> None:
    """A server that gets faster up to a width is given most of that, and never twice as much for long."""
    states = work(Server(width), Concurrency(ceiling=ceiling), 400)
    late = [state.limit for state in states[-REST * 4 :]]
    useful = min(width, ceiling)
    assert max(late) >= math.floor(useful / 1.25)
    kept = [state.limit for state in states[-REST * 4 :] if state.phase is Phase.REST]
    assert max(kept) <= max(1, math.ceil(2 * useful / (1 + PAYS_SHARE)))


@given(st.integers(2, 64), st.integers(1, 32))
def test_what_waits_at_the_server_is_taken_back(ceiling: int, room: int) -> None:
    """A server that says how many it holds is given no more than that once it said so."""
    states = work(Server(width=1_000, tells=True, room=room), Concurrency(ceiling=ceiling), 60)
    kept = [state.limit for state in states[20:] if state.phase is Phase.REST]
    assert max(kept) <= max(room, 1)


@given(st.builds(Concurrency, ceiling=st.just(64), limit=st.integers(2, 64)), st.floats(0, 1e6))
def test_idle_time_says_nothing(state: Concurrency, per_s: float) -> None:
    """When the night had little to ask, neither a slow nor a fast stretch moves the limit."""
    assert state.after(Measurement(per_s=per_s, in_flight=0.5 * state.limit)) == state


@given(st.builds(Concurrency, ceiling=st.just(64), limit=st.integers(1, 64)), measurements)
def test_trouble_never_raises_the_limit(state: Concurrency, seen: Measurement) -> None:
    """A refusal, a full cache or a queue at the server lowers the limit or leaves it."""
    trouble: list[Callable[[Measurement], Measurement]] = [
        lambda one: one.model_copy(update={"refused": 1}),
        lambda one: one.model_copy(update={"load": Load(cache_use=CACHE_FULL)}),
        lambda one: one.model_copy(update={"load": Load(waiting=3.0, running=500.0)}),
    ]
    for make in trouble:
        assert state.after(make(seen)).limit <= state.limit


def test_a_server_that_grows_is_found_again() -> None:
    """After a rest more is tried: a server that was busy with others is used again when they are gone."""
    state = work(Server(width=2), Concurrency(ceiling=32), 100)[-1]
    assert state.limit <= 3
    assert max(one.limit for one in work(Server(width=16), state, 400)) >= 14
