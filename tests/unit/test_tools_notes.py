"""The note tools: what they write, what they refuse, and that they can be called again."""

import pytest

from pantheon.core.errors import ToolError
from pantheon.core.notes.frontmatter import read_fields, split_note
from pantheon.core.task import Task
from pantheon.testing.tree import FakeTree
from pantheon.tools.notes import NOTE_TOOLS
from pantheon.tools.registry import Registry, ToolContext, ToolResult

REGISTRY = Registry(NOTE_TOOLS)
OLD, OTHER = "docs/2026.01.02.md", "docs/2026.01.03.md"
BODY = (
    "Sure thing! OFFSET paging reads every row that it throws away, so the orders endpoint is slow.\n\n"
    "Use keyset pagination with a cursor over (created_at, id) and an index. See [me](2026.01.02.md#x).\n"
)
PROPOSAL = {
    "title": "Keyset Pagination for the Orders Endpoint",
    "description": "Why OFFSET paging is slow and how a cursor over created_at and id replaces it.",
    "tags": ["keyset-pagination", "orders", "cursor"],
}
NEW = "docs/keyset-pagination-for-the-orders-endpoint.md"


def context(files: dict[str, bytes | str], *targets: str, links: tuple[str, ...] = ()) -> ToolContext:
    tree = FakeTree(files, links)
    task = Task(id="t", kind="docops", goal="g", targets=targets or (OLD,))
    return ToolContext(files=tree, task=task, tree_paths=tree.list_files())


def call(name: str, where: ToolContext, **args: object) -> ToolResult:
    return REGISTRY.call(name, args, where)


def content(where: ToolContext) -> dict[str, bytes]:
    assert isinstance(where.files, FakeTree)
    return where.files.content


def test_front_matter_is_written_once_and_the_body_stays() -> None:
    """The second call changes nothing and says so."""
    where = context({OLD: BODY})
    first = call("set_front_matter", where, path=OLD, **PROPOSAL)
    written = content(where)[OLD]
    assert first.changed == (OLD,)
    assert split_note(written).body == BODY.encode()
    assert read_fields(written) == PROPOSAL
    assert call("set_front_matter", where, path=OLD, **PROPOSAL).changed == ()
    assert content(where)[OLD] == written


def test_a_refused_proposal_changes_nothing_and_says_why() -> None:
    """The reasons go back; the file is as it was."""
    where = context({OLD: BODY})
    with pytest.raises(ToolError, match="would fit any note"):
        call("set_front_matter", where, path=OLD, **{**PROPOSAL, "title": "Notes and Overview"})
    assert content(where)[OLD] == BODY.encode()


def test_a_title_whose_name_is_taken_is_refused() -> None:
    """Two notes never want one name, not even one that differs in case only."""
    for taken in (NEW, NEW.upper().replace("DOCS/", "docs/").replace(".MD", ".md")):
        with pytest.raises(ToolError, match="be more specific"):
            call("set_front_matter", context({OLD: BODY, taken: "x"}), path=OLD, **PROPOSAL)


@pytest.mark.parametrize("tool", ["set_front_matter", "rename_note"])
@pytest.mark.parametrize("path", [OTHER, "pantheon.toml", ".github/workflows/x.md"])
def test_nothing_outside_the_targets_is_written(tool: str, path: str) -> None:
    """A path that is not the task's is refused by name."""
    where = context({OLD: BODY, path: BODY})
    args = PROPOSAL if tool == "set_front_matter" else {"new_name": "a-telling-name.md"}
    with pytest.raises(ToolError, match="not a target"):
        call(tool, where, path=path, **args)
    assert content(where)[path] == BODY.encode()


@pytest.mark.parametrize(
    "path", ["../x.md", "/etc/passwd", ".git/config", "docs/../../x.md", "a\\b.md", "x\0.md", ""]
)
def test_a_path_that_leaves_the_tree_is_no_argument(path: str) -> None:
    """Hostile paths do not even reach the tools."""
    for tool in REGISTRY.names:
        with pytest.raises(ToolError, match="path"):
            call(tool, context({OLD: BODY}), path=path, **(PROPOSAL if tool == "set_front_matter" else {}))


def titled(body: str = BODY) -> str:
    return f"---\ntitle: {PROPOSAL['title']}\n---\n{body}"


