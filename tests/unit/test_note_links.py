"""Links in notes: found exactly, rewritten minimally, never inside code."""

import pytest

from pantheon.core.notes.links import broken_links, find_links, relink, rewrite_links

OLD, NEW = "docs/2026.01.02.md", "docs/paging-with-keys.md"
RENAMES = {OLD: NEW}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](2026.01.02.md)", "[a](paging-with-keys.md)"),
        ("[a](./2026.01.02.md)", "[a](./paging-with-keys.md)"),
        ("[a](../docs/2026.01.02.md)", "[a](../docs/paging-with-keys.md)"),
        ("[a](/docs/2026.01.02.md)", "[a](/docs/paging-with-keys.md)"),
        ("[a](2026.01.02.md#why)", "[a](paging-with-keys.md#why)"),
        ("[a](2026.01.02.md?plain=1#why)", "[a](paging-with-keys.md?plain=1#why)"),
        ('[a](2026.01.02.md "2026.01.02.md")', '[a](paging-with-keys.md "2026.01.02.md")'),
        ("[a]( 2026.01.02.md )", "[a]( paging-with-keys.md )"),
        ("[a](\n2026.01.02.md\n'x')", "[a](\npaging-with-keys.md\n'x')"),
        ("[a](<2026.01.02.md>)", "[a](<paging-with-keys.md>)"),
        ("[a](2026.01.02)", "[a](paging-with-keys)"),
        ("[a](/docs/2026.01.02#why)", "[a](/docs/paging-with-keys#why)"),
        ("[a]: ./2026.01.02", "[a]: ./paging-with-keys"),
        ("[a](2026%2E01.02.md)", "[a](paging-with-keys.md)"),
        (r"[a](2026\.01\.02.md)", "[a](paging-with-keys.md)"),
        ("[a]: 2026.01.02.md", "[a]: paging-with-keys.md"),
        (
            "[a]: <2026.01.02.md> 'x'\n[b]: /docs/2026.01.02.md",
            "[a]: <paging-with-keys.md> 'x'\n[b]: /docs/paging-with-keys.md",
        ),
        ("- [a]: 2026.01.02.md", "- [a]: paging-with-keys.md"),
        ("[[2026.01.02]]", "[[paging-with-keys]]"),
        ("[[2026.01.02.md]]", "[[paging-with-keys.md]]"),
        ("[[docs/2026.01.02|x]]", "[[docs/paging-with-keys|x]]"),
        ("[[2026.01.02#Why not]]", "[[paging-with-keys#Why not]]"),
        ("[[2026.01.02#^b1|x y]]", "[[paging-with-keys#^b1|x y]]"),
        ("| [[2026.01.02\\|x]] | y |", "| [[paging-with-keys\\|x]] | y |"),
        ("![[2026.01.02]]", "![[paging-with-keys]]"),
        ("[![i](i.png)](2026.01.02.md)", "[![i](i.png)](paging-with-keys.md)"),
        ("[[1]](2026.01.02.md)", "[[1]](paging-with-keys.md)"),
        ("[a `]` b](2026.01.02.md)", "[a `]` b](paging-with-keys.md)"),
        ('<a href="2026.01.02.md">x</a>', '<a href="paging-with-keys.md">x</a>'),
        ("> [a](2026.01.02.md)", "> [a](paging-with-keys.md)"),
        (
            "- a\n\n      [a](2026.01.02.md)\n\n  [a](2026.01.02.md)",
            "- a\n\n      [a](2026.01.02.md)\n\n  [a](paging-with-keys.md)",
        ),
        ("- a\n\n    [a](2026.01.02.md)", "- a\n\n    [a](paging-with-keys.md)"),
        ("text\n    [a](2026.01.02.md)", "text\n    [a](paging-with-keys.md)"),
        ("```\nx\n```\r\n[a](2026.01.02.md)\r\n", "```\nx\n```\r\n[a](paging-with-keys.md)\r\n"),
        ("- ```\n  x\ny [a](2026.01.02.md)", "- ```\n  x\ny [a](paging-with-keys.md)"),
        ("a ` b [a](2026.01.02.md)", "a ` b [a](paging-with-keys.md)"),
        ("`a` [a](2026.01.02.md) `", "`a` [a](paging-with-keys.md) `"),
        (
            "\u2028[a](2026.01.02.md)\x0c[a](2026.01.02.md)",
            "\u2028[a](paging-with-keys.md)\x0c[a](paging-with-keys.md)",
        ),
    ],
)
def test_a_link_to_a_renamed_note_follows_it_and_keeps_its_style(text: str, expected: str) -> None:
    """Only the destination changes; anchors, queries, titles, aliases and the way it is written stay."""
    assert rewrite_links(text, "docs/other.md", RENAMES) == expected


