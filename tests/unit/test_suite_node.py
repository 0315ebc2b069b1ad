"""The test node: which runs it makes, what it keeps, and what becomes of suites that break off."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from pantheon.core.flow import Flow
from pantheon.core.gate import Change
from pantheon.core.policy import GatePolicy, NightPolicy
from pantheon.core.records import AttemptOutcome
from pantheon.core.sandbox import KillReason, SandboxKind, SandboxLimits, SandboxResult
from pantheon.core.suite import SuitePolicy
from pantheon.core.task import Task
from pantheon.engine.evidence import Evidence
from pantheon.engine.results import NodeResult
from pantheon.engine.services import Content, NightContext, NodeContext, Services
from pantheon.engine.suite_runner import SuiteRunner
from pantheon.engine.test_run import against_tests, run_tests
from pantheon.testing.artifacts import FakeArtifacts, FakeSink
from pantheon.testing.clock import FakeClock
from pantheon.testing.model import FakeModel, Spoken
from pantheon.testing.repository import FakeRepository
from pantheon.testing.signing import FakeSigner, inline_ledger
from pantheon.testing.store import FakeStore
from pantheon.tools.registry import Registry

FLOW = Flow.model_validate({"name": "f", "accepts": ["f"], "node": [{"id": "tests", "gate": "test"}]})
KILLED = SandboxResult(returncode=137, stdout=b"so far", killed=KillReason.DEADLINE, duration_s=1)


def tap(**tests: bool) -> SandboxResult:
    """A suite that said this."""
    lines = [
        f"{'ok' if passed else 'not ok'} {n} - {name}" for n, (name, passed) in enumerate(tests.items(), 1)
    ]
    text = "\n".join([f"1..{len(lines)}", *lines])
    return SandboxResult(returncode=int(not all(tests.values())), stdout=text.encode(), duration_s=1)


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


class KeptInMemory:
    """``ports.base_runs.BaseRuns`` in memory."""

    def __init__(self) -> None:
        self.found: dict[str, bytes] = {}

    async def get(self, key: str) -> bytes | None:
        return self.found.get(key)

    async def put(self, key: str, data: bytes) -> None:
        self.found[key] = data


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
        self.context = NodeContext(
            night=NightContext(id="n", branch="b", base_commit=self.base, owner="test", lease_s=60.0),
            task_key="b/t",
            task=Task.model_validate({"id": "t", "kind": "f", "goal": "g", "inputs": inputs}),
            flow=FLOW,
            node=FLOW.node[0],
            attempt=1,
            base_commit=self.base,
            input_commit=self.head,
            upstream={},
        )
        services = Services(
            store=FakeStore(FakeClock()),
            repository=self.repository,
            artifacts=FakeArtifacts(),
            signer=FakeSigner(),
            open_ledger=inline_ledger("n", self.base, ("peer",)),
            clock=FakeClock(),
            model=FakeModel(lambda _: Spoken("{}")),
            tools=Registry(()),
            content=Content(
                agents={},
                flows={},
                gate_policy=GatePolicy(tests=suite),
                night_policy=NightPolicy(),
                digests={},
            ),
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
