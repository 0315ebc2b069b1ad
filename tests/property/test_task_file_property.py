"""Whatever a task file holds, the reader answers; and what it lets through is exactly what was meant."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pantheon.adapters.task_input import split_lines
from pantheon.core.canonical import canonical_bytes
from pantheon.core.needs import count_levels, find_circles
from pantheon.core.strict_json import MAX_SAFE_INTEGER, parse_json, scan_json
from pantheon.core.task import Task
from pantheon.core.task_text import unreadable
from pantheon.core.taskfile import TaskFileReader

TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER)
    | st.floats(-float(MAX_SAFE_INTEGER), float(MAX_SAFE_INTEGER))
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
READABLE = TEXT.filter(lambda text: unreadable(text) is None)
PACKAGES = st.from_regex(r"[a-z@][a-z0-9._-]{0,8}(/[a-z]{1,8}){0,2}", fullmatch=True)
TASKS = st.fixed_dictionaries(
    {"kind": st.from_regex(r"[a-z][a-z0-9._-]{0,20}", fullmatch=True), "goal": READABLE},
    optional={
        "package": PACKAGES,
        "targets": st.lists(
            st.from_regex(r"[a-zé漢]{1,8}/[a-z\u00e9 ]{1,8}\.md", fullmatch=True), max_size=3
        ),
        "inputs": st.dictionaries(TEXT, VALUES, max_size=4),
        "priority": st.integers(-1000, 1000),
        "accept": st.lists(READABLE, max_size=3),
        "budget": st.fixed_dictionaries({}, optional={"max_steps": st.integers(1, 100)}),
    },
)


@given(st.lists(TASKS, min_size=1, max_size=8), st.lists(st.sampled_from([b"", b" ", b"\t "]), max_size=3))
def test_n_valid_lines_are_exactly_n_tasks(values: list[dict[str, Any]], blanks: list[bytes]) -> None:
    """No task is lost, invented or changed, whatever characters its texts hold."""
    lines = [
        json.dumps({**value, "id": f"t{number}"}, ensure_ascii=False).encode()
        for number, value in enumerate(values)
    ]
    data = b"\n".join([*blanks, *lines])
    reader = TaskFileReader("f")
    tasks = []
    for line in split_lines(iter([data]), max_line_bytes=1_000_000):
        assert line is not None
        if (task := reader.feed(line)) is not None:
            tasks.append(task)
    assert reader.finish() == ()
    assert [task.id for task in tasks] == [f"t{number}" for number in range(len(values))]
    for task, value in zip(tasks, values, strict=True):
        assert task.goal == value["goal"]
        assert dict(task.inputs) == value.get("inputs", {})


@given(TASKS)
def test_the_frozen_form_is_a_fixed_point(value: dict[str, Any]) -> None:
    """Freezing what was frozen changes no byte, and the task is the same."""
    task = Task.model_validate(value)
    line = task.canonical_line()
    assert line == canonical_bytes(task.model_dump(mode="json"))
    reader = TaskFileReader("f")
    again = reader.feed(line)
    assert again is not None
    assert again.canonical_line() == line
    assert b"\n" not in line


@given(
    st.lists(
        st.binary(max_size=60) | st.sampled_from([b'{"kind":', b'"\\ud800"', b"[[[[", b"1e999", b"\r"]),
        max_size=12,
    )
)
def test_arbitrary_bytes_never_crash(lines: list[bytes]) -> None:
    """Every line is a task, a blank or a problem; problems are single lines of plain text."""
    reader = TaskFileReader("f")
    tasks = [reader.feed(line) for line in lines]
    for problem in reader.finish():
        assert problem.startswith("f:")
        assert "\n" not in problem
        assert "\x1b" not in problem
    if not any(tasks):
        assert reader.problem_count


@given(st.binary(max_size=300), st.integers(1, 40), st.lists(st.integers(1, 30), min_size=1))
def test_lines_do_not_depend_on_how_the_bytes_arrive(data: bytes, limit: int, cuts: list[int]) -> None:
    """Any cutting into chunks gives the same lines, and only what is over the ceiling is dropped."""
    chunks, place, turn = [], 0, 0
    while place < len(data):
        size = cuts[turn % len(cuts)]
        chunks.append(data[place : place + size])
        place, turn = place + size, turn + 1
    pieces = data.split(b"\n")
    if pieces[-1] == b"":
        pieces.pop()
    expected = [piece if len(piece) <= limit else None for piece in pieces]
    assert list(split_lines(iter(chunks), max_line_bytes=limit)) == expected


@given(VALUES)
def test_what_has_a_canonical_form_is_read_back(value: Any) -> None:
    """Strict reading refuses nothing that was written canonically."""
    assert canonical_bytes(parse_json(canonical_bytes(value))) == canonical_bytes(value)


@given(st.text(max_size=80) | st.text('[]{}",:\\u0dD8eE19.-NaInfity \n', max_size=80))
def test_strict_reading_answers_or_refuses(text: str) -> None:
    """Any text gives a value or a ValueError; without an oddity the value can be frozen."""
    try:
        value, oddities = scan_json(text)
    except ValueError:
        return
    if not oddities:
        assert parse_json(canonical_bytes(value)) == value


@given(st.dictionaries(st.integers(0, 9).map(str), st.lists(st.integers(0, 9).map(str), max_size=4)))
def test_circles_are_real_and_none_means_none(needs: dict[str, list[str]]) -> None:
    """Each circle follows needs and closes; without one, the levels are those of a DAG."""
    circles = list(find_circles(needs))
    for circle in circles:
        for task, need in zip(circle, (*circle[1:], circle[0]), strict=True):
            assert need in needs[task]
    if circles:
        return
    known = set(needs) | {need for wanted in needs.values() for need in wanted}
    assert sum(count_levels(needs, len(known))) == len(known)
