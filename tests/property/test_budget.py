"""Budgets below the night: a ceiling bars what has not started, whatever the order, and only its own scope."""

from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.budget import NO_USE, Accounts, Ceilings, Scopes, Usage

usages = st.builds(
    Usage,
    steps=st.integers(0, 50),
    output_tokens=st.integers(0, 5_000),
    wall_s=st.integers(0, 500).map(float),
    server_s=st.integers(0, 500).map(float),
)
ceilings = st.builds(
    Ceilings,
    steps=st.none() | st.integers(1, 100),
    output_tokens=st.none() | st.integers(1, 10_000),
    wall_s=st.none() | st.integers(1, 1_000),
    server_s=st.none() | st.integers(1, 1_000),
)
scopes = st.builds(
    Scopes,
    task=st.sampled_from(["t1", "t2", "t3"]),
    package=st.sampled_from(["", "docs", "core"]),
    agent=st.sampled_from(["", "writer", "reviewer"]),
)
charges = st.lists(st.tuples(scopes, usages), max_size=20)
policies = st.tuples(
    st.dictionaries(st.sampled_from(["docs", "core"]), ceilings),
    ceilings,
    st.dictionaries(st.sampled_from(["writer", "reviewer"]), ceilings),
)


def accounts(policy: tuple[dict[str, Ceilings], Ceilings, dict[str, Ceilings]]) -> Accounts:
    package, task, agent = policy
    return Accounts(package=package, task=task, agent=agent)


@given(policies, charges, scopes, st.randoms())
def test_the_order_of_charging_does_not_matter(policy, charged, asked, random) -> None:  # type: ignore[no-untyped-def]
    """Attempts end in any order; a process that resumes charges them in another one."""
    shuffled = list(charged)
    random.shuffle(shuffled)
    one, other = accounts(policy), accounts(policy)
    for who, used in charged:
        one.charge(who, used)
    for who, used in shuffled:
        other.charge(who, used)
    assert one.why_barred(asked) == other.why_barred(asked)


@given(policies, charges, scopes, st.tuples(scopes, usages))
def test_what_is_barred_stays_barred(policy, charged, asked, more) -> None:  # type: ignore[no-untyped-def]
    """Nothing is ever given back."""
    book = accounts(policy)
    for who, used in charged:
        book.charge(who, used)
    before = book.why_barred(asked)
    book.charge(*more)
    assert not before or book.why_barred(asked)


@given(policies, charges, scopes)
def test_only_its_own_use_bars_a_scope(policy, charged, asked) -> None:  # type: ignore[no-untyped-def]
    """It is barred exactly when the use of its package, its task or its agent reaches a ceiling of that scope."""
    book = accounts(policy)
    for who, used in charged:
        book.charge(who, used)
    package, task, agent = policy

    def total(kind: str) -> Usage:
        mine = getattr(asked, kind)
        return sum((used for who, used in charged if mine and getattr(who, kind) == mine), NO_USE)

    expected = [
        (package.get(asked.package), total("package")), (task, total("task")), (agent.get(asked.agent), total("agent"))
    ]  # fmt: skip
    reached = any(ceiling is not None and ceiling.reached(used) for ceiling, used in expected)
    assert bool(book.why_barred(asked)) == reached


def test_the_reason_names_scope_and_ceiling() -> None:
    """A person reads which budget it was, and how much it held."""
    book = Accounts(package={"docs": Ceilings(output_tokens=2_000)}, task=Ceilings(), agent={})
    book.charge(Scopes(task="t", package="docs"), Usage(output_tokens=2_100))
    why = book.why_barred(Scopes(task="other", package="docs"))
    assert why == "the budget of package docs is spent: 2,100 of 2,000 output tokens"
    assert book.why_barred(Scopes(task="t", package="core")) == ""
