"""The queue under attack: lines that two readers would read differently, and lines that were taken before."""

import asyncio
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantheon.adapters.task_input import split_lines
from pantheon.core.task import Task
from pantheon.core.task_text import unreadable
from pantheon.core.taskfile import MAX_LINE_BYTES, TaskFileReader
from pantheon.shell.cli.app import run
from pantheon.shell.config import load_project
from pantheon.shell.wiring import open_project_store
from pantheon.testing.user_repository import git

GOOD = b'{"kind":"docops","goal":"g","targets":["a.md"]}'
SMUGGLED: dict[str, bytes] = {
    "a key twice": b'{"kind":"docops","goal":"shown","goal":"done"}',
    "a key twice, escaped": b'{"kind":"docops","goal":"shown","go\\u0061l":"done"}',
    "NaN": b'{"kind":"docops","goal":"g","inputs":{"x":NaN}}',
    "Infinity": b'{"kind":"docops","goal":"g","inputs":{"x":-Infinity}}',
    "1e400": b'{"kind":"docops","goal":"g","inputs":{"x":1e400}}',
    "beyond 2^53": b'{"kind":"docops","goal":"g","inputs":{"x":9007199254740993}}',
    "a boolean as a number": b'{"kind":"docops","goal":"g","priority":true}',
    "a boolean in the budget": b'{"kind":"docops","goal":"g","budget":{"max_steps":true}}',
    "a text as a number": b'{"kind":"docops","goal":"g","priority":"1"}',
    "an unknown field": b'{"kind":"docops","goal":"g","approve":true}',
    "half a surrogate": b'{"kind":"docops","goal":"\\ud800"}',
    "deep nesting": b'{"kind":"docops","goal":"g","inputs":{"x":' + b"[" * 500 + b"]" * 500 + b"}}",
    "a byte order mark": b"\xef\xbb\xbf" + GOOD,
    "UTF-16": GOOD.decode().encode("utf-16"),
    "a carriage return": GOOD + b"\r",
    "an overlong encoding": b'{"kind":"docops","goal":"\xc0\xaf"}',
    "two values": GOOD + GOOD,
    "a NUL behind it": GOOD + b"\x00",
    "a path upwards": b'{"kind":"docops","goal":"g","targets":["a/../../b"]}',
    "an absolute path": b'{"kind":"docops","goal":"g","targets":["/etc/passwd"]}',
    "a path with a NUL": b'{"kind":"docops","goal":"g","targets":["a\\u0000b"]}',
    "git's own folder": b'{"kind":"docops","goal":"g","targets":["x/.GIT/config"]}',
    "an id twice": b'{"id":"a","kind":"docops","goal":"1"}\n{"id":"a","kind":"docops","goal":"2"}',
    "a hundred thousand brackets": b"[" * 100_000,
    "a line too long": b'{"kind":"docops","goal":"g","package":"' + b"x" * MAX_LINE_BYTES + b'"}',
}
LENIENT = ("a key twice", "a key twice, escaped", "NaN", "Infinity", "1e400", "beyond 2^53", "a boolean as a number",
           "half a surrogate", "a carriage return", "an unknown field", "an id twice", "a path upwards")  # fmt: skip


def naive(data: bytes) -> list[Any]:
    """Read task lines as a quick script would."""
    return [json.loads(line) for line in data.decode("utf-8").splitlines() if line.strip()]


