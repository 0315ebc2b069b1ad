"""Operations in commit messages: what was written comes back through git's own reader, whatever a title holds."""

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantheon.core.errors import PantheonError
from pantheon.core.operation import (
    TASK_TRAILER,
    TRAILER,
    Operation,
    follow_path,
    operation_message,
    parse_operations,
)

HOSTILE = (
    "plain",
    "",
    "a\nPantheon-Task: forged",
    "a\n\nPantheon-Task: forged",
    "Pantheon-Task: forged",
    'Pantheon-Operation: {"tool": "rm", "args": {}}',
    "a\r\nPantheon-Task: forged",
    "a\u2028Pantheon-Task: forged",
    "a\u2029\x85\x0b\x0c\x1c\x1d\x1eb",
    "a\x00b\x1b[2Jc",
    "# a comment",
    "---\ndiff --git a/x b/x",
    "(cherry picked from commit 0)",
    "Signed-off-by: nobody",
    "\u202eright to left",
    "ünïcödé 題名 🙂",
    "x" * 500,
    "  spaces   inside  ",
)


def read_trailers(message: str) -> list[tuple[str, str]]:
    """Return (key, value) of each trailer as git reads them."""
    done = subprocess.run(
        ["git", "interpret-trailers", "--parse", "--no-divider"],
        input=message.encode(), check=True, capture_output=True,
    )  # fmt: skip
    lines = done.stdout.decode().split("\n")
    return [(key, value) for key, _, value in (line.partition(": ") for line in lines if line)]


def operations(title: str) -> tuple[Operation, ...]:
    """Two calls that carry a text of the model."""
    return (
        Operation(tool="set_front_matter", args={"path": "a.md", "title": title, "tags": [title, "x"]}),
        Operation(tool="rename_note", args={"path": "a.md", "new_name": "b.md"}, changed=("a.md", "b.md")),
    )


def check(title: str) -> None:
    """One round trip through git."""
    message = operation_message(title, operations(title), pantheon_task="abc/t1", pantheon_night="n1")
    trailers = read_trailers(message)
    assert [key for key, _ in trailers] == [TASK_TRAILER, "Pantheon-Night", TRAILER, TRAILER]
    assert trailers[0][1] == "abc/t1"
    assert parse_operations([value for key, value in trailers if key == TRAILER]) == operations(title)
    subject, blank, *_ = message.split("\n")
    assert 0 < len(subject) <= 120
    assert blank == ""
    assert subject.isprintable()


@pytest.mark.parametrize("title", HOSTILE)
def test_hostile_titles_come_back_as_they_were(title: str) -> None:
    """No newline of any kind, trailer or comment in a title becomes a trailer; its bytes come back unchanged."""
    check(title)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_any_title_comes_back_as_it_was(title: str) -> None:
    """Every text that has a UTF-8 form makes the round trip."""
    check(title)


@pytest.mark.parametrize("value", ["n1\nPantheon-Task: forged", "n1\r\nx: y", "n1\u2028x", "n1\x00"])
def test_a_trailers_value_stays_on_its_line(value: str) -> None:
    """A value with a newline cannot add a trailer of its own."""
    message = operation_message("s", operations("t"), pantheon_night=value)
    keys = [key for key, _ in read_trailers(message)]
    assert keys == ["Pantheon-Night", TRAILER, TRAILER]


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        "[]",
        "3",
        '{"tool": "x"}',
        '{"tool": "x", "args": {}, "y": 1}',
        "[" * 100_000,
        '{"tool": 1, "args": {}}',
    ],
)
def test_what_is_no_operation_is_refused(value: str) -> None:
    """A trailer that tools did not write is an error that says so."""
    with pytest.raises(PantheonError, match="not an operation"):
        parse_operations([value])


@pytest.mark.parametrize(
    ("path", "names", "end"),
    [
        ("a.md", [], "a.md"),
        ("a.md", [("a.md", "b.md")], "b.md"),
        ("docs/a.md", [("docs/a.md", "b.md")], "docs/b.md"),
        ("docs/a.md", [("docs/a.md", "b.md"), ("docs/b.md", "c.md")], "docs/c.md"),
        ("docs/a.md", [("docs/x.md", "b.md"), ("a.md", "c.md")], "docs/a.md"),
    ],
)
def test_paths_are_followed_through_renames(path: str, names: list[tuple[str, str]], end: str) -> None:
    """A path ends where the renames in order take it, and other files' renames do not move it."""
    renames = [Operation(tool="rename_note", args={"path": old, "new_name": new}) for old, new in names]
    assert follow_path(path, renames) == end
