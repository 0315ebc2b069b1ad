"""Front matter: what is one, what an edit keeps, what is refused."""

import pytest

from pantheon.core.errors import ToolError
from pantheon.core.notes.frontmatter import read_fields, set_fields, split_note

FIELDS: dict[str, str | list[str]] = {"title": "New Title", "description": "Says: what", "tags": ["aa", "bb"]}
WRITTEN = b'title: New Title\ndescription: "Says: what"\ntags:\n  - aa\n  - bb\n'


@pytest.mark.parametrize(
    ("data", "block", "body"),
    [
        (b"", None, b""),
        (b"text\n", None, b"text\n"),
        (b"---\na: 1\n---\nbody", b"a: 1\n", b"body"),
        (b"---\na: 1\n...\nbody", b"a: 1\n", b"body"),
        (b"---\r\na: 1\r\n---\r\nbody\r\n", b"a: 1\r\n", b"body\r\n"),
        (b"\xef\xbb\xbf---\na: 1\n---\nbody", b"a: 1\n", b"body"),
        (b"---  \na: 1\n--- \nbody", b"a: 1\n", b"body"),
        (b"---\n---\nbody", b"", b"body"),
        (b"---\n# only a comment\n---\nbody", b"# only a comment\n", b"body"),
        (b"---\na: 1\n---", b"a: 1\n", b""),
        (b"---\na: 1\n", None, b"---\na: 1\n"),
        (
            b"---\n\nSome prose\nwithout a colon\n\n---\n",
            None,
            b"---\n\nSome prose\nwithout a colon\n\n---\n",
        ),
        (b"---\n- a list\n---\n", None, b"---\n- a list\n---\n"),
        (b"---\n# Heading\n\nprose\n---\n", None, b"---\n# Heading\n\nprose\n---\n"),
        (b'---\n"Quoted," he said.\n---\n', None, b'---\n"Quoted," he said.\n---\n'),
        (b"----\na: 1\n----\n", None, b"----\na: 1\n----\n"),
        (b"\n---\na: 1\n---\n", None, b"\n---\na: 1\n---\n"),
        (b" ---\na: 1\n---\n", None, b" ---\na: 1\n---\n"),
        (b"```\n---\na: 1\n---\n```\n", None, b"```\n---\na: 1\n---\n```\n"),
        (b"---\na: 1\n----\n---\nbody", b"a: 1\n----\n", b"body"),
    ],
)
def test_a_block_is_front_matter_only_at_the_very_head(data: bytes, block: bytes | None, body: bytes) -> None:
    """Thematic breaks, prose and code are body; the parts give the note back."""
    parts = split_note(data)
    assert (parts.block if parts.opener else None) == block
    assert parts.body == body
    assert b"".join(parts) == data


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"x\n",
        b"---\n",
        b"---\n\nprose\n\n---\nmore",
        b"```\ncode\n```\n",
        b"\n\n  x",
        b"\xff\xfe\n",
        b"a\rb",
    ],
)
def test_a_note_without_front_matter_gets_a_block_before_its_body(body: bytes) -> None:
    """The body is the tail of the file, byte for byte, whatever it holds."""
    new = set_fields(body, FIELDS)
    assert new == b"---\n" + WRITTEN + b"---\n" + body
    assert split_note(new).body == body


def test_line_ends_and_byte_order_mark_stay() -> None:
    """A note with CRLF gets a block with CRLF; a byte order mark stays first."""
    new = set_fields(b"\xef\xbb\xbfone\r\ntwo\n", {"title": "T x"})
    assert new == b"\xef\xbb\xbf---\r\ntitle: T x\r\n---\r\none\r\ntwo\n"


KEPT = """---
# the head
date:   2026-01-02   # kept
title:  'old'  # and this
aliases: [ x,y ]
x-long: >-
  folded
  text

# before tags
tags:
- old   # lost with its item
- older
# behind tags
empty:
number: 0o17
...
body
"""
CHANGED = """---
# the head
date:   2026-01-02   # kept
title: New Title  # and this
aliases: [ x,y ]
x-long: >-
  folded
  text

# before tags
tags:
  - aa
  - bb
# behind tags
empty:
number: 0o17
description: "Says: what"
...
body
"""


def test_an_edit_touches_the_lines_of_its_keys_alone() -> None:
    """Order, comments, layout, unknown keys and the closer stay as they were."""
    assert set_fields(KEPT.encode(), FIELDS).decode() == CHANGED
    assert set_fields(KEPT.replace("\n", "\r\n").encode(), FIELDS).decode() == CHANGED.replace("\n", "\r\n")


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("title: |\n  # not a comment\n  x\n\nk: 1\n", "title: New Title\n\nk: 1\n"),
        ('title: "a\n  b"\nk: 1\n', "title: New Title\nk: 1\n"),
        ("title:\nk: 1\n", "title: New Title\nk: 1\n"),
        ("title: x", "title: New Title\n"),
        ("  title: x\n  k: 1\n", "  title: New Title\n  k: 1\n"),
        ("'title': x\n", "title: New Title\n"),
        ("k: 1\ntitle:\n  deep: 1\n", "k: 1\ntitle: New Title\n"),
        ("# nothing\n", "# nothing\ntitle: New Title\n"),
        ("title: 'New Title'\n", "title: 'New Title'\n"),
        ("k: ['x',\n  y]\ntitle: x\n", "k: ['x',\n  y]\ntitle: New Title\n"),
    ],
)
def test_a_value_of_any_style_is_replaced_whole(block: str, expected: str) -> None:
    """Literal, folded, quoted, nested and missing values give way to one line; an equal value stays as written."""
    data = f"---\n{block}".encode() + (b"" if block.endswith("\n") else b"\n") + b"---\nbody"
    assert set_fields(data, {"title": "New Title"}) == f"---\n{expected}---\nbody".encode()


def test_a_mapping_in_braces_stays_one() -> None:
    """Flow style is kept; the values are right."""
    new = set_fields(b"---\n{title: x, k: [1, 2]}\n---\nbody", FIELDS)
    assert read_fields(new) == {"k": [1, 2], **FIELDS}
    assert split_note(new).body == b"body"


@pytest.mark.parametrize(
    "block",
    [
        b"a: [1\n",
        b"a: 1\na: 2\n",
        b"a: b: c\n",
        b"a: &x 1\n",
        b"a: *x\n",
        b"a: &a [x]\nb: [*a, *a]\n",
        b"a: \xff\n",
        b"a: " + b"[" * 200 + b"]" * 200 + b"\n",
        b"a: \x00\n",
        b"a:\n\t- tab\n",
        b"k: v\nnot a key\n",
        b"k: " + b"x" * 70_000 + b"\n",
        b"{a: 1} trailing\n",
    ],
)
def test_a_block_that_cannot_be_read_is_refused_not_guessed(block: bytes) -> None:
    """Broken YAML, double keys, anchors, aliases, deep nesting and huge blocks are errors for reader and writer."""
    data = b"---\n" + block + b"---\nbody"
    with pytest.raises(ToolError):
        read_fields(data)
    with pytest.raises(ToolError):
        set_fields(data, FIELDS)


def test_odd_values_of_others_are_data() -> None:
    """Dates, tags, NaN and sets of unknown keys can be read and compared, and survive an edit."""
    data = b"---\nd: 2026-01-02\nn: .nan\nt: !mine x\ns: !!set {a, b}\ne: ~\n---\nbody"
    first = read_fields(data)
    assert first == read_fields(data)
    assert {**first, **FIELDS} == read_fields(set_fields(data, FIELDS))
