"""Laws of front matter: the body is untouchable, texts read back, editing is idempotent."""

from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pantheon.core.errors import ToolError
from pantheon.core.notes.frontmatter import read_fields, set_fields, split_note
from pantheon.core.notes.yamltext import scalar

HOSTILE = st.sampled_from(
    [
        "yes",
        "no",
        "On",
        "null",
        "~",
        "1.0",
        "0x1f",
        "12:30:45",
        "2026-01-02",
        "- a",
        "a: b",
        "a #b",
        "# c",
        "'",
        '"',
        "\\",
        "{a}",
        "[a",
        "*a",
        "&a",
        "!a",
        "%a",
        "@a",
        "`a",
        "|",
        ">",
        "? a",
        "---",
        "...",
        "",
        " x ",
        "🙂",
        "é",
        "\n",
        "\r\n",
        "\t",
        "\x85",
        "\u2028",
        "\ufeff",
        "x" * 300 + " y",
        "=",
        "<<",
        "1e3",
        "y",
        "N",
        ".inf",
        "a,b",
    ]
)
TEXTS = st.one_of(HOSTILE, st.text(max_size=40), st.lists(HOSTILE, max_size=3).map("".join))
FIELDS = st.fixed_dictionaries({"title": TEXTS, "description": TEXTS, "tags": st.lists(TEXTS, max_size=4)})
LINES = st.sampled_from(
    [
        b"---\n",
        b"...\n",
        b"title: x\n",
        b"tags: [a]\n",
        b"k: v # c\n",
        b"# c\n",
        b"\n",
        b"  - a\n",
        b"tags:\n",
        b"prose\n",
        b"---\r\n",
        b"\xef\xbb\xbf",
        b"a: |\n",
        b"  # x\n",
        b"\xff\n",
        b"x",
        b"- a\n",
        b"{a: 1}\n",
    ]
)
NOTES = st.one_of(st.binary(max_size=60), st.lists(LINES, max_size=12).map(b"".join))


@given(NOTES)
def test_the_parts_are_the_note(data: bytes) -> None:
    """Nothing is lost or added by taking a note apart."""
    assert b"".join(split_note(data)) == data


@given(NOTES, FIELDS)
def test_an_edit_keeps_the_body_and_what_others_wrote(
    data: bytes, fields: dict[str, str | list[str]]
) -> None:
    """The body and every other key stay; the fields read back; a second edit changes nothing."""
    try:
        before = read_fields(data)
        new = set_fields(data, fields)
    except ToolError:
        return
    assert split_note(new).body == split_note(data).body
    assert read_fields(new) == {**before, **fields}
    assert set_fields(new, fields) == new
    assert new.endswith(split_note(data).body)


@given(TEXTS)
def test_every_reader_reads_the_text_back(text: str) -> None:
    """YAML 1.1 and 1.2 agree that a written text is this text, on one line."""
    written = scalar(text)
    assert "\n" not in written
    for version in ((1, 1), (1, 2)):
        yaml = YAML(typ="safe", pure=True)
        yaml.version = version
        assert yaml.load(f"k: {written}\nl:\n  - {written}\n") == {"k": text, "l": [text]}
