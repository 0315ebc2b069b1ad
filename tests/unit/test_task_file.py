"""Every fault of a task file has one defined answer, names its line and field, and hides no other."""

import json
from typing import Any

import pytest

from pantheon.core.task import Task
from pantheon.core.taskfile import MAX_LINE_BYTES, MAX_PROBLEMS, TaskFileReader


def line(**fields: Any) -> bytes:
    return json.dumps({"kind": "docops", "goal": "g", **fields}, ensure_ascii=False).encode()


def problems(*lines: bytes | None) -> list[str]:
    reader = TaskFileReader("f.jsonl")
    for one in lines:
        if one is None:
            reader.skip_long()
        else:
            reader.feed(one)
    return [text.removeprefix("f.jsonl:") for text in reader.finish()]


LINES: dict[str, tuple[bytes, list[str]]] = {
    "good": (line(), []),
    "only what is required": (b'{"flow":"f","goal":"g"}', []),
    "not UTF-8": (b'{"kind":"a","goal":"\xff"}', ["1: line: not UTF-8 at byte 21"]),
    "an overlong encoding": (b'{"kind":"a","goal":"\xc0\xaf"}', ["1: line: not UTF-8 at byte 21"]),
    "a raw surrogate": (b'{"kind":"a","goal":"\xed\xa0\x80"}', ["1: line: not UTF-8 at byte 21"]),
    "UTF-16": (line().decode().encode("utf-16"), ["1: line: UTF-16, not UTF-8"]),
    "a byte order mark": (b"\xef\xbb\xbf" + line(), ["1: line: starts with a byte order mark"]),
    "a carriage return": (line() + b"\r", ["1: line: ends in a carriage return"]),
    "a NUL": (b"\x00", ["1: line: not JSON"]),
    "not JSON": (b"{'kind': 1}", ["1: line: not JSON"]),
    "a comma too many": (b'{"kind":"a","goal":"g",}', ["1: line: not JSON"]),
    "a comment": (b"# tasks", ["1: line: not JSON"]),
    "two values": (line() + line(), ["1: line: not JSON"]),
    "a list": (b"[]", ["1: line: a task is a JSON object"]),
    "null": (b"null", ["1: line: a task is a JSON object"]),
    "nested without end": (b"[" * 100_000, ["1: line: not JSON: nested deeper"]),
    "nested in inputs": (line(inputs=json.loads("[" * 60 + "]" * 60)), ["1: inputs: "]),
    "deep inside inputs": (
        b'{"kind":"a","goal":"g","inputs":{"x":' + b'{"y":' * 70 + b"1" + b"}" * 72,
        ["1: line: not JSON: nested deeper"],
    ),
    "brackets in a string": (line(goal="[" * 200 + '\\"{'), []),
    "a key twice": (b'{"kind":"a","goal":"g","goal":"h"}', ["1: goal: stands twice"]),
    "a key twice, written otherwise": (b'{"kind":"a","goal":"g","go\\u0061l":"h"}', ["1: goal: stands twice"]),
    "a key twice inside": (b'{"kind":"a","goal":"g","inputs":{"a":{"b":1,"b":1}}}', ["1: inputs.a.b: stands twice"]),
    "NaN": (b'{"kind":"a","goal":"g","inputs":{"x":NaN}}', ["1: inputs.x: NaN is not JSON"]),
    "Infinity": (b'{"kind":"a","goal":"g","inputs":{"x":[-Infinity]}}', ["1: inputs.x.0: -Infinity is not JSON"]),
    "1e400": (b'{"kind":"a","goal":"g","inputs":{"x":1e400}}', ["1: inputs.x: 1e400 is beyond"]),
    "2^53": (b'{"kind":"a","goal":"g","inputs":{"x":9007199254740992}}', ["1: inputs.x: 9007199254740992 is beyond"]),
    "1e16": (b'{"kind":"a","goal":"g","inputs":{"x":1e16}}', ["1: inputs.x: 1e16 is beyond 2^53"]),
    "2^53 - 1": (line(inputs={"x": 9007199254740991}), []),
    "a million digits": (b'{"kind":"a","goal":"g","priority":' + b"9" * 1_000_000 + b"}", ["1: priority: 9999"]),
    "half a surrogate pair": (b'{"kind":"a","goal":"\\ud800"}', ["1: goal: half of a surrogate"]),
    "half a surrogate pair in a key": (b'{"kind":"a","goal":"g","inputs":{"\\udfff":1}}', ["1: inputs.\\udfff: half"]),
    "a whole surrogate pair": (b'{"kind":"a","goal":"\\ud83d\\ude00"}', []),
    "line separators in the inputs": (line(inputs={"x": "a\u2028b\u2029c\u0085d"}), []),
    "line separators in the goal": (line(goal="a\u2028b"), ["1: goal: U+2028 at character 2"]),
    "goal of blanks": (line(goal=" \t\n\u3000 "), ["1: goal: nothing but blanks"]),
    "goal with a NUL": (line(goal="a\x00"), ["1: goal: U+0000"]),
    "goal of two lines": (line(goal="one\n\ttwo"), []),
    "goal with an emoji": (line(goal="mind the \u26a0\ufe0f signs"), []),
    "goal in tags": (line(goal="good\U000e0041\U000e0042"), ["1: goal: U+E0041"]),
    "accept turned round": (line(accept=["a", "b\u202e"]), ["1: accept.1: U+202E"]),
    "accept of blanks": (line(accept=["  "]), ["1: accept.0: nothing but blanks"]),
    "package upwards": (line(package="../../x"), ["1: package: "]),
    "package absolute": (line(package="/etc"), ["1: package: "]),
    "package with an escape sequence": (line(package="a\x1b[2J"), ["1: package: "]),
    "package turned round": (line(package="a\u202eb"), ["1: package: U+202E"]),
    "package of a blank": (line(package=" "), ["1: package: nothing but blanks"]),
    "package below another": (line(package="apps/web"), []),
    "target turned round": (line(targets=["a", "x\u202eb.md"]), ["1: targets.1: U+202E"]),
    "target with a filler": (line(targets=["x\u3164.md"]), ["1: targets.0: U+3164"]),
    "wrong kind and hidden goal": (line(kind="A", goal="\u200b"), ["1: kind: ", "1: goal: U+200B"]),
    "unknown field": (line(gaol="x"), ["1: gaol: unknown field"]),
    "unknown field inside": (line(budget={"steps": 1}), ["1: budget.steps: unknown field"]),
    "nothing at all": (b"{}", ["1: goal: "]),
    "neither kind nor flow": (b'{"goal":"g"}', ["1: kind: missing"]),
    "goal empty": (line(goal=""), ["1: goal: "]),
    "goal a number": (line(goal=1), ["1: goal: "]),
    "a boolean as a number": (line(priority=True), ["1: priority: "]),
    "a boolean in the budget": (line(budget={"max_steps": True}), ["1: budget.max_steps: "]),
    "a text as a number": (line(budget={"timeout_s": "5"}), ["1: budget.timeout_s: "]),
    "a fraction as a number": (line(budget={"max_tokens": 99.0}), ["1: budget.max_tokens: "]),
    "a limit below its floor": (line(budget={"max_steps": 0}), ["1: budget.max_steps: "]),
    "a number as a text": (line(package=5), ["1: package: "]),
    "null for a default": (line(priority=None), ["1: priority: "]),
    "id with a slash": (line(id="a/b"), ["1: id: "]),
    "id with a newline at its end": (line(id="a\n"), ["1: id: "]),
    "id null": (line(id=None), ["1: id: "]),
    "id with an escape sequence": (line(id="\x1b[2J"), ["1: id: "]),
    "target upwards": (line(targets=["a/../../b"]), ["1: targets.0: "]),
    "target absolute": (line(targets=["a", "/etc/passwd"]), ["1: targets.1: "]),
    "target at home": (line(targets=["~root/x"]), ["1: targets.0: "]),
    "target with a NUL": (line(targets=["a\x00b"]), ["1: targets.0: "]),
    "target with a newline": (line(targets=["a\nb"]), ["1: targets.0: "]),
    "target with a backslash": (line(targets=["a\\b"]), ["1: targets.0: "]),
    "target in git's folder": (line(targets=["x/.GIT/config"]), ["1: targets.0: "]),
    "target empty": (line(targets=[""]), ["1: targets.0: "]),
    "target too long": (line(targets=["a" * 2000]), ["1: targets.0: "]),
    "target a number": (line(targets=[1]), ["1: targets.0: "]),
    "targets a text": (line(targets="docs"), ["1: targets: "]),
    "too many targets": (line(targets=["a"] * 65), ["1: targets: "]),
    "needs a text": (line(needs="a"), ["1: needs: "]),
    "needs what is no id": (line(needs=["a b"]), ["1: needs.0: "]),
    "needs what is not there": (line(id="a", needs=["b"]), ["1: needs.0: no task of this file has the id 'b'"]),
    "needs itself": (line(id="a", needs=["a"]), ["1: needs.0: the tasks need each other in a circle: a -> a"]),
    "inputs a list": (line(inputs=[]), ["1: inputs: "]),
    "accept empty": (line(accept=[""]), ["1: accept.0: "]),
    "too long": (b'"' + b"x" * MAX_LINE_BYTES + b'"', [f"1: line: longer than {MAX_LINE_BYTES} bytes"]),
}  # fmt: skip


