"""An operator's orders fold to one standing, whoever reads them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.errors import TransitionError
from pantheon.core.orders import Order, Standing, Verb, changes, check_order, fold_orders

AT = datetime(2026, 1, 1, tzinfo=UTC)
TASKS = ("b/one", "b/two", "o/one")


def order(verb: Verb, *, batch: str = "", task: str = "", reason: str = "why") -> Order:
    return Order(seq=1, at=AT, verb=verb, night="n", batch=batch, task=task, reason=reason, by="ann")


SUBJECTS = st.sampled_from(
    [{}, {"batch": "b"}, {"batch": "o"}, {"task": "b/one"}, {"task": "b/two"}, {"task": "o/one"}]
)
ANY = st.builds(
    lambda verb, subject, reason: order(verb, **subject, reason=reason),
    st.sampled_from(Verb),
    SUBJECTS,
    st.sampled_from(["one", "two"]),
)
ORDERS = st.lists(ANY, max_size=12)


@given(ORDERS, ANY)
def test_an_order_twice_is_an_order_once(given_before: list[Order], one: Order) -> None:
    """After an order the same order changes nothing, whatever came before."""
    standing = fold_orders([*given_before, one])
    assert not changes(standing, one)
    assert fold_orders([one], standing) == standing


@given(ORDERS, st.integers(min_value=0, max_value=12))
def test_a_fold_may_be_interrupted(orders: list[Order], cut: int) -> None:
    """Reading on from where one stood gives what reading all gives."""
    assert fold_orders(orders[cut:], fold_orders(orders[:cut])) == fold_orders(orders)


@given(ORDERS)
def test_resuming_takes_back_pause_and_drain_only(orders: list[Order]) -> None:
    """Whatever else was ordered stands as it stood."""
    before = fold_orders(orders)
    after = fold_orders([order(Verb.RESUME)], before)
    assert (after.paused, after.draining) == (False, False)
    assert after == before.model_copy(update={"paused": False, "draining": False})


@given(ORDERS, SUBJECTS)
def test_a_cancel_reaches_all_of_its_subject(orders: list[Order], subject: dict[str, str]) -> None:
    """What was requeued before is cancelled again; the first reason stays."""
    standing = fold_orders([*orders, order(Verb.CANCEL, **subject)])
    for task in TASKS:
        if task.startswith(subject.get("task", subject.get("batch", ""))):
            assert standing.cancel_cause(task)
    assert standing.cancels_any


@given(ORDERS, st.sampled_from(TASKS))
def test_a_requeue_takes_back_the_cancel_of_one_task(orders: list[Order], task: str) -> None:
    """The task is free of its own, its batch's and the night's cancel; the others are as they were."""
    before = fold_orders(orders)
    after = fold_orders([order(Verb.REQUEUE, task=task)], before)
    assert after.cancel_cause(task) == ""
    for other in set(TASKS) - {task}:
        assert after.cancel_cause(other) == before.cancel_cause(other)
    assert [after.hold_cause(one) for one in TASKS] == [before.hold_cause(one) for one in TASKS]


@given(ORDERS)
def test_a_release_takes_back_exactly_its_hold(orders: list[Order]) -> None:
    """A task of a held batch stays held when only the task is released."""
    standing = fold_orders([*orders, order(Verb.HOLD, batch="b"), order(Verb.RELEASE, task="b/one")])
    assert standing.hold_cause("b/one").startswith("held by the operator: ")
    free = fold_orders([order(Verb.RELEASE, batch="b")], standing)
    assert free.hold_cause("b/one") == ""
    assert standing.holds_any


def test_an_order_says_what_it_is_about() -> None:
    """Too little and too much are refused; an empty standing orders nothing."""
    check_order(order(Verb.CANCEL))
    check_order(order(Verb.HOLD, batch="b"))
    for wrong in (
        order(Verb.REQUEUE, task="b/one"),
        order(Verb.HOLD, batch="b", task="b/one"),
        order(Verb.HOLD),
        order(Verb.DRAIN, task="b/one"),
        order(Verb.CANCEL).model_copy(update={"night": ""}),
    ):
        with pytest.raises(TransitionError):
            check_order(wrong)
    assert not Standing().cancels_any
    assert not Standing().holds_any