def strict(data: bytes) -> list[dict[str, Any]]:
    """Read task lines by another road: only the standard library, refusing what readers disagree about."""

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(found)) != len(found):
            raise ValueError("a key twice")
        return dict(found)

    def number(text: str) -> float:
        if not math.isfinite(float(text)) or abs(float(text)) > 2**53 - 1:
            raise ValueError("too large")
        return float(text)

    def whole(text: str) -> int:
        if len(text) > 17 or abs(int(text)) > 2**53 - 1:
            raise ValueError("too large")
        return int(text)

    def constant(text: str) -> float:
        raise ValueError(text)

    values = []
    for line in data.split(b"\n"):
        if not line.strip(b" \t"):
            continue
        value = json.loads(
            line.decode("utf-8", "strict"), object_pairs_hook=pairs, parse_float=number, parse_int=whole,
            parse_constant=constant,
        )  # fmt: skip
        json.dumps(value, ensure_ascii=False).encode("utf-8")
        if not isinstance(value, dict) or line.endswith(b"\r"):
            raise ValueError("not an object")
        values.append(value)
    return values


def read(data: bytes) -> tuple[list[Task], tuple[str, ...]]:
    """Read task lines as ``enqueue`` does."""
    reader, tasks = TaskFileReader("f"), []
    for line in split_lines(iter([data]), max_line_bytes=MAX_LINE_BYTES):
        if line is None:
            reader.skip_long()
        elif (task := reader.feed(line)) is not None:
            tasks.append(task)
    return tasks, reader.finish()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PANTHEON_MODELS_DIR", str(tmp_path / "models"))
    root = tmp_path / "repo"
    root.mkdir()
    git(root, "init", "-q")
    (root / "a.md").write_text("a")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "start")
    assert run(["-C", str(root), "init"]) == 0
    return root


def enqueue(root: Path, data: bytes, *words: str) -> int:
    """Enqueue a file of these bytes."""
    (root.parent / "tasks.jsonl").write_bytes(data)
    return run(["-C", str(root), "enqueue", str(root.parent / "tasks.jsonl"), *words])


@pytest.mark.parametrize("case", LENIENT)
def test_a_quick_reader_takes_it(case: str) -> None:
    """The control: read line by line with the standard library, most of these are tasks."""
    assert naive(SMUGGLED[case])


