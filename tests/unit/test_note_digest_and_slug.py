"""What a model gets to read of a note, and the file names that titles make."""

import pytest

from pantheon.core.notes.check import check_file_name
from pantheon.core.notes.digest import CUT, digest_note
from pantheon.core.notes.slug import is_descriptive, is_kebab, slugify

NOTE = """---
title: Not for the model
---
Hell yes 🔥

---

## 🧠 Idea:   the\tring

```rust
{code}
```

| a | b |
|---|---|
{rows}

# Last *words*
""".format(code="\n".join(f"line {n};" for n in range(30)), rows="\n".join(f"| {n} | x |" for n in range(9)))


def test_a_digest_keeps_what_carries_the_subject() -> None:
    """No front matter, emoji, rules or blank lines; the fence's language and the first lines of code and table."""
    assert digest_note(NOTE.encode()).split("\n") == [
        "Hell yes",
        "## Idea: the ring",
        "```rust",
        *(f"line {n};" for n in range(8)),
        CUT,
        "```",
        "| a | b |",
        "| 0 | x |",
        "| 1 | x |",
        "| 2 | x |",
        CUT,
        "# Last *words*",
    ]


def test_a_long_note_keeps_its_beginning_and_all_further_headings() -> None:
    """The cut shows, and comments in code are no headings."""
    text = "one two three\n" * 20 + "```sh\n# a comment\n```\n" + "## Later\nx\n### Last\n"
    assert digest_note(text.encode(), max_chars=30).split("\n") == [
        "one two three", "one two three", CUT, "## Later", "### Last"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xfe", b"x" * 100_000, b"# h\n" * 50_000, b"```\n" * 1_000, b"|\n" * 9_999]
)
def test_a_digest_is_bounded_and_the_same_each_time(data: bytes) -> None:
    """Whatever the note holds."""
    first = digest_note(data, max_chars=500)
    assert len(first) <= 500 + 3 + 20 * 101
    assert digest_note(data, max_chars=500) == first


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("Hello, World!", "hello-world"),
        ("Über die Straße", "uber-die-strasse"),
        ("C++ and C# Interop", "c-plus-plus-and-c-sharp-interop"),
        ("# Heading #2", "heading-2"),
        ("Don't Panic: naïve café", "dont-panic-naive-cafe"),
        ("Łódź — Smørrebrød", "lodz-smorrebrod"),
        ("../../etc/passwd", "etc-passwd"),
        ("-rf --force", "rf-force"),
        ("x\n\x00y", "x-y"),
        ("A " + "long " * 30, "a" + "-long" * 15),
        ("Nine " * 15 + "of the End", "nine" + "-nine" * 14),
    ],
)  # fmt: skip
def test_a_title_makes_a_kebab_case_name(title: str, slug: str) -> None:
    """ASCII, lower case, cut between words."""
    assert slugify(title) == slug


@pytest.mark.parametrize("title", ["", " ", "日本語", "🔥", "...", "README", "Index", "con", "LPT1"])
def test_a_title_that_makes_no_name_is_an_error(title: str) -> None:
    """Never an empty, reserved or conventional name."""
    with pytest.raises(ValueError):
        slugify(title)


@pytest.mark.parametrize(
    ("name", "telling"),
    [
        ("retry-policy.md", True),
        ("2026-01-02-retry-policy.md", True),
        ("Retry Policy.md", True),
        ("README.md", True),
        ("index.md", True),
        ("2025.07.28.11.07.04.md", False),
        ("2025-07-28-note.md", False),
        ("untitled.md", False),
        ("note-3.md", False),
        ("new-note-copy-2.md", False),
        ("IMG_2031.md", False),
        (".md", False),
        ("", False),
    ],
)
def test_a_telling_name_has_words(name: str, telling: bool) -> None:
    """Dates, numbers and words for nothing tell nothing; conventional names are kept."""
    assert is_descriptive(name) is telling


@pytest.mark.parametrize(
    ("path", "passed"),
    [
        ("docs/retry-policy.md", True),
        ("README.md", True),
        ("docs/Retry-Policy.md", False),
        ("docs/retry policy.md", False),
        ("docs/2026.01.02.md", False),
    ],
)
def test_the_gate_wants_telling_kebab_case_names(path: str, passed: bool) -> None:
    """A conventional name passes as it is."""
    assert check_file_name(path).passed is passed


@pytest.mark.parametrize(
    "name", ["A-b.md", "a_b.md", "a b.md", "-a.md", "a-.md", "a--b.md", "a.b.md", "a", "a.md\n"]
)
def test_kebab_case_is_exact(name: str) -> None:
    """One extension, lower case, single hyphens between words."""
    assert not is_kebab(name)