def test_a_rename_takes_every_link_along() -> None:
    """Inline, wiki and reference links from any folder, links to itself, and files that are not UTF-8 follow."""
    where = context(
        {
            OLD: titled(),
            OTHER: "[a](2026.01.02.md) [[2026.01.02|x]] `[[2026.01.02]]`\n",
            "README.markdown": "[a]: docs/2026.01.02.md\n",
            "log/old.md": b"caf\xe9 [a](../docs/2026.01.02.md)\n",
            "log/binary.md": b"\0[a](../docs/2026.01.02.md)",
            "log/code.py": "# [a](../docs/2026.01.02.md)",
        }
    )
    result = call("rename_note", where, path=OLD)
    assert content(where) == {
        NEW: titled(BODY.replace("2026.01.02.md", NEW.removeprefix("docs/"))).encode(),
        OTHER: f"[a]({NEW[5:]}) [[{NEW[5:-3]}|x]] `[[2026.01.02]]`\n".encode(),
        "README.markdown": f"[a]: {NEW}\n".encode(),
        "log/old.md": b"caf\xe9 [a](../" + NEW.encode() + b")\n",
        "log/binary.md": b"\0[a](../docs/2026.01.02.md)",
        "log/code.py": b"# [a](../docs/2026.01.02.md)",
    }
    assert set(result.changed) == {OLD, NEW, OTHER, "README.markdown", "log/old.md"}
    assert result.data["args"] == {"path": OLD, "new_name": NEW[5:]}


def test_a_rename_repeated_changes_nothing() -> None:
    """By its spelled-out arguments, a rename that has happened is no change."""
    where = context({OLD: titled(), OTHER: "[[2026.01.02]]"})
    args = call("rename_note", where, path=OLD).data["args"]
    after = dict(content(where))
    again = call("rename_note", where, **args)
    assert again.changed == ()
    assert again.data == {"old": OLD, "new": NEW}
    assert content(where) == after


def test_two_renames_replayed_in_either_order_end_in_the_same_tree() -> None:
    """Notes that link to each other and are renamed on separate commits come out the same when replayed."""
    files: dict[str, bytes | str] = {
        OLD: "see [next](2026.01.03.md) and [[2026.01.03]]",
        OTHER: "see [last](2026.01.02.md#top) and ![[2026.01.02]]",
    }
    renames = {OLD: "first-telling-name.md", OTHER: "second-telling-name.md"}
    ends = []
    for order in ((OLD, OTHER), (OTHER, OLD)):
        where = context(files, OLD, OTHER)
        for path in order:
            call("rename_note", where, path=path, new_name=renames[path])
        ends.append(content(where))
    assert ends[0] == ends[1]
    assert (
        ends[0]["docs/first-telling-name.md"]
        == b"see [next](second-telling-name.md) and [[second-telling-name]]"
    )


@pytest.mark.parametrize(
    "name",
    [
        "../x-y.md",
        "a/b-c.md",
        "Title Case.md",
        "x-y.txt",
        "x-y",
        ".x-y.md",
        "x--y.md",
        "x-y.md\n",
        "é-y.md",
        "",
        "-x-y.md",
    ],
)
def test_a_new_name_that_is_none_is_refused(name: str) -> None:
    """A name stays in the folder, keeps its extension and is kebab-case."""
    where = context({OLD: titled()})
    with pytest.raises(ToolError):
        call("rename_note", where, path=OLD, new_name=name)
    assert content(where) == {OLD: titled().encode()}


def test_a_rename_that_is_refused_has_changed_nothing() -> None:
    """A taken name is found before anything is written."""
    taken = context({OLD: titled(), OTHER: "[[2026.01.02]]", NEW: "x"})
    before = dict(content(taken))
    with pytest.raises(ToolError):
        call("rename_note", taken, path=OLD)
    assert content(taken) == before


def test_odd_files_beside_a_note_do_not_hinder_its_rename() -> None:
    """A file too large to be a note, and one that no tool could name, are passed over and stay as they are."""
    odd = {"z.md": b" " * 8_000_001, "~tilde/a.md": b"x", "a\\b.md": b"[[2026.01.02]]"}
    where = context({OLD: titled(), OTHER: "[[2026.01.02]]", **odd})
    call("rename_note", where, path=OLD)
    after = content(where)
    assert OLD not in after
    assert {name: after[name] for name in odd} == odd


