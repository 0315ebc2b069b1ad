"""The breaker as a state machine: whatever happens in whatever order."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pantheon.core.breaker import CEILING_S, FIRST_WAIT_S, LONGEST_ASKED_S, Breaker, BreakerState

STEPS = {
    BreakerState.CLOSED: {BreakerState.CLOSED, BreakerState.OPEN},
    BreakerState.OPEN: {BreakerState.OPEN, BreakerState.HALF_OPEN},
    BreakerState.HALF_OPEN: {BreakerState.HALF_OPEN, BreakerState.OPEN, BreakerState.CLOSED},
}
ASKED = st.one_of(st.just(0.0), st.floats(-10, 10_000))


class BreakerMachine(RuleBasedStateMachine):
    """Drives one breaker through a random outage."""

    @initialize()
    def begin(self) -> None:
        self.now = 100.0
        self.breaker = Breaker()

    def follow(self, breaker: Breaker) -> None:
        assert breaker.state in STEPS[self.breaker.state]
        self.breaker = breaker

    @rule(passed=st.floats(0, 700))
    def time_passes(self, passed: float) -> None:
        self.now += passed

    @rule()
    def call_works(self) -> None:
        closed = self.breaker.closed
        self.follow(self.breaker.worked())
        assert self.breaker.closed == closed

    @rule(asked=ASKED)
    def call_breaks(self, asked: float) -> None:
        """A breakdown never lets calls through, and the server's wish holds."""
        self.follow(self.breaker.broke("lost", now_s=self.now, retry_after_s=asked))
        assert not self.breaker.closed
        if self.breaker.state is BreakerState.OPEN:
            assert self.breaker.wait_s(self.now) >= min(max(asked, 0), LONGEST_ASKED_S) - 1e-6

    @rule()
    def probe_begins(self) -> None:
        """A probe begins when its time has come, and never before."""
        due = self.breaker.state is BreakerState.OPEN and self.breaker.wait_s(self.now) == 0
        before = self.breaker
        self.follow(self.breaker.begin_probe(self.now))
        assert (self.breaker != before) == due

    @precondition(lambda self: self.breaker.state is BreakerState.HALF_OPEN)
    @rule(asked=ASKED)
    def probe_breaks(self, asked: float) -> None:
        """A probe in vain makes the next wait no shorter."""
        in_vain = self.breaker.in_vain
        self.follow(self.breaker.end_probe("still lost", now_s=self.now, retry_after_s=asked))
        assert self.breaker.state is BreakerState.OPEN
        assert self.breaker.in_vain == in_vain + 1

    @precondition(lambda self: self.breaker.state is BreakerState.HALF_OPEN)
    @rule()
    def probe_works(self) -> None:
        """A probe that works lets calls through, but does not forget what was in vain."""
        in_vain = self.breaker.in_vain
        self.follow(self.breaker.end_probe("", now_s=self.now))
        assert self.breaker.closed
        assert self.breaker.in_vain == in_vain

    @invariant()
    def waits_are_bounded(self) -> None:
        if hasattr(self, "breaker"):
            assert self.breaker.wait_s(self.now) <= max(CEILING_S, LONGEST_ASKED_S) + 1e-6
            assert bool(self.breaker.why) == (not self.breaker.closed)


TestBreakerMachine = BreakerMachine.TestCase


@given(st.integers(1, 40))
def test_waits_double_up_to_the_ceiling_and_a_call_that_works_resets_them(rounds: int) -> None:
    """A server that answers probes and breaks at work is asked less and less often, until it works."""
    now, breaker, waits = 0.0, Breaker(), []
    for _ in range(rounds):
        breaker = breaker.broke("lost", now_s=now)
        waits.append(breaker.wait_s(now))
        now += waits[-1]
        breaker = breaker.begin_probe(now).end_probe("", now_s=now)
    assert waits == [min(FIRST_WAIT_S * 2.0**n, CEILING_S) for n in range(rounds)]
    assert breaker.worked().broke("lost", now_s=now).wait_s(now) == FIRST_WAIT_S


def test_an_outage_is_as_old_as_its_first_breakdown() -> None:
    """Further losses and probes in vain do not make it younger."""
    breaker = Breaker().broke("lost", now_s=5.0).broke("lost too", now_s=6.0)
    breaker = breaker.begin_probe(7.0).end_probe("refused", now_s=8.0)
    assert breaker.since_s == 5.0
    assert breaker.why == "refused"
