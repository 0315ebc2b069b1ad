"""Diffs, which may hold anything."""

from pantheon.report.diffs import colour_diff, read_diff
from pantheon.testing.sample_diff import diff
from pantheon.testing.sample_night import plain


def test_a_rename_with_changes():
    """Old and new name and the line counts are read from the headers and hunks."""
    facts = read_diff(diff("docs/2025.07.01.note-1.md", "A title", plain))
    assert facts == ((("docs/2025.07.01.note-1.md", "docs/1-rate-limiter.md"),), 6, 1)


def test_new_and_deleted_files_have_one_name():
    """The side on which a file does not exist is empty."""
    text = (
        "diff --git a/new.md b/new.md\nnew file mode 100644\n--- /dev/null\n+++ b/new.md\n@@ -0,0 +1 @@\n+x\n"
        "diff --git a/old.md b/old.md\ndeleted file mode 100644\n--- a/old.md\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
    )
    assert read_diff(text) == ((("", "new.md"), ("old.md", "")), 1, 1)


def test_a_binary_file_keeps_its_name():
    """A file without hunks is listed by its first header."""
    text = "diff --git a/a b/c.bin b/a b/c.bin\nindex 1..2 100644\nBinary files differ\n"
    assert read_diff(text).paths == (("a b/c.bin", "a b/c.bin"),)


def test_gits_quoting_of_names_is_undone():
    """A name with an umlaut reads as a person wrote it; one with a bell in it cannot ring."""
    text = 'diff --git "a/\\303\\274.md" "b/\\303\\274.md"\n--- "a/\\303\\274.md"\n+++ "b/bell\\a.md"\n'
    assert read_diff(text).paths == (("ü.md", "bell\\u0007.md"),)


def test_content_that_looks_like_a_header_is_content():
    """A removed line that begins with ``--`` is not taken for a file's name."""
    text = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n--- a/forged\n+++ b/forged\n same\n"
    assert read_diff(text) == ((("x", "x"),), 1, 1)


def test_colours_follow_the_hunk():
    """Neighbouring lines of one sort make one run, and controls are written out."""
    lines = colour_diff("@@ -1 +1,2 @@\n-\x1b[31mold\n+new\u202e\n+two\n")
    assert [(line.kind, line.text) for line in lines] == [
        ("hunk", "@@ -1 +1,2 @@"),
        ("del", "-\\u001b[31mold"),
        ("add", "+new\\u202e\n+two"),
    ]


def test_an_endless_line_is_cut_with_a_mark():
    """One line cannot make the report large."""
    (line,) = colour_diff("x" * 100_000)
    assert len(line.text) < 2_100
    assert line.text.endswith("[…98000 more characters]")


def test_nonsense_is_no_error():
    """Hunk headers with no or with absurd numbers are shown and count nothing."""
    for text in ("@@ ", "@@ -x +y @@\n+1", "@@ -99999999999999999999 +1 @@\n+1", "\0\xff", ""):
        colour_diff(text)
        read_diff(text)
