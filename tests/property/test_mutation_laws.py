"""Laws of known-bad changes."""

from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.mutations import FileChange, KnownChange, MutationKind, mutate
from pantheon.core.notes.frontmatter import set_fields

_words = st.sampled_from(
    "vacuum table jobs export without before 12 3 index [link](a.md) is on == assert x == 1\n if a:\n # head\n".split(
        " "
    )
)
_text = st.lists(_words, max_size=25).map(" ".join)


@st.composite
def changes(draw: st.DrawFn, name: str = "") -> KnownChange:
    """Draw a change of a note, with or without metadata, or of a program."""
    name = name or draw(st.sampled_from(["a", "b", "c", "d"]))
    body = draw(_text)
    if draw(st.booleans()):
        return KnownChange(name=name, files=(FileChange(path=f"{name}.py", before=draw(_text), after=body),))
    after = body
    if draw(st.booleans()):
        fields: dict[str, str | list[str]] = {
            "title": draw(_text) or "Title",
            "description": draw(_text) or "Text.",
            "tags": ["x", "y"],
        }
        after = set_fields(body.encode(), fields).decode()
    new_path = draw(st.sampled_from([None, f"{name}-new.md"]))
    return KnownChange(
        name=name, files=(FileChange(path=f"{name}.md", before=body, after=after, new_path=new_path),)
    )


@given(st.sampled_from(MutationKind), changes("good"), st.lists(changes(), max_size=4), st.integers(0, 10**6))
def test_a_mutation_is_repeatable_and_never_the_good_change(
    kind: MutationKind, good: KnownChange, others: list[KnownChange], seed: int
) -> None:
    """Same arguments, same change; what comes out differs from the good change in what it does."""
    bad = mutate(kind, good, others, seed)
    assert bad == mutate(kind, good, others, seed)
    if bad is None:
        return
    assert bad.files != good.files
    assert bad.name != good.name
    assert bad.target.path == good.target.path
    assert bad.target.before == good.target.before


@given(changes("good"), st.lists(changes(), max_size=4), st.integers(0, 10**6))
def test_whether_the_target_is_among_the_others_does_not_matter(
    good: KnownChange, others: list[KnownChange], seed: int
) -> None:
    """Nothing is swapped with itself."""
    for kind in MutationKind:
        assert mutate(kind, good, [good, *others], seed) == mutate(kind, good, others, seed)
