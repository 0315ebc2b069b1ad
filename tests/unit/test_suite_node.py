"""The test node: which runs it makes, what it keeps, and what becomes of suites that break off."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from pantheon.core.flow import Flow
from pantheon.core.gate import Change
from pantheon.core.policy import GatePolicy
from pantheon.core.records import AttemptOutcome
from pantheon.core.sandbox import KillReason, SandboxKind, SandboxLimits, SandboxResult
from pantheon.core.suite import SuitePolicy
from pantheon.engine.evidence import Evidence
from pantheon.engine.results import NodeResult
from pantheon.engine.services import NodeContext
from pantheon.engine.suite_runner import SuiteRunner
from pantheon.engine.test_run import against_tests, run_tests
from pantheon.testing.artifacts import FakeSink
from pantheon.testing.one_node import only_node, services_around
from pantheon.testing.repository import FakeRepository
from pantheon.testing.signing import inline_ledger
from pantheon.testing.suites import KeptInMemory, tap

FLOW = Flow.model_validate({"name": "f", "accepts": ["f"], "node": [{"id": "tests", "gate": "test"}]})
KILLED = SandboxResult(returncode=137, stdout=b"so far", killed=KillReason.DEADLINE, duration_s=1)


class SaidSandbox:
    """Answers each run with the next result, and remembers where it ran."""

    kind = SandboxKind.NONE

    def __init__(self, *results: SandboxResult) -> None:
        self.results = list(results)
        self.ran: list[str] = []

    async def run(
        self, argv: Sequence[str], tree: Path, limits: SandboxLimits, *, env: Mapping[str, str] | None = None
    ) -> SandboxResult:
        self.ran.append(tree.name)
        return self.results.pop(0)


class Setting:
    """A change of one file, and a suite that says what a test wants."""

    def __init__(self, *results: SandboxResult, path: str = "a.py", kept: KeptInMemory | None = None) -> None:
        self.repository = FakeRepository({path: b"old\n"})
        self.base = self.repository.head
        self.head = self.repository.add({path: b"new\n"}, (self.base,), "change\n")
        self.sandbox = SaidSandbox(*results)
        self.kept = kept or KeptInMemory()
        self.sink = FakeSink("attempt")

    async def run(self, policy: SuitePolicy | None = None, **inputs: object) -> NodeResult:
        suite = policy or SuitePolicy(command=("t",), report="tap")
        self.context = only_node(FLOW, base=self.base, head=self.head, inputs=inputs)
        services = services_around(
            self.repository,
            gate_policy=GatePolicy(tests=suite),
            open_ledger=inline_ledger("n", self.base, ("peer",)),
            suites=SuiteRunner(self.repository, self.sandbox, "0" * 64, self.kept),
        )
        return await run_tests(services, self.context, Evidence(self.sink))


async def test_the_base_is_run_once_for_all_changes() -> None:
    """A second change finds the base's report kept; another sandbox, or garbage in its place, does not."""
    first = Setting(tap(a=True), tap(a=True))
    assert (await first.run()).outcome is AttemptOutcome.SUCCEEDED
    second = Setting(tap(a=True), kept=first.kept)
    assert (await second.run()).outcome is AttemptOutcome.SUCCEEDED
    assert second.sandbox.ran == [second.head]
    first.kept.found = dict.fromkeys(first.kept.found, b'{"key": "other", "runs": []}')
    third = Setting(tap(a=True), tap(a=True), kept=first.kept)
    assert (await third.run()).outcome is AttemptOutcome.SUCCEEDED
    assert third.sandbox.ran == [third.head, third.base]


async def test_a_new_test_must_fail_on_the_old_code() -> None:
    """Where the change brings test files, they are run on the base's code as well."""
    covers = Setting(tap(a=True, b=True), tap(a=True), tap(a=True, b=False), path="test_a.py")
    result = await covers.run()
    assert result.outcome is AttemptOutcome.SUCCEEDED, result.cause
    assert covers.sandbox.ran == [covers.head, covers.base, covers.base]
    idle = Setting(tap(a=True, b=True), tap(a=True), tap(a=True, b=True), path="test_a.py")
    assert "does not fail without it: b" in (await idle.run()).cause
    torn = Setting(tap(a=True, b=True), tap(a=True), KILLED, path="test_a.py")
    assert "does not fail without it: b" in (await torn.run()).cause


@pytest.mark.parametrize(
    ("broken", "covers"),
    [
        ("/work/test_a.py", True),
        ("test_a.py exited with a non-zero exit code: 1", True),
        ("/work/other/test_b.py", False),
        ("xtest_a.py", False),
        ("something else", False),
    ],
)
async def test_a_file_that_breaks_on_the_old_code_fails_for_its_tests(broken: str, covers: bool) -> None:
    """As node and AVA tell it: the file's failure is there, its tests are not; another failure says nothing."""
    crossed = tap(**{"a": True, broken: False})
    setting = Setting(tap(a=True, b=True), tap(a=True), crossed, path="test_a.py")
    result = await setting.run()
    assert (result.outcome is AttemptOutcome.SUCCEEDED) is covers, result.cause
    there = tap(**{"a": True, "b": True, broken: False})
    idle = Setting(tap(a=True, b=True), tap(a=True), there, path="test_a.py")
    assert "does not fail without it: b" in (await idle.run()).cause


@pytest.mark.parametrize("results", [(KILLED,), (tap(a=True), KILLED)])
async def test_a_suite_that_breaks_off_leaves_its_evidence(results: tuple[SandboxResult, ...]) -> None:
    """On the change or on the base: a timed-out attempt with what there is, and nothing kept."""
    setting = Setting(*results)
    result = await setting.run()
    assert result.outcome is AttemptOutcome.TIMED_OUT
    assert "did not end within 600 s" in result.cause
    assert setting.kept.found == {}
    assert {"stdout.log", "test_report.json"} <= set(setting.sink.files)


@pytest.mark.parametrize("covers", ["a", [1], [""], ["a"] * 200])
async def test_claims_must_be_names(covers: object) -> None:
    """What cannot be a list of tests fails before anything runs."""
    setting = Setting()
    assert (await setting.run(covers=covers)).cause.startswith("inputs.covers: ")


async def test_the_decision_demands_the_tests() -> None:
    """No report, garbage, another change and a failed check each speak against a change."""
    setting = Setting(tap(a=False), tap(a=False))
    result = await setting.run()
    change = Change(base=setting.base, head=setting.head, tree=await setting.repository.tree_of(setting.head))

    def against(output: Mapping[str, object] | None) -> tuple[str, ...]:
        upstream = {} if output is None else {"tests": output}
        fields = {**setting.context.__dict__, "upstream": upstream}
        return against_tests(NodeContext(**fields), change)

    good = dict(result.output or {})
    assert against(good) == ()
    assert against(None) and against({}) and against({**good, "checks": []})
    assert against({**good, "head": "other"})
    assert against({**good, "checks": [{"name": "tests", "passed": False, "reason": "x"}]}) == ("tests: x",)
