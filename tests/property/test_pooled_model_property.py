"""A pool under any order of breakdowns, repairs, drains and calls."""

import asyncio
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.chat import ChatReply, ChatRequest, Message
from pantheon.core.errors import ModelLostError
from pantheon.engine.endpoint_models import EndpointModels
from pantheon.engine.pooled_model import PooledModel
from pantheon.testing.clock import FakeClock
from pantheon.testing.model import FakeModel, Spoken

NAMES = ("a", "b", "c")
SERVES = {"a": ("",), "b": ("", "big"), "c": ("big", "small")}
STEP = st.tuples(
    st.sampled_from(["break", "mend", "drain", "undrain", "ask", "wait"]),
    st.sampled_from(NAMES),
    st.sampled_from(["", "big", "small"]),
    st.integers(0, 5),
)


class Breakable(FakeModel):
    """A fake that is down or not, and says who it is."""

    down = False

    async def chat(self, request: ChatRequest, *, deadline_s: float) -> ChatReply:
        if self.down:
            raise ModelLostError("down")
        return await super().chat(request, deadline_s=deadline_s)

    async def identity(self, *, deadline_s: float) -> tuple[str, str]:
        if self.down:
            raise ModelLostError("down")
        return self.name, "digest"


async def follow(steps: list[tuple[str, str, str, int]]) -> None:
    clock, drains = FakeClock(), dict[str, str]()
    fakes = {name: Breakable(lambda _: Spoken("yes"), name=name) for name in NAMES}

    async def read() -> Mapping[str, str]:
        return dict(drains)

    endpoints = [(EndpointModels(name, dict.fromkeys(SERVES[name], fakes[name])), 1) for name in NAMES]
    pool = PooledModel(endpoints, clock, read_drains=read)
    async with pool.kept():
        for what, name, model, opening in steps:
            match what:
                case "break" | "mend":
                    fakes[name].down = what == "break"
                case "drain":
                    drains[name] = "why"
                case "undrain":
                    drains.pop(name, None)
                case "wait":
                    await settle()
                case _:
                    # What was ordered is known before the call, and what was mended has been probed.
                    await settle()
                    await check(pool, fakes, drains, model, opening)


async def settle() -> None:
    for _ in range(400):
        await asyncio.sleep(0)


async def check(
    pool: PooledModel, fakes: Mapping[str, Breakable], drains: Mapping[str, str], model: str, opening: int
) -> None:
    well = [n for n in NAMES if model in SERVES[n] and not fakes[n].down and n not in drains]
    request = ChatRequest(messages=(Message(role="system", content=str(opening)),), model=model)
    try:
        reply = await pool.chat(request, deadline_s=1e6)
    except ModelLostError:
        assert well == []
    else:
        assert reply.endpoint in well
    assert all(seat.in_flight == 0 for seat in pool._seats.values())


@given(st.lists(STEP, max_size=25))
def test_who_is_well_is_asked_and_nobody_else(steps: list[tuple[str, str, str, int]]) -> None:
    """A call is answered exactly when a well, undrained endpoint serves its model, and by such a one."""
    asyncio.run(follow(steps))