@pytest.mark.parametrize("case", LINES)
def test_a_line_has_its_answer(case: str) -> None:
    """Exactly the expected problems, with line and field."""
    data, expected = LINES[case]
    found = problems(data)
    assert len(found) == len(expected), found
    for text, start in zip(found, expected, strict=True):
        assert text.startswith(start), text


def test_blank_lines_are_skipped_and_counted() -> None:
    """Spaces and tabs alone are no task and no problem; the numbers of other lines stay right."""
    assert problems(b"", b" \t", b"{", b"") == [
        "3: line: not JSON: " + problems(b"{")[0].split("not JSON: ")[1]
    ]


@pytest.mark.parametrize("lines", [(), (b"",), (b" ", b"\t")])
def test_a_file_without_a_task_is_refused(lines: tuple[bytes, ...]) -> None:
    """An empty file is a mistake, not a batch of nothing."""
    assert problems(*lines) == ["1: line: the file holds no task"]


def test_a_line_that_was_dropped_while_reading_is_named() -> None:
    """What was too long to hold is reported by its number."""
    assert problems(line(), None, line(id="b")) == [f"2: line: longer than {MAX_LINE_BYTES} bytes"]


def test_a_file_with_carriage_returns_is_told_once_and_read_on() -> None:
    """One cause is one problem, and the faults behind it are found in the same pass."""
    found = problems(line(id="a") + b"\r", line(id="b") + b"\r", line(id="c", kind=1) + b"\r", b"\r")
    assert len(found) == 2
    assert found[0].startswith("1: line: ends in a carriage return, and 3 more lines do; convert")
    assert found[1].startswith("3: kind: ")


