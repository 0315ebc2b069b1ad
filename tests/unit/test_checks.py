"""The checks of a change count what was changed, and look at each path by itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pantheon.core.flow import Flow
from pantheon.core.gate import CheckReport
from pantheon.core.operation import Operation, operation_message
from pantheon.core.policy import GatePolicy
from pantheon.engine.checks import ALWAYS, CHECKS, demanded_checks, run_checks
from pantheon.ports.worktree import ChangedPath
from pantheon.testing.one_node import only_node, services_around
from pantheon.testing.repository import FakeRepository
from pantheon.tools.notes import NOTE_TOOLS
from pantheon.tools.registry import Registry

RENAME = Operation(tool="rename_note", args={"path": "a.md", "new_name": "b.md"}, changed=("a.md", "b.md"))


class Modes(FakeRepository):
    """A repository whose changed paths have the modes that a test wants."""

    def __init__(self, *paths: ChangedPath) -> None:
        super().__init__({"a.md": b"a\n"})
        self.paths = paths

    async def changed_paths(self, base: str, head: str) -> tuple[ChangedPath, ...]:
        return self.paths


async def check(name: str, repository: FakeRepository, head: str, **policy: object) -> CheckReport:
    """Run one check on the change from the first commit to ``head``."""
    flow = Flow.model_validate(
        {
            "name": "f",
            "accepts": ["f"],
            "node": [{"id": "checks", "gate": "check", "args": {"checks": [name]}}],
        }
    )
    policies = GatePolicy.model_validate(policy)
    services = services_around(repository, gate_policy=policies, tools=Registry(NOTE_TOOLS))
    context = only_node(flow, base=repository.head, head=head, targets=("a.md",))
    return await run_checks(services, context, base=repository.head, head=head)


def failures_of(name: str, report: CheckReport) -> tuple[str, ...]:
    """Return what one check has against the change."""
    return tuple(one for one in report.failures if one.startswith(f"{name}: "))


@pytest.mark.parametrize(
    ("paths", "culprit"),
    [
        ((ChangedPath("M", "a.md", "100755", "100755"),), ""),
        ((ChangedPath("M", "a.md", "100644", "100755"),), "a.md"),
        ((ChangedPath("D", "a.md", "100755", "000000"), ChangedPath("A", "b.md", "000000", "100755")), ""),
        (
            (ChangedPath("D", "a.md", "100644", "000000"), ChangedPath("A", "b.md", "000000", "100755")),
            "b.md",
        ),
        (
            (ChangedPath("M", "a.md", "100755", "100755"), ChangedPath("A", "c.md", "000000", "100755")),
            "c.md",
        ),
        (
            (
                ChangedPath("D", "a.md", "100755", "000000"),
                ChangedPath("A", "b.md", "000000", "100755"),
                ChangedPath("M", "c.md", "100644", "100755"),
            ),
            "c.md",
        ),
    ],
    ids=["stays", "made", "renamed", "renamed-and-made", "beside-another", "beside-a-rename"],
)
async def test_executable_stays_only_what_was(paths: tuple[ChangedPath, ...], culprit: str) -> None:
    """A file may be executable where it was, under its old or new name; no other file lends it that."""
    repository = Modes(*paths)
    renamed = [RENAME] if any(path.path == "b.md" for path in paths) else []
    touched = Operation(tool="t", args={}, changed=tuple(path.path for path in paths))
    head = repository.add(
        dict.fromkeys((path.path for path in paths), b"x\n"),
        (repository.head,),
        operation_message("change", [*renamed, touched]),
    )
    expected = (f"kinds: {culprit}: was made executable",) if culprit else ()
    assert failures_of("kinds", await check("kinds", repository, head)) == expected


MARKS = st.sampled_from(["", "-", "--", "---", "+", "++", "+++", " ", "\\", "@@ -1 +1 @@", "diff --git a b"])


@given(
    removed=st.lists(MARKS, max_size=6), kept=st.lists(MARKS, max_size=6), added=st.lists(MARKS, max_size=6)
)
async def test_every_changed_line_counts(removed: list[str], kept: list[str], added: list[str]) -> None:
    """Lines that look like a diff's own headers are counted as any other."""
    # Numbered, so that nothing removed equals anything added and the shortest diff is known.
    old = [
        *(f"{mark} r{n}\n" for n, mark in enumerate(removed)),
        *(f"{mark} k{n}\n" for n, mark in enumerate(kept)),
    ]
    new = [*(f"{mark} a{n}\n" for n, mark in enumerate(added)), *old[len(removed) :]]
    repository = FakeRepository({"a.md": "".join(old).encode(), "b.md": b"-- x\n"})
    head = repository.add({"a.md": "".join(new).encode(), "b.md": b"++ x\n"}, (repository.head,), "change\n")
    count = len(removed) + len(added) + 2
    assert not failures_of("size", await check("size", repository, head, max_changed_lines=count))
    over = await check("size", repository, head, max_changed_lines=count - 1)
    (told,) = failures_of("size", over)
    assert told.startswith(f"size: {count} lines, more than {count - 1}, most in ")


