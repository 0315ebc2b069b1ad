"""Routing over a pool: shares, affinity, bounded loads, and who is never asked."""

import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.chat import ChatRequest, Message
from pantheon.core.concurrency import Load
from pantheon.core.pool import BOUND, Member, add_loads, choose, prefix_key, rank

MODEL = "m"
NAMES = st.lists(st.text("abcdefgh", min_size=1, max_size=4), min_size=1, max_size=6, unique=True)
KEYS = st.text(max_size=20)


@st.composite
def pools(draw: st.DrawFn) -> list[Member]:
    return [
        Member(
            name=name,
            weight=draw(st.integers(1, 9)),
            models=frozenset(draw(st.sets(st.sampled_from(["", MODEL, "other"])))),
            in_flight=draw(st.integers(0, 40)),
            lost=draw(st.booleans()),
            draining=draw(st.booleans()),
        )
        for name in draw(NAMES)
    ]


def idle(*weights: int) -> list[Member]:
    return [Member(name=f"e{i}", weight=w, models=frozenset({MODEL})) for i, w in enumerate(weights)]


@given(pools(), KEYS, st.sampled_from(["", MODEL, "nobody's"]), st.sets(st.text("abcdefgh", min_size=1)))
def test_nobody_is_asked_who_may_not_be(pool: list[Member], key: str, model: str, tried: set[str]) -> None:
    """A lost, draining, tried or other model's endpoint is never chosen, and somebody is whenever anybody may be."""
    able = [m for m in pool if model in m.models and not m.lost and not m.draining and m.name not in tried]
    found = choose(pool, model=model, key=key, tried=tried)
    assert (found in able) if able else found is None


@given(pools(), KEYS)
def test_whoever_takes_a_call_is_not_above_the_bound(pool: list[Member], key: str) -> None:
    """Nobody is given a call who has more than his share and a quarter of it in flight."""
    found = choose(pool, model=MODEL, key=key)
    if found is None:
        return
    able = [m for m in pool if m.takes(MODEL)]
    share = (sum(m.in_flight for m in able) + 1) * found.weight / sum(m.weight for m in able)
    assert len(able) == 1 or found.in_flight < math.ceil(BOUND * share)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), KEYS, st.integers(0, 50))
def test_a_prefix_stays_while_loads_are_even(weights: list[int], key: str, each: int) -> None:
    """With every endpoint as full as its weight says, a prefix goes where it goes in an idle pool."""
    pool = idle(*weights)
    even = [m.model_copy(update={"in_flight": each * m.weight}) for m in pool]
    first, again = choose(pool, model=MODEL, key=key), choose(even, model=MODEL, key=key)
    assert first is not None and again is not None
    assert first.name == again.name == rank(pool, key)[0].name


@given(st.lists(st.integers(1, 9), min_size=2, max_size=6), st.integers(0, 5))
def test_a_change_moves_only_the_share_of_whom_it_concerns(weights: list[int], gone: int) -> None:
    """Taking an endpoint away moves no call that it did not hold; giving it back moves only those it wins."""
    pool = idle(*weights)
    gone %= len(pool)
    rest = [m for m in pool if m is not pool[gone]]
    for n in range(40):
        before, after = choose(pool, model=MODEL, key=str(n)), choose(rest, model=MODEL, key=str(n))
        assert before is not None and after is not None
        assert before.name in (after.name, pool[gone].name)


def test_weights_hold_over_many_prefixes() -> None:
    """Three endpoints of weights 1, 2 and 5 win 1, 2 and 5 eighths of 8,000 prefixes, within four deviations."""
    pool = idle(1, 2, 5)
    won = Counter(rank(pool, str(n))[0].name for n in range(8_000))
    for member in pool:
        share = member.weight / 8
        assert abs(won[member.name] - 8_000 * share) < 4 * math.sqrt(8_000 * share * (1 - share))


def test_one_prefix_fills_the_whole_pool() -> None:
    """Calls that all begin alike go over to the next endpoint, so that nobody stands idle beside a full one."""
    flying: Counter[str] = Counter()
    for _ in range(80):
        pool = [m.model_copy(update={"in_flight": flying[m.name]}) for m in idle(1, 1, 2)]
        found = choose(pool, model=MODEL, key="the same")
        assert found is not None
        flying[found.name] += 1
    assert flying["e2"] <= math.ceil(BOUND * 40) and min(flying.values()) >= 5


def test_the_key_is_of_the_opening_and_the_model() -> None:
    """What follows the opening turn changes nothing; the opening and the model do."""

    def key(*texts: str, model: str = "") -> str:
        return prefix_key(
            ChatRequest(messages=tuple(Message(role="user", content=t) for t in texts), model=model)
        )

    assert key("you are", "a") == key("you are", "b")
    assert len({key("you are"), key("you were"), key("you are", model="x")}) == 3


def test_loads_add_up() -> None:
    """Requests are summed, the fullest cache counts, and silence is not a zero."""
    loads = [Load(running=3, waiting=1, cache_use=0.2), Load(running=2, cache_use=0.9), Load()]
    assert add_loads(loads) == Load(running=5, waiting=1, cache_use=0.9)
    assert add_loads([Load(), Load()]) == Load()
