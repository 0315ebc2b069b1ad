"""A night has one model: a resumed night that is answered by another one is refused unless somebody says why."""

import pytest

from pantheon.core.contained import CONTAINED_EVENT, ModelInForce
from pantheon.core.errors import PreflightError
from pantheon.core.records import NightRecord
from pantheon.engine.custody import refuse_other_model
from pantheon.engine.ledger_opening import record_containment
from pantheon.testing.clock import FakeClock
from pantheon.testing.contained_night import contained
from pantheon.testing.signing import inline_ledger
from pantheon.testing.store import FakeStore

MODEL = ModelInForce(name="coder", digest="1" * 64)


async def worked_by(store: FakeStore, model: ModelInForce) -> None:
    """Have a process of the night note its model, as a night does."""
    record = NightRecord(id="n1", base_commit="c" * 40, branch="b", started_at=store.clock.now())
    ledger = inline_ledger(record.id, record.base_commit)
    ledger.state = lambda *claim: ledger.enter(*claim)  # type: ignore[method-assign,assignment]
    await record_containment(ledger, store, record, contained().model_copy(update={"model": model}))


async def test_control_a_new_night_and_the_same_model() -> None:
    """A night that is new has noted nothing, and the same model goes on."""
    store = FakeStore(FakeClock())
    assert await refuse_other_model(store, "n1", MODEL, accepted_because="") == ()
    await worked_by(store, MODEL)
    assert await refuse_other_model(store, "n1", MODEL, accepted_because="") == ()
    assert await refuse_other_model(store, "n2", MODEL, accepted_because="") == ()


@pytest.mark.parametrize("other", [{"name": "other"}, {"digest": "2" * 64}])
async def test_another_model_does_not_go_on_in_silence(other: dict[str, str]) -> None:
    """The same name over other weights is another model; with a reason it goes on and is told."""
    store = FakeStore(FakeClock())
    await worked_by(store, MODEL)
    now = MODEL.model_copy(update=other)
    with pytest.raises(PreflightError, match="a night has one model") as refused:
        await refuse_other_model(store, "n1", now, accepted_because="")
    assert refused.value.exit_code == 3
    (told,) = await refuse_other_model(store, "n1", now, accepted_because="the old one is gone")
    assert now.name in told
    await worked_by(store, now)
    assert await refuse_other_model(store, "n1", now, accepted_because="") == ()


async def test_a_note_that_cannot_be_read_is_another_model() -> None:
    """Less that is known refuses more."""
    store = FakeStore(FakeClock())
    await store.add_event("n1", "n1", CONTAINED_EVENT, {"record": 1})
    with pytest.raises(PreflightError):
        await refuse_other_model(store, "n1", MODEL, accepted_because="")
