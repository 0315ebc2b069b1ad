"""Decoys: wrong for certain, the hardest first, the same every time."""

from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.decoys import MAX_GROUNDED, Metadata, choose_decoys, content_words, grounded_share

WORDS = (
    "queue retry cache index tenant ledger backup router kernel parser socket cursor vector region "
    "digest branch schema worker signal folder"
).split()
phrases = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)


@given(phrases, phrases, st.lists(phrases, max_size=12), st.integers(0, 8))
def test_decoys_are_never_grounded_in_the_target(
    proposal: str, target: str, candidates: list[str], count: int
) -> None:
    """Nothing that the target's own words could make right is ever used as a wrong alternative."""
    words = content_words(target)
    chosen = choose_decoys(proposal, target, candidates, count=count, salt="s")
    assert len(chosen) <= count
    assert len(set(chosen)) == len(chosen)
    for decoy in chosen:
        assert decoy in candidates
        assert decoy != proposal
        assert grounded_share(decoy, words) <= MAX_GROUNDED


@given(phrases, phrases, st.lists(phrases, max_size=8), st.randoms(use_true_random=False))
def test_the_same_every_time(proposal: str, target: str, candidates: list[str], random: object) -> None:
    """The order in which candidates are found changes nothing."""
    shuffled = list(candidates)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert choose_decoys(proposal, target, candidates, count=3, salt="s") == choose_decoys(
        proposal, target, shuffled, count=3, salt="s"
    )


def test_the_hardest_are_those_nearest_to_the_target() -> None:
    """However far a wrong proposal is from the target, what it is held against is near it."""
    about = {
        "Retry tuning": "Retry tuning for orders that wait and are tried again",
        "Queue of sockets": "Queue of sockets, and what waits in it again",
        "Router kernel notes": "Router kernel notes",
        "Bread recipes": "Bread recipes",
    }
    target = "orders wait and are tried again"
    for proposal in ("Retry queue for orders", "Greenhouse sensors"):
        for salt in ("a", "b"):
            chosen = choose_decoys(proposal, target, about, count=1, salt=salt, about=about)
            assert chosen[0] in ("Retry tuning", "Queue of sockets")


def test_reviewers_do_not_all_get_the_same_decoys() -> None:
    """Who has another salt is asked about others of the hardest."""
    known = [f"Subject number {word}" for word in ("one", "two", "three", "four")]
    drawn = {choose_decoys("Proposal", "orders wait", known, count=2, salt=str(salt)) for salt in range(20)}
    assert len(drawn) > 1


def test_texts_without_content_are_no_decoys() -> None:
    """A text that says nothing could fit anything."""
    assert choose_decoys("Retry queue", "orders", ["", "the and of", "12 34", "--"], count=3, salt="s") == ()
    assert grounded_share("", frozenset()) == 1


def test_case_and_plural_do_not_hide_a_likeness() -> None:
    """What the target has in another case or number counts as grounded."""
    words = content_words("Queues and CACHES")
    assert grounded_share("queue cache", words) == 1
    assert choose_decoys("x", "Queues and CACHES", ["queue cache"], count=1, salt="s") == ()


def test_metadata_as_text() -> None:
    """Tags read as one line, other fields as they are."""
    item = Metadata(title="T", description="D", tags=("a", "b"))
    assert [item.text(field) for field in ("title", "description", "tags")] == ["T", "D", "a, b"]
