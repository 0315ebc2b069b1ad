"""When a server counts as hung: slow ones never do, silent ones do in bounded time."""

from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.server_watch import Look, Patience, Watched

PATIENCE = Patience(look_s=5, silent_s=60, stuck_s=90, slow_s=600, ask_s=60, gap_s=30)


def watch(looks: list[Look]) -> Watched:
    """Return what a sequence of looks comes to."""
    seen = Watched.begin(looks[0])
    for look in looks[1:]:
        seen = seen.advance(look, PATIENCE)
    return seen


def first_verdict(looks: list[Look]) -> float | None:
    """Return when a server was first taken for hung."""
    seen = Watched.begin(looks[0])
    for look in looks[1:]:
        seen = seen.advance(look, PATIENCE)
        if seen.verdict(PATIENCE):
            return look.at
    return None


def every(seconds: int, **fields: object) -> list[Look]:
    """Return looks at the times that patience has, all alike."""
    return [Look(at=float(at), **fields) for at in range(0, seconds, 5)]  # type: ignore[arg-type]


@given(st.lists(st.booleans(), min_size=100, max_size=300))
def test_a_full_server_that_works_is_left_alone(health: list[bool]) -> None:
    """Whatever its health page does under load: sixteen long answers that grow are work."""
    looks = [
        Look(at=5.0 * n, healthy=well, asked=True, work=float(n), computed_s=0.0)
        for n, well in enumerate(health)
    ]
    assert first_verdict(looks) is None


def test_a_prompt_of_minutes_is_slow_and_not_hung() -> None:
    """Nothing is counted until a prompt is through: that a processor computes it is what tells."""
    slow = [
        Look(at=float(at), healthy=True, asked=True, work=7.0, computed_s=at * 1.9) for at in range(0, 600, 5)
    ]
    assert first_verdict(slow) is None
    stopped = every(600, healthy=True, asked=True, work=7.0, computed_s=3.0)
    assert first_verdict(stopped) == 95


def test_what_computes_and_never_comes_to_anything_is_ended_too() -> None:
    """A loop without an end uses a processor as well; it has longer, and not for ever."""
    looping = [
        Look(at=float(at), healthy=True, asked=True, work=7.0, computed_s=float(at))
        for at in range(0, 900, 5)
    ]
    assert first_verdict(looping) == 605


def test_a_silent_one_is_hung_in_bounded_time() -> None:
    """Stopped whole, it answers nothing at all."""
    looks = [Look(at=0, healthy=True, asked=False), *every(300, healthy=False, asked=False)[1:]]
    assert first_verdict(looks) == 65


def test_a_silent_one_that_computes_has_longer() -> None:
    """An engine that computes a step of a minute in the process that serves lets no look in; not for ever, though."""
    busy = [
        Look(at=float(at), healthy=False, asked=True, work=None, computed_s=at * 1.9)
        for at in range(0, 900, 5)
    ]
    assert first_verdict(busy) == 605
    stopped = [*busy[:20], *(one.model_copy(update={"computed_s": 200.0}) for one in busy[20:])]
    assert first_verdict(stopped) == 165


def test_an_idle_one_is_asked_and_nothing_else() -> None:
    """Idleness is no silence: one token is asked for, again and again, and an answer is a sign of life."""
    idle = every(3_000, healthy=True, asked=False, work=7.0, computed_s=1.0)
    assert first_verdict(idle) is None
    assert watch(idle[:12]).wants_question(PATIENCE) is False
    assert watch(idle[:13]).wants_question(PATIENCE) is True
    answered = idle[12].model_copy(update={"answers": 1})
    assert watch([*idle[:12], answered]).wants_question(PATIENCE) is False
    asked = [look.model_copy(update={"asked": True}) for look in idle[13:]]
    assert first_verdict([*idle[:13], *asked]) == 60 + 95


def test_without_counters_only_the_question_and_the_processor_speak() -> None:
    """A server that tells nothing is not hung for that; a page that is missing once is no work done."""
    assert first_verdict(every(3_000, healthy=True, asked=False)) is None
    flickering = [
        Look(at=float(at), healthy=True, asked=True, work=7.0 if at % 10 else None, computed_s=0.0)
        for at in range(0, 300, 5)
    ]
    assert first_verdict(flickering) == 95


@given(st.floats(min_value=31, max_value=1e6))
def test_a_time_in_which_nobody_looked_proves_nothing(gap_s: float) -> None:
    """A supervisor that was itself stopped begins anew."""
    before = Look(at=0, healthy=False, asked=True, work=7.0, computed_s=1.0)
    after = Look(at=gap_s, healthy=False, asked=True, work=7.0, computed_s=1.0)
    assert watch([before, after]).verdict(PATIENCE) == ""
