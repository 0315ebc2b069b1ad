"""Whatever the graph, the slots, the work and the operator: the scheduler keeps its laws on virtual time."""

from hypothesis import given, settings

from pantheon.testing import scheduling_laws as laws
from pantheon.testing.night_cases import crowds, nights, rivals
from pantheon.testing.simulated_night import Case, simulate


@settings(max_examples=300)
@given(nights())
def test_a_night_keeps_every_law(case: Case) -> None:
    """Needs, slots, attempts, ends, orders, levels, priority, no idling: none is broken, and nothing gets stuck."""
    trace = simulate(case)
    for law in laws.LAWS:
        law(trace)


@settings(max_examples=60)
@given(crowds())
def test_the_most_urgent_node_is_overtaken_a_bounded_number_of_times(case: Case) -> None:
    """A crowd of small nodes whose ends never coincide does not keep a large urgent one from its slots."""
    trace = simulate(case)
    for law in laws.LAWS:
        law(trace)


@settings(max_examples=150)
@given(rivals())
def test_packages_that_wait_get_equal_shares(case: Case) -> None:
    """While a package waits, no other gets more than two nodes' work further ahead of it."""
    laws.fairness(simulate(case))