def test_a_byte_order_mark_in_the_middle_is_just_not_json() -> None:
    """Only the first line can start with one."""
    assert problems(line(), b"\xef\xbb\xbf" + line(id="b"))[0].startswith("2: line: not JSON")


def test_ids_stand_once() -> None:
    """The second of two equal ids is named with the line of the first, also when a line has other faults."""
    assert problems(line(id="a"), line(id="a", goal="h")) == ["2: id: 'a' is already the id of line 1"]
    found = problems(line(id="a", kind=1), line(id="a"))
    assert [text for text in found if "id: " in text] == ["2: id: 'a' is already the id of line 1"]


def test_the_same_line_twice_is_the_same_task() -> None:
    """Without an id of its own a task is named after its content, however that was written down."""
    found = problems(b'{"kind":"a","goal":"g"}', b'{ "goal": "g", "kind": "a" }')
    assert len(found) == 1
    assert "is already the id of line 1" in found[0]


def test_whoever_needs_a_wrong_line_is_not_wrong_as_well() -> None:
    """One mistake is one problem."""
    found = problems(line(id="a", kind=1), line(id="b", needs=["a"]))
    assert len(found) == 1


def test_a_circle_is_printed_with_its_line() -> None:
    """From the first line of the circle around to it again, in the order of the needs."""
    found = problems(
        line(id="x"),
        line(id="a", needs=["x", "b"]),
        line(id="c", needs=["a"]),
        line(id="b", needs=["c"]),
    )
    assert found == ["2: needs.1: the tasks need each other in a circle: a -> b -> c -> a"]