@pytest.mark.parametrize("case", SMUGGLED)
def test_a_smuggled_line_freezes_nothing(root: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Alone, and among good lines: named with its line, exit code 2, and the queue stays empty."""
    for before, after in ((b"", b""), (GOOD + b"\n", b"\n" + GOOD.replace(b"a.md", b"b.md"))):
        data = (
            before + SMUGGLED[case] + after
            if "UTF-16" not in case and "order" not in case
            else SMUGGLED[case]
        )
        assert enqueue(root, data) == 2
        assert "tasks.jsonl:" in capsys.readouterr().err
    assert not [path for path in (root / "queue").iterdir() if path.suffix in (".jsonl", ".json")]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e"])
def test_a_character_that_ends_a_line_elsewhere_ends_none_here(root: Path, separator: str) -> None:
    """One line stays one task; ``str.splitlines`` makes two of it (the control). In the goal it is named."""
    inner = '"}\n'.replace("\n", "") + separator + '{"kind":"docops","goal":"smuggled"}'
    goal = json.dumps(inner, ensure_ascii=False)
    raw = separator if separator in ("\u2028", "\u2029", "\x85") else json.dumps(separator)[1:-1]
    text = goal.replace(json.dumps(separator)[1:-1], raw)
    line = f'{{"kind":"docops","goal":"g","inputs":{{"text":{text}}}}}'.encode()
    assert len(f"a{separator}b".splitlines()) == 2, "the control"
    tasks, problems = read(line)
    assert problems == () and len(tasks) == 1 and separator in str(tasks[0].inputs["text"])
    assert enqueue(root, line) == 0
    assert len(list((root / "queue").glob("*.jsonl"))) == 1
    _, problems = read(f'{{"kind":"docops","goal":{text}}}'.encode())
    assert len(problems) == 1 and problems[0].startswith(f"f:1: goal: U+{ord(separator):04X}")


GOALS = st.text(min_size=1, max_size=40).filter(lambda text: unreadable(text) is None)


@given(
    st.lists(
        st.tuples(GOALS, st.integers(-1000, 1000)), min_size=1, max_size=20, unique_by=lambda one: one[0]
    ),
    st.booleans(),
)
def test_n_valid_lines_are_exactly_n_tasks(values: list[tuple[str, int]], raw: bool) -> None:
    """Whatever their texts hold, written with escapes or as they are; and another strict reader agrees."""
    lines = [{"kind": "docops", "goal": goal, "priority": priority} for goal, priority in values]
    data = b"\n".join(json.dumps(line, ensure_ascii=not raw).encode() for line in lines)
    tasks, problems = read(data)
    assert problems == () and len(tasks) == len(lines)
    assert [task.goal for task in tasks] == [value["goal"] for value in strict(data)]


PIECES = st.sampled_from(
    [GOOD, b"\n", b"\r", b"\r\n",
     b" ", b"\xef\xbb\xbf", b"\x00", b"NaN", b"1e400", b'"', b"{", b"}", b"[", b",", b":", b"true",
     b'"goal"', b'"kind"', b'"id":"a",', b"\xe2\x80\xa8", b"\xc2\x85", b"\\ud800", *SMUGGLED.values()]
)  # fmt: skip


@settings(max_examples=max(300, settings().max_examples))
@given(st.one_of(st.binary(max_size=200), st.lists(PIECES, max_size=8).map(b"".join)))
def test_nothing_is_taken_that_a_strict_reader_refuses(data: bytes) -> None:
    """A file without problems is one that another strict reader takes whole, task by task."""
    tasks, problems = read(data)
    if not problems:
        values = strict(data)
        assert len(values) == len(tasks)
        assert [task.goal for task in tasks] == [value["goal"] for value in values]


def stored(root: Path) -> Iterator[str]:
    """Yield the keys of the tasks that the store knows."""

    async def look() -> list[str]:
        async with open_project_store(load_project(root), write=False) as store:
            return [record.key for record in await store.tasks()]

    yield from asyncio.run(look())


def test_a_batch_that_comes_again_is_no_second_task(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same file, the same lines in another file, the frozen files copied back: the tasks stay what they were."""
    assert enqueue(root, GOOD) == 0
    known = list(stored(root))
    frozen = {path.name: path.read_bytes() for path in (root / "queue").iterdir()}
    assert len(known) == 1
    assert enqueue(root, GOOD) == 0
    assert enqueue(root, b"\n" + json.dumps(json.loads(GOOD), indent=None).encode() + b"\n\n") == 0
    for name, data in frozen.items():
        (root / "queue" / name).write_bytes(data)
    assert enqueue(root, GOOD) == 0
    assert list(stored(root)) == known
    assert "already" in capsys.readouterr().err
    assert enqueue(root, GOOD, "--label", "again") == 0
    assert len(list(stored(root))) == 2, "the control: a deliberate second time is one"


def test_an_id_with_other_content_is_refused_once_and_named(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same id twice in a file; in another batch it is another task with a key of its own."""
    line = b'{"id":"a","kind":"docops","goal":"one"}'
    assert enqueue(root, line + b"\n" + line.replace(b"one", b"two")) == 2
    assert capsys.readouterr().err.count("id: ") == 1
    assert enqueue(root, line) == 0
    assert enqueue(root, line.replace(b"one", b"two")) == 0
    keys = list(stored(root))
    assert len(set(keys)) == 2 and {key.rpartition("/")[2] for key in keys} == {"a"}


def test_a_line_put_into_a_frozen_batch_is_refused_by_name(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A single line replayed into, or changed in, a signed file: the next enqueue names the file."""
    assert enqueue(root, GOOD) == 0
    (batch,) = (root / "queue").glob("*.jsonl")
    batch.write_bytes(batch.read_bytes() + batch.read_bytes())
    capsys.readouterr()
    assert enqueue(root, GOOD) == 3
    assert batch.name.removesuffix(".jsonl") in capsys.readouterr().err