def test_only_notes_are_worked_on() -> None:
    """A program is no note, whatever the queue says."""
    where = context({"tool.py": "print(1)\n"})
    with pytest.raises(ToolError, match="not a Markdown note"):
        call("validate_note", where, path="tool.py")


def test_a_telling_name_is_kept() -> None:
    """Without a name given, a note with a descriptive one is not renamed."""
    where = context({"docs/retry-policy.md": titled()}, "docs/retry-policy.md")
    result = call("rename_note", where, path="docs/retry-policy.md")
    assert result.changed == () and result.data["new"] == "docs/retry-policy.md"


@pytest.mark.parametrize("path", ["docs/My Retry Policy.md", "docs/Retry_Policy.md", "docs/retry-policy.MD"])
def test_a_telling_name_that_is_not_kebab_case_is_replaced(path: str) -> None:
    """What the gate would refuse is not kept, and links to it follow."""
    link = path.removeprefix("docs/")
    where = context({path: titled(), OTHER: f"[a](<{link}>)\n"}, path)
    result = call("rename_note", where, path=path)
    assert result.data["new"] == NEW
    assert content(where)[OTHER] == f"[a](<{NEW[5:]}>)\n".encode()
    assert call("rename_note", context({NEW: titled()}, NEW), path=NEW).changed == ()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty: the note has no text"),
        (b" \n\t\n", "empty: the note has no text"),
        (b"---\ntitle: x\n---\n\n", "empty: the note has no text"),
        (b"\xef\xbb\xbf\n", "empty: the note has no text"),
        (b"a\0b", "binary"),
        (b"caf\xe9", "not UTF-8"),
        (b"---\ntitle: [\n---\ntext", "not YAML"),
        (b"x" * 1_000_001, "larger than"),
    ],
)
def test_a_note_that_cannot_be_worked_on_is_refused_with_the_cause(data: bytes, reason: str) -> None:
    """The cause is stable and names the file."""
    with pytest.raises(ToolError, match=reason) as caught:
        call("validate_note", context({OLD: data}), path=OLD)
    assert OLD in caught.value.message


def test_links_folders_and_missing_files_are_no_notes() -> None:
    """What is not a regular file is refused."""
    where = context({"docs/x.md/y": "x"}, links=(OLD,))
    for path in (OLD, "docs/x.md", "docs/none.md"):
        with pytest.raises(ToolError):
            call("validate_note", where, path=path)


def test_a_complete_note_has_nothing_to_do() -> None:
    """Title, description, 3 to 8 tags and a telling name make a note complete; less does not."""
    whole = "---\ntitle: A b\ndescription: C d.\ntags: [x, y, z]\n---\ntext"
    good = "docs/a-telling-name.md"
    assert call("validate_note", context({good: whole}), path=good).data == {"complete": True}
    for path, data in (
        (OLD, whole),
        ("docs/A Telling Name.md", whole),
        (good, "text"),
        (good, whole.replace(", z", "")),
        (good, whole.replace("C d.", "''")),
    ):
        assert call("validate_note", context({path: data}), path=path).data == {"complete": False}


def test_neighbours_are_those_of_the_folder_and_bounded() -> None:
    """Titles or first lines of the other notes in the folder, at most forty."""
    files: dict[str, bytes | str] = {f"docs/n{i:02}.md": f"# Heading {i}\n" for i in range(50)}
    files |= {OLD: "x", "docs/deep/y.md": "y", "docs/00.md": "---\ntitle: [\n---\n"}
    lines = call("list_neighbours", context(files), path=OLD).text.split("\n")
    assert lines[0].startswith("00.md: ") and lines[1] == "n00.md: Heading 0"
    assert len(lines) == 41 and not any("deep" in line for line in lines)
    assert call("list_neighbours", context({OLD: "x"}), path=OLD).text == "no other notes"


def test_reading_is_bounded() -> None:
    """The excerpt keeps to what was asked for."""
    text = call("read_note", context({OLD: BODY * 100}), path=OLD, max_chars=500).text
    assert text.startswith("Sure thing!") and len(text) < 600
