"""Checks by content: each finds what it is there for, and lets honest changes pass."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.file_checks import GENERATED, find_binary, find_generated, find_lost_licence
from pantheon.core.kept_tests import find_weakened
from pantheon.core.suite import TEST_FILES
from pantheon.core.syntax import MAX_SCRIPT_BYTES, find_unparsable


@pytest.mark.parametrize(
    ("path", "good", "bad"),
    [
        ("a.js", b"#!/usr/bin/env node\nconst a = b?.c ?? 1\n", b"const a = ;\n"),
        ("a.mjs", b"import a from 'a'\nexport default await a()\n", b"function f( {\n"),
        ("a.cjs", b"module.exports = {a: 1}\n", b"module.exports = {a: 1\n"),
        ("a.jsx", b"export const A = () => <b>{1}</b>\n", b"export const A = () => <b>{1}<b>\n"),
        ("a.js", b"class A { static #x = 1 }\n", b"`${a\n"),
        ("a.js", b"x()\n", b"x(" * 50_000),
        ("a.md", b"---\ntitle: A\n---\n: [ text\n", b"---\ntitle: A: B\n---\ntext\n"),
        ("a.json", b'{"a": 1}', b'{"a": 1'),
        ("a.toml", b"a = 1\n", b"a = \n"),
        ("a.yaml", b"a: [1, 2]\n", b"a: [1, 2\n"),
        ("a.yml", b"a: 1\n---\nb: 2\n", b"a: b: c\n"),
        ("a.py", b"def f():\n    return 1\n", b"def f(:\n"),
        ("a.py", b"x = 1\n", b"x = '\x00'\n"),
        ("a.json", b"[]", b"[" * 100_000),
        ("a.json", b"[]", b"\xff"),
    ],
)
def test_a_file_must_go_on_parsing(path: str, good: bytes, bad: bytes) -> None:
    """What parsed before must parse now; a new file must parse; what never did need not."""
    assert "does not parse" in find_unparsable(path, good, bad)
    assert "does not parse" in find_unparsable(path, None, bad)
    assert find_unparsable(path, bad, good) == find_unparsable(path, bad, bad) == ""
    assert find_unparsable(path, good, None) == find_unparsable("a.txt", good, bad) == ""


@pytest.mark.parametrize(
    ("path", "bad"),
    [
        ("a.json", b'{\n"a": 1,\n]'),
        ("a.toml", b"a = 1\n\nb = \n"),
        ("a.toml", b"a = 1\nb = 2\nc = ["),
        ("a.yaml", b"a: 1\nb: 2\nc: d: e\n"),
        ("a.py", b"a = 1\n\ndef f(:\n"),
        ("a.js", b"a = 1\n\nb = ;\n"),
        ("a.md", b"---\ntags: [a]\ntitle: b: c\n---\n"),
        ("a.json", b"[\n1,\n\xff]"),
    ],
)
def test_the_line_is_named_where_it_does_not_parse(path: str, bad: bytes) -> None:
    """The reader finds the place without a parser of his own."""
    assert find_unparsable(path, None, bad).startswith("line 3: does not parse: ")


@pytest.mark.parametrize("part", [b"a<b ", b"[a,{b:[", b"(a=(b=(c=", b"async (x) "])
def test_an_ambiguous_script_is_refused_before_it_takes_long(part: bytes) -> None:
    """What is too large to be parsed in seconds is not parsed at all."""
    found = find_unparsable("a.js", b"x()", part * (MAX_SCRIPT_BYTES // len(part) + 1))
    assert found == f"does not parse: larger than {MAX_SCRIPT_BYTES} bytes"


@pytest.mark.parametrize(
    ("path", "bad", "why"),
    [
        ("a.yaml", b"[" * 100_000, "nested deeper than 200"),
        ("a.yaml", b"{a: " * 100_000, "nested deeper than 200"),
        ("a.yaml", b"- " * 100_000, "nested deeper than 200"),
        ("a.md", b"---\na: " + b"{a: " * 10_000 + b"\n---\n", "nested deeper than 200"),
        ("a.toml", b"a" + b".a" * 100_000 + b" = 1", "more than 200 dots in one line"),
        ("a.toml", b"[a" + b".a" * 100_000 + b"]", "more than 200 dots in one line"),
        ("a.py", b"-" * 100_000 + b"1", "MemoryError"),
        ("a.py", b"a" + b"()" * 100_000, "recursion"),
    ],
)
def test_what_would_take_the_parser_long_is_refused_at_once(path: str, bad: bytes, why: str) -> None:
    """Depth and length that cost some parsers the square of it, in seconds or in gigabytes."""
    started = time.process_time()
    assert why in find_unparsable(path, b"", bad)
    assert time.process_time() - started < 10


def test_aliases_are_not_expanded() -> None:
    """A few lines of YAML that stand for billions of values cost nothing."""
    bomb = "a0: &a0 [x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)
    )
    assert find_unparsable("a.yaml", None, bomb.encode()) == ""


PYTHON = b"import pytest\n\ndef test_a():\n    assert f() == 1\n    with pytest.raises(ValueError):\n        f(2)\n"
SCRIPT = b"test('a', t => {\n  t.is(f(), 1)\n  expect(f(2)).toBe(2)\n})\n"


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("tests/a.py", PYTHON, None),
        ("tests/a.py", PYTHON, PYTHON.replace(b"    assert f() == 1\n", b"")),
        ("tests/a.py", PYTHON, PYTHON.replace(b"assert f() == 1", b"assert True")),
        ("tests/a.py", PYTHON, PYTHON.replace(b"pytest.raises(ValueError)", b"nothing()")),
        ("tests/a.py", PYTHON, PYTHON.replace(b"def test_a", b"@pytest.mark.skip\ndef test_a")),
        ("tests/a.py", PYTHON, PYTHON.replace(b"def test_a", b"@pytest.mark.xfail()\ndef test_a")),
        ("tests/a.py", PYTHON, PYTHON.replace(b"def test_a", b"def not_a_test")),
        ("tests/a.py", PYTHON, PYTHON.replace(b"assert f() == 1", b"assert f() == 1 or True")),
        ("tests/a.py", PYTHON, PYTHON.replace(b"assert f() == 1", b"assert (f(), 1)")),
        ("tests/a.py", PYTHON, PYTHON.replace(b"assert f() == 1", b"pass  # assert f() == 1")),
        ("src/a.test.js", SCRIPT, SCRIPT.replace(b"  t.is(", b"  // t.is(")),
        ("src/a.test.js", SCRIPT, SCRIPT.replace(b"t.is(f(), 1)", b"'t.is(f(), 1)'")),
        ("src/a.test.js", SCRIPT, SCRIPT.replace(b"test('a'", b"describe('a'")),
        ("src/a.test.js", SCRIPT, SCRIPT.replace(b"test('a',", b"test('a', {skip: true},")),
        ("src/a.test.js", SCRIPT, SCRIPT.replace(b"test('a'", b"xtest('a'")),
        ("src/a.test.ts", SCRIPT, SCRIPT.replace(b"  t.is(f(), 1)\n", b"")),
        ("src/a.test.js", SCRIPT, SCRIPT.replace(b"  t.is(f(), 1)\n", b"")),
        ("src/a.test.js", SCRIPT, SCRIPT.replace(b"test('a'", b"test.skip('a'")),
        ("src/a.test.js", SCRIPT, SCRIPT.replace(b"test('a'", b"test.only('a'")),
    ],
)  # fmt: skip
def test_a_weakened_test_is_found(path: str, before: bytes, after: bytes | None) -> None:
    """Deleted, emptied, made trivial, skipped, renamed away: each is said."""
    assert find_weakened(path, before, after, TEST_FILES)
    assert not find_weakened(path, before, before + b"\n", TEST_FILES)
    assert not find_weakened("src/code.txt", before, after, TEST_FILES)


def test_the_line_of_a_weakened_test_is_named() -> None:
    """Of what is gone as it was before, of a skip as it is now."""
    gone = find_weakened("tests/a.py", PYTHON, PYTHON.replace(b"    assert f() == 1\n", b""), TEST_FILES)
    assert gone == "line 4 before: 2 assertions have become 1"
    skipped = PYTHON.replace(b"def test_a", b"@pytest.mark.skip\ndef test_a")
    assert (
        find_weakened("tests/a.py", PYTHON, skipped, TEST_FILES) == "line 3: a test is skipped that was not"
    )
    script = find_weakened("a.test.js", SCRIPT, SCRIPT.replace(b"expect(f(2))", b"(f(2))"), TEST_FILES)
    assert script.startswith("line 3 before: ")


def test_a_licence_header_stays() -> None:
    """A line that names licence or holder may not go; the rest of the file may."""
    head = b"# SPDX-License-Identifier: MIT\n# Copyright (c) 2020 Somebody\n\nx = 1\n"
    assert find_lost_licence("a.py", head, head.replace(b"x = 1", b"x = 2")) == ""
    assert "SPDX" in find_lost_licence("a.py", head, head.replace(b"MIT", b"Apache-2.0"))
    assert find_lost_licence("a.py", head, b"x = 1\n").startswith("line 1 before: ")
    assert "Copyright" in find_lost_licence(
        "a.py", head, head.replace(b"# Copyright (c) 2020 Somebody\n", b"")
    )
    assert find_lost_licence("a.py", None, b"x") == find_lost_licence("a.py", head, None) == ""


@pytest.mark.parametrize(
    "path", ["package-lock.json", "web/app.min.js", "proto/x_pb2.py", "node_modules/a/b.js"]
)
def test_generated_names_are_found(path: str) -> None:
    """A lock file and what a build made are not for a change by hand."""
    assert find_generated(path, b"x", b"y", GENERATED)
    assert not find_generated(path, b"x", b"y", ())


def test_a_file_that_says_so_is_generated() -> None:
    """The mark counts where it was before; words about generating, further down, do not."""
    found = find_generated(
        "a.go", b"package a\n// Code generated by x. DO NOT EDIT.\n", b"// by hand\n", GENERATED
    )
    assert found.startswith("line 2: ")
    assert not find_generated("a.md", b"\n" * 9 + b"This is automatically generated.\n", b"y", GENERATED)


@given(
    st.sampled_from(["t/test_a.py", "a.json", "a.yaml", "a.toml", "a.test.js", "a.md"]),
    st.binary(),
    st.binary(),
)
def test_no_content_makes_a_check_fail_itself(path: str, before: bytes, after: bytes) -> None:
    """Whatever the bytes, each check answers; and what did not change is fine."""
    for find in (find_unparsable, find_lost_licence):
        assert isinstance(find(path, before, after), str)
    assert isinstance(find_generated(path, before, after, GENERATED), str)
    assert isinstance(find_binary(before, after), str)
    assert isinstance(find_weakened(path, before, after, TEST_FILES), str)
    assert find_unparsable(path, after, after) == find_weakened(path, after, after, TEST_FILES) == ""