@pytest.mark.parametrize(
    "text",
    [
        "`[a](2026.01.02.md)`",
        "`` ` [a](2026.01.02.md) ``",
        "`a\n[a](2026.01.02.md)`",
        "```\n[a](2026.01.02.md)\n```",
        "```md\n[[2026.01.02]]",
        "~~~\n```\n[a](2026.01.02.md)\n~~~",
        "````\n```\n[[2026.01.02]]\n````",
        "> ```\n> [a](2026.01.02.md)\n> ```",
        "- x\n  ```\n  [a](2026.01.02.md)\n  ```",
        "    [a](2026.01.02.md)",
        "x\n\n\t[a](2026.01.02.md)",
        r"\[a](2026.01.02.md)",
        r"\[[2026.01.02]]",
        "[a] (2026.01.02.md)",
        "[a](2026.01.02.md is prose)",
        "[note]: 2026.01.02.md is prose",
        "a](2026.01.02.md)",
        "<!-- [a](2026.01.02.md) -->",
        "https://example.org/docs/2026.01.02.md",
        "[a](https://example.org/docs/2026.01.02.md)",
        "[a](//docs/2026.01.02.md)",
        "[a](mailto:2026.01.02.md)",
        "[a](../2026.01.02.md)",
        "[a](../../../../docs/2026.01.02.md)",
        "[a](2026.01.02.md.bak)",
        "[a](2026.01.02/)",
        "[a](2026.01)",
        "[a](x2026.01.02.md)",
        "[[x2026.01.02]]",
        "[[ocs/2026.01.02]]",
        "[a](#2026.01.02.md)",
        "[^1]: 2026.01.02.md",
        "docs/2026.01.02.md and [a]",
        "[a](%ff2026.01.02.md)",
    ],
)
def test_what_is_no_link_to_the_note_stays_byte_for_byte(text: str) -> None:
    """Code, escapes, prose and links to other places are left alone."""
    assert rewrite_links(text, "docs/other.md", RENAMES) == text


def test_a_link_from_another_folder_keeps_its_way() -> None:
    """The folder part of a destination is not touched when the note stays in its folder."""
    text = "[a](../docs/2026.01.02.md) [b](<../docs/2026.01.02.md>)"
    assert rewrite_links(text, "log/x.md", RENAMES) == text.replace("2026.01.02", "paging-with-keys")


def test_a_file_goes_before_a_note_without_its_extension() -> None:
    """Where both are renamed, the one with exactly the written name is meant."""
    renames = {"docs/plan": "docs/plan-file", "docs/plan.md": "docs/plan-note.md"}
    assert rewrite_links("[a](plan) [b](plan.md)", "docs/x.md", renames) == "[a](plan-file) [b](plan-note.md)"


def test_a_percent_encoded_link_stays_encoded() -> None:
    """A destination that cannot stand bare is encoded, one that was encoded stays so."""
    renames = {"my docs/a b.md": "my docs/c d.md"}
    assert rewrite_links("[x](my%20docs/a%20b.md)", "x.md", renames) == "[x](my%20docs/c%20d.md)"
    assert rewrite_links("[x](<my docs/a b.md>)", "x.md", renames) == "[x](<my docs/c%20d.md>)"


def test_a_move_to_another_folder_makes_a_new_relative_link() -> None:
    """Relative stays relative, absolute stays absolute."""
    renames = {"docs/a.md": "log/b.md"}
    assert (
        rewrite_links("[x](a.md) [y](/docs/a.md)", "docs/z.md", renames) == "[x](../log/b.md) [y](/log/b.md)"
    )


def test_a_renamed_note_linking_to_itself_follows_itself() -> None:
    """``moved_from`` says where the links were written."""
    assert (
        rewrite_links("[me](2026.01.02.md#top)", NEW, RENAMES, moved_from=OLD)
        == "[me](paging-with-keys.md#top)"
    )


def test_rewriting_twice_changes_nothing_more() -> None:
    """Rewriting is idempotent."""
    once = rewrite_links("[a](2026.01.02.md) [[2026.01.02]]", "docs/x.md", RENAMES)
    assert rewrite_links(once, "docs/x.md", RENAMES) == once


def test_links_know_where_they_are() -> None:
    """Offsets name the destination exactly, with carriage returns and astral characters before it."""
    text = "🙂\r\n[a](x.md)\r\r[b]: <y z.md>\r\n\r\n[[w]]"
    found = list(find_links(text))
    assert [link.destination for link in found] == ["x.md", "y z.md", "w"]
    assert all(text[link.start : link.end] == link.destination for link in found)


def test_broken_links_are_those_that_lead_to_nothing_here() -> None:
    """Files and folders of the repository exist; other places are nobody's business."""
    files = ("docs/a.md", "docs/deep/b.md", "img/c d.png", "README.md")
    text = (
        "[1](a.md) [2](deep/) [3](deep/b.md#x) ![4](../img/c%20d.png) [5](/README.md) [6](..) [[a]] [[b#x]]\n"
        "[7](gone.md) [8](../gone.png) [[nobody|x]] [9](https://example.org/gone.md) [10](../../out.md) [11](#x)"
    )
    assert broken_links(text, "docs/x.md", files) == ("../gone.png", "gone.md", "nobody")


def test_front_matter_opens_nothing_in_the_body() -> None:
    """Lists and fences in front matter do not make code of the body, nor text of its code."""
    body = b"    [a](2026.01.02.md)\n\n[a](2026.01.02.md)\n"
    for block in (b"k:\n  - a\n", b"k: |\n  ```\n", b"k: '[[2026.01.02]]'\n"):
        data = b"---\n" + block + b"---\n" + body
        new = relink(data, "docs/x.md", RENAMES)
        assert new.endswith(b"---\n" + relink(body, "docs/x.md", RENAMES))
        assert relink(body, "docs/x.md", RENAMES).count(b"paging") == 1
        assert (b"[[paging-with-keys]]" in new) == (b"[[" in block)


def test_other_bytes_around_a_link_stay() -> None:
    """Bytes that are not UTF-8 survive; a file with a NUL is not looked at."""
    assert relink(b"\xff[a](2026.01.02.md)\xfe", "docs/x.md", RENAMES) == b"\xff[a](paging-with-keys.md)\xfe"
    assert relink(b"\0[a](2026.01.02.md)", "docs/x.md", RENAMES) == b"\0[a](2026.01.02.md)"