@pytest.mark.parametrize(
    ("name", "path", "before", "after"),
    [
        ("parses", "a.json", b"{}", b"{"),
        ("tests_kept", "tests/test_a.py", b"def test_a():\n    assert f()\n", b"def test_a():\n    pass\n"),
        ("tests_kept", "tests/test_a.py", b"def test_a():\n    assert f()\n", None),
        ("licence", "a.txt", b"SPDX-License-Identifier: MIT\nx\n", b"x\n"),
        ("generated", "package-lock.json", b"{}", b'{"a": 1}'),
        ("secrets", "b.py", b"x = 1\n", b"x = 1\npassword = " + b"'hunter2xyz'\n"),
    ],
)
async def test_every_flow_looks_at_each_file(
    name: str, path: str, before: bytes, after: bytes | None
) -> None:
    """A flow that names one other check has these as well, and each names the file."""
    repository = FakeRepository({path: before, "a.md": b"a\n"})
    files = {"a.md": b"a\n", **({} if after is None else {path: after})}
    report = await check("size", repository, repository.add(files, (repository.head,), "change\n"))
    assert any(failure.startswith(f"{name}: {path}: ") for failure in report.failures), report.failures
    honest = await check("size", repository, repository.add({path: before}, (repository.head,), "change\n"))
    assert not any(failure.startswith(f"{name}: ") for failure in honest.failures)


async def test_a_file_of_tests_is_not_renamed_away() -> None:
    """Under a name that no runner looks for, its tests are as good as deleted."""
    repository = FakeRepository({"a.md": b"x\n"})
    policy = {"tests": {"command": ["t"], "report": "tap", "files": ["a.md"]}}
    head = repository.add({"b.md": b"x\n"}, (repository.head,), operation_message("change", [RENAME]))
    report = await check("tests_kept", repository, head, **policy)
    assert "tests_kept: a.md: is no file of tests as b.md" in report.failures
    assert not [one for one in (await check("tests_kept", repository, head)).failures if "tests_kept" in one]


BIG = b"".join(b"line %d\n" % n for n in range(50))
NOTE = b"# A note\n\nSee [b](b.md).\n"


