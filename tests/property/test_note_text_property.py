"""Laws of slugs, digests and text checks, whatever the text."""

from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.decoys import Metadata
from pantheon.core.notes.digest import digest_note
from pantheon.core.notes.slug import MAX_SLUG, is_kebab, slugify
from pantheon.core.notes.textcheck import check_metadata, normalise_tags, tidy

TEXTS = st.one_of(
    st.text(max_size=120),
    st.lists(st.sampled_from("the retry of C++ # ` `a` ** **b **c** É ß 1 - / .. 🔥".split())).map(" ".join),
)
PROPOSALS = st.builds(Metadata, title=TEXTS, description=TEXTS, tags=st.lists(TEXTS, max_size=10).map(tuple))


@given(TEXTS)
def test_a_slug_is_always_a_good_name(title: str) -> None:
    """Kebab-case, bounded, and the slug of itself; or a ValueError."""
    try:
        slug = slugify(title)
    except ValueError:
        return
    assert is_kebab(f"{slug}.md")
    assert len(slug) <= MAX_SLUG
    assert slugify(slug) == slug


@given(st.binary(max_size=300), st.integers(min_value=1, max_value=100))
def test_a_digest_never_fails_and_is_bounded(data: bytes, limit: int) -> None:
    """At most the limit, the mark and the headings."""
    assert len(digest_note(data, max_chars=limit)) <= limit + 4 + 20 * 101


@given(PROPOSALS, TEXTS)
def test_checks_are_deterministic_and_exact(proposal: Metadata, note: str) -> None:
    """Any text can be judged; reasons are short, on one line, and the same each time."""
    problems = check_metadata(proposal, note, prompt_texts=(note,))
    assert problems == check_metadata(proposal, note, prompt_texts=(note,))
    for problem in problems:
        assert problem.check and "\n" not in problem.reason and len(problem.reason) < 200


@given(PROPOSALS, TEXTS)
def test_tidying_is_idempotent(proposal: Metadata, note: str) -> None:
    """What was put right once stays as it is."""
    once = tidy(proposal, note)
    assert tidy(once, note) == once


@given(st.lists(TEXTS, max_size=6))
def test_normal_tags_are_unique_and_stay(tags: list[str]) -> None:
    """Normalising twice is the same as once."""
    once = normalise_tags(tags)
    assert len(set(once)) == len(once)
    assert normalise_tags(once) == once


@given(PROPOSALS, TEXTS, TEXTS)
def test_more_of_the_prompt_known_never_excuses(proposal: Metadata, note: str, prompt: str) -> None:
    """Problems found without the prompt's texts are found with them too."""
    without = {problem.check for problem in check_metadata(proposal, note)}
    assert without <= {problem.check for problem in check_metadata(proposal, note, prompt_texts=(prompt,))}