def test_all_circles_are_found_beside_all_other_problems() -> None:
    """One pass over the file tells everything."""
    found = problems(
        line(id="a", needs=["b"]),
        line(id="b", needs=["a"]),
        line(id="c", needs=["c", "nobody"]),
        b"{",
        line(id="d", goal=""),
    )
    assert [text.split(":")[0] for text in found] == ["1", "3", "3", "4", "5"]


def test_a_chain_of_a_hundred_thousand_is_no_circle() -> None:
    """Long chains cost neither recursion nor square time; closing one is found and printed shortly."""
    reader = TaskFileReader("f")
    for number in range(100_000):
        reader.feed(b'{"id":"%d","kind":"k","goal":"g","needs":["%d"]}' % (number, (number + 1) % 100_000))
    (found,) = reader.finish()
    assert found.startswith("f:1: needs.0: the tasks need each other in a circle: 0 -> 1 -> ")
    assert len(found) < 500


def test_the_number_of_problems_kept_is_bounded() -> None:
    """A file that is wrong everywhere fills neither memory nor the screen."""
    found = problems(*[b"{"] * 5_000)
    assert len(found) == MAX_PROBLEMS + 1
    assert found[-1] == f" and {5_000 - MAX_PROBLEMS} more"


def test_one_line_with_a_hundred_thousand_doubled_keys_is_answered_quickly() -> None:
    """The work for one hostile line is linear in its length."""
    data = b"{" + b",".join(b'"%d":1,"%d":2' % (number, number) for number in range(40_000)) + b"}"
    found = problems(data)
    assert found[0] == "1: 0: stands twice in one object"


def test_a_string_without_an_end_is_answered_quickly() -> None:
    """Half a million escaped quotes cost one pass."""
    assert problems(b"[" * 65 + b'"' + b'\\"' * 500_000)[0].startswith("1: line: not JSON")


def test_problems_cannot_act_on_a_terminal() -> None:
    """What a file holds is written out, on one line each."""
    found = problems(line(**{"a\nb\x1b[2J\u202e": 1}))
    assert found == ["1: a\\u000ab\\u001b[2J\\u202e: unknown field"]


def test_a_task_survives_its_canonical_line() -> None:
    """Frozen lines are read back as the same task, and freeze to the same bytes."""
    task = Task.model_validate({"kind": "docops", "goal": "g\u2028", "inputs": {"b": 1.5, "a": [None]}})
    again = Task.model_validate_json(task.canonical_line())
    assert again == task
    assert again.canonical_line() == task.canonical_line()
    assert b"\n" not in task.canonical_line()


def test_levels_count_the_tasks_of_each() -> None:
    """Level 0 needs nothing; every other is one above the highest it needs."""
    reader = TaskFileReader("f")
    for one in (line(id="a"), line(id="b", needs=["a"]), line(id="c", needs=["a", "b"]), line(id="d")):
        reader.feed(one)
    assert reader.finish() == ()
    assert reader.levels == (2, 1, 1)