@pytest.mark.parametrize(
    ("name", "before", "after", "changed", "told"),
    [
        ("scope", {"b.md": b"x\n"}, {"b.md": b"y\n"}, ["b.md"], "b.md: more than links to renamed notes was changed"),
        ("scope", {}, {"c.md": b"y\n"}, ["c.md"], "c.md: outside the task's targets"),
        ("scope", {"b.md": b"x\n"}, {"b.md": None}, ["b.md"], "b.md: outside the task's targets"),
        ("scope", {}, {"a.md": None}, ["a.md"], "a.md: a target was deleted, which no tool may"),
        ("scope", {}, {"a.md": b"y\n"}, [], "a.md: was changed, but by no tool that may"),
        ("kinds", {}, {"a.md": b"x\ny\0\n"}, ["a.md"], "a.md: line 2: binary content"),
        ("kinds", {}, {"a.md": b"x\ny\xff\n"}, ["a.md"], "a.md: line 2: binary content, not UTF-8"),
        ("size", {}, {}, [], "nothing was changed"),
        ("size", {}, {"a.md": BIG}, ["a.md"], "51 lines, more than 40, most in a.md"),
        ("secrets", {}, {"a.md": b"x\npassword = " + b"'hunter2xyz'\n"}, ["a.md"], "a.md: line 2 seems to"),
        ("protected", {}, {"Makefile": b"x\n"}, ["Makefile"], "Makefile: protected by policies/gate.toml"),
        ("visible", {}, {"a.md": "x\ny\u200b\n".encode()}, ["a.md"], "a.md: line 2: adds the invisible"),
        ("visible", {}, {"a.md": "x\np\u0430y\n".encode()}, ["a.md"], "a.md: line 2: adds a word of letters from two"),
        ("visible", {}, {"c\u202e.md": b"x\n"}, ["c"], "c"),
        ("generated", {"uv.lock": b"x\n"}, {"uv.lock": b"y\n"}, ["uv.lock"], "uv.lock: its name is that of"),
        ("generated", {}, {"a.md": b"x\n// @generated\n"}, ["a.md"], ""),
        ("parses", {"b.json": b"{}"}, {"b.json": b"{\n"}, ["b.json"], "b.json: line 2: does not parse"),
        ("links", {"a.md": NOTE, "b.md": b"b\n"}, {"a.md": NOTE.replace(b"b.md", b"c.md")},
         ["a.md"], "a.md: line 3: 'c.md' leads nowhere now"),
        ("licence", {"a.md": b"x\nSPDX-License-Identifier: MIT\n"}, {"a.md": b"x\n"},
         ["a.md"], "a.md: line 2 before: the licence header lost"),
        ("tests_kept", {"tests/a.py": b"def test_a():\n    assert f()\n"}, {"tests/a.py": None},
         ["tests/a.py"], "tests/a.py: a file of tests was deleted"),
    ],
)  # fmt: skip
async def test_each_check_refuses_with_file_and_line(
    name: str,
    before: dict[str, bytes],
    after: dict[str, bytes | None],
    changed: list[str],
    told: str,
) -> None:
    """In a flow that does not name it, each check says what is wrong and where; the same files unchanged pass it."""
    old = {"a.md": b"a\n", **before}
    new = {path: data for path, data in {**old, **after}.items() if data is not None}
    repository = FakeRepository(old)
    operation = Operation(tool="t", args={}, changed=tuple(changed))
    head = repository.add(new, (repository.head,), operation_message("change", [operation]))
    report = await check("front_matter", repository, head, max_changed_lines=40)
    found = failures_of(name, report)
    if told:
        assert found and found[0].startswith(f"{name}: {told}"), report.failures
    else:
        assert not found
    same = repository.add(old, (repository.head,), "change\n")
    if name != "size":
        assert not failures_of(name, await check("front_matter", repository, same, max_changed_lines=40))


@pytest.mark.parametrize("hold", [[], ["protected"]])
async def test_a_policy_may_hold_for_a_person(hold: list[str]) -> None:
    """What the policy names holds; the change is as little passed as it was, and other refusals deny as before."""
    repository = FakeRepository({"a.md": b"a\n"})
    files = {"a.md": b"a\n", "Makefile": b"x\n"}
    report = await check("size", repository, repository.add(files, (repository.head,), "change\n"), hold=hold)
    (found,) = [one for one in report.checks if one.name == "protected"]
    assert (found.passed, found.hold) == (False, bool(hold))
    assert [one.name for one in report.checks if one.hold] == hold
    assert any(one.startswith("protected: ") for one in report.denials) is not bool(hold)
    assert any(one.startswith("scope: ") for one in report.denials)


@pytest.mark.parametrize("name", ["secrets", "scope", "visible", "parses", "kinds", "links", "nothing"])
def test_what_must_deny_cannot_be_held(name: str) -> None:
    """The policy can put only a few checks before a person."""
    with pytest.raises(ValidationError, match="hold"):
        GatePolicy.model_validate({"hold": [name]})


def test_no_flow_does_without_the_checks() -> None:
    """What cannot be outvoted is demanded of each flow that checks at all; a flow only adds."""
    node = {"id": "checks", "gate": "check", "args": {"checks": ["body"]}}
    flow = Flow.model_validate({"name": "f", "accepts": ["f"], "node": [node]})
    assert demanded_checks(flow) == ("body", *ALWAYS)
    assert set(ALWAYS) < set(CHECKS)
