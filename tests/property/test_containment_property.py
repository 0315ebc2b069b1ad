"""Containment is decided from what was seen, and only a whole and clean picture proves it."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.canonical import canonical_bytes
from pantheon.core.containment import (
    MENDS,
    NO_ROUTE,
    OWN,
    REFUSED,
    ROUTED,
    Containment,
    Observations,
    Probe,
    decide_containment,
    state_containment,
)
from pantheon.core.statement import make_statement

WORDS = st.text("abcXYZ0123 .:-/\u202e", max_size=12)
OUTCOMES = st.sampled_from(sorted(REFUSED | {ROUTED, OWN, "ECONNREFUSED", "ETIMEDOUT", ""}))
PROBES = st.lists(st.builds(Probe, target=WORDS, outcome=OUTCOMES), max_size=4).map(tuple)
NAMES = st.none() | st.lists(WORDS, max_size=3).map(tuple)
NUMBERS = st.none() | st.integers(0, 9)
FLAGS = st.none() | st.booleans()


def seen(mode: Containment = Containment.NETNS, **changes: Any) -> Observations:
    """Return what a process sees that is contained, with changes."""
    none = (Probe(target="udp 192.0.2.1:53", outcome="ENETUNREACH"),)
    clean: dict[str, Any] = {
        "mode": mode, "kernel": "6", "uid": 1000, "namespace": 2, "outside_namespace": 1, "interfaces": ("lo",),
        "routes": (), "outside": none, "families": (Probe(target="socket AF_VSOCK", outcome="EAFNOSUPPORT"),),
        "inherited": (), "resolvers": (), "no_new_privileges": True, "dumpable": False,
    }  # fmt: skip
    if mode is Containment.FIREWALL:
        clean |= {
            "filtered": (Probe(target="udp 192.0.2.1 on lo", outcome="EPERM"),),
            "allowed": (Probe(target="udp 10.0.0.5:53", outcome=ROUTED),),
        }
    return Observations(**(clean | changes))


ANY = st.builds(
    Observations,
    mode=st.sampled_from(Containment),
    kernel=WORDS,
    uid=st.integers(0, 3),
    **dict.fromkeys(("namespace", "outside_namespace"), NUMBERS),
    **dict.fromkeys(("outside", "allowed", "filtered", "families"), PROBES),
    **dict.fromkeys(("interfaces", "routes", "inherited", "resolvers"), NAMES),
    **dict.fromkeys(("no_new_privileges", "dumpable"), FLAGS),
)


def test_a_clean_picture_proves_each_mode() -> None:
    """The control of all tests below: without a change it is proven."""
    assert decide_containment(seen()).proven
    assert decide_containment(seen(Containment.FIREWALL)).proven


@given(ANY)
def test_whatever_is_proven_shows_no_way_out(found: Observations) -> None:
    """Proven means: each thing was seen, and none of them leads out."""
    if not decide_containment(found).proven:
        return
    assert found.outside
    assert found.families
    assert all(probe.outcome in REFUSED | {OWN} for probe in found.outside)
    assert all(probe.outcome != ROUTED for probe in found.families)
    assert found.inherited == ()
    assert found.resolvers == ()
    assert found.no_new_privileges is True
    assert found.dumpable is False
    if found.mode is Containment.NETNS:
        assert found.namespace is not None
        assert found.namespace != found.outside_namespace
        assert set(found.interfaces or ()) == {"lo"}
        assert found.routes == ()
        assert all(probe.outcome in NO_ROUTE for probe in found.outside)
    else:
        assert found.uid != 0
        assert found.interfaces
        assert found.filtered
        assert all(probe.outcome in REFUSED for probe in found.filtered)


@given(st.sampled_from(Containment), st.sampled_from(sorted(Observations.model_fields)))
def test_what_could_not_be_read_proves_nothing(mode: Containment, field: str) -> None:
    """Each thing that a mode rests on turns the answer when it is unknown."""
    unneeded = {"mode", "kernel", "uid", "outside_namespace"}
    if mode is Containment.NETNS:
        unneeded |= {"allowed", "filtered"}
    else:
        unneeded |= {"namespace", "routes"}
    if field in unneeded:
        return
    empty: Any = () if field in ("outside", "allowed", "filtered", "families") else None
    assert not decide_containment(seen(mode, **{field: empty})).proven


@given(ANY, WORDS, st.sampled_from(["interfaces", "routes", "inherited", "resolvers"]))
def test_more_that_leads_out_is_never_better(found: Observations, word: str, field: str) -> None:
    """Adding a way out never proves what was not proven."""
    before = decide_containment(found).proven
    more = found.model_copy(update={field: (*(getattr(found, field) or ()), f"x{word}")})
    routed = found.model_copy(update={"outside": (*found.outside, Probe(target=word, outcome=ROUTED))})
    assert decide_containment(more).proven <= before
    assert not decide_containment(routed).proven


@given(ANY)
def test_every_statement_can_be_signed_and_every_reason_mended(found: Observations) -> None:
    """The predicate has a canonical form, and each reason says what to do."""
    statement = state_containment(found, at="2026-01-01T22:00:00Z")
    assert make_statement({"x": "0" * 64}, "urn:x", statement.as_predicate())
    assert canonical_bytes(statement.as_predicate()) == canonical_bytes(
        type(statement).model_validate(statement.as_predicate()).as_predicate()
    )
    assert statement.proven == (not statement.reasons)
    for reason in decide_containment(found).reasons:
        assert reason.mend
        assert reason.code in MENDS


def test_root_is_not_held_by_rules_for_a_user() -> None:
    """Firewall mode refuses root whatever the probes say."""
    assert [reason.code for reason in decide_containment(seen(Containment.FIREWALL, uid=0)).reasons] == [
        "root"
    ]


def test_a_forged_mark_is_no_proof() -> None:
    """A process that says it came from the namespace it is in has not moved."""
    assert [reason.code for reason in decide_containment(seen(outside_namespace=2)).reasons] == ["namespace"]
