"""Test suites that attack whoever runs them: each does its work outside the sandbox first, as the control."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pantheon.adapters.base_runs import BaseRunFolder
from pantheon.adapters.clock import SystemClock
from pantheon.adapters.git.repository import NightRepository
from pantheon.adapters.sandbox.bubblewrap import open_bubblewrap
from pantheon.core.bubblewrap import ReadOnlyBind
from pantheon.core.suite import SuitePolicy
from pantheon.core.test_comparison import compare_suites
from pantheon.core.test_reports import parse_junit
from pantheon.engine.suite_runner import SuiteRun, SuiteRunner
from pantheon.testing.user_repository import git, make_repository

pytestmark = pytest.mark.primitive("bwrap")

PYTHON, SITE = "/usr/bin/python3", "/opt/site-packages"
SITE_HERE = str(Path(pytest.__file__).resolve().parents[1])
GREEN = '<testsuite><testcase classname="t" name="a"/></testsuite>'
RED = '<testsuite failures="1"><testcase classname="t" name="a"><failure/></testcase></testsuite>'


class Suite:
    """A repository whose suite is one script, run outside or by the night's runner."""

    def __init__(self, root: Path, runner: SuiteRunner) -> None:
        self.root = root
        self.runner = runner

    def outside(self, script: str, *args: str) -> subprocess.CompletedProcess[bytes]:
        """Run the script without a sandbox, in a folder beside the repository."""
        free = self.root.parent / "free"
        free.mkdir(exist_ok=True)
        command = [PYTHON, "-c", script, str(free / "report.xml"), *args]
        return subprocess.run(command, cwd=free, capture_output=True, timeout=30, check=False)

    async def inside(self, script: str, *args: str, report: str = "junit", **policy: object) -> SuiteRun:
        """Commit the script and run it as the suite."""
        commit = self.commit({"suite.py": script})
        place = ["{report}"] if report == "junit" else ["-"]
        command = [PYTHON, "suite.py", *place, *args]
        suite = SuitePolicy.model_validate({"command": command, "report": report, "wall_s": 20, **policy})
        return await self.runner.run(suite, commit)

    def commit(self, files: dict[str, str]) -> str:
        for path, text in files.items():
            (self.root / path).write_text(text)
        git(self.root, "add", "-A")
        git(self.root, "commit", "-q", "--allow-empty", "-m", "suite")
        return git(self.root, "rev-parse", "HEAD").strip()


@pytest.fixture
async def suite(tmp_path: Path) -> AsyncIterator[Suite]:
    """A repository with an old report in it."""
    root = make_repository(tmp_path / "user", {"report.xml": GREEN.encode()})
    clock = SystemClock()
    repository = await NightRepository.open(root, tmp_path / "state", trees=2, clock=clock)
    sandbox = open_bubblewrap(clock, reads=(ReadOnlyBind(source=SITE_HERE, target=SITE),))
    yield Suite(root, SuiteRunner(repository, sandbox, "0" * 64, BaseRunFolder(tmp_path / "base_runs")))


def writes(text: str) -> str:
    return f"import os, sys, time\nreport = sys.argv[1]\nopen(report, 'w').write({text!r})\n"


async def test_a_suite_that_kills_its_parent(suite: Suite) -> None:
    """A test that kills the runner has no report, whatever it left; the night's process does not notice."""
    kill = "    os.close(1), os.close(2)\n    os.kill(os.getppid(), 9)\n    time.sleep(5)\n"
    script = writes(GREEN) + "if not os.fork():\n" + kill + "time.sleep(60)\n"
    assert suite.outside(script).returncode == -9
    run = await suite.inside(script)
    assert run.report is None and "killed by signal 9" in run.problem


async def test_a_suite_that_kills_everything(suite: Suite) -> None:
    """A test that signals every process it may reaches its own sandbox, and nothing else."""
    bystander = await asyncio.create_subprocess_exec("sleep", "60")
    try:
        control = await asyncio.create_subprocess_exec("sleep", "60")
        assert suite.outside("import os, sys\nos.kill(int(sys.argv[2]), 9)", str(control.pid)).returncode == 0
        assert await control.wait() == -9
        script = writes(GREEN) + f"os.kill({bystander.pid}, 9)\n"
        run = await suite.inside(script)
        assert run.report is None and b"ProcessLookupError" in run.result.stderr
        await suite.inside("import os\nos.kill(-1, 9)\n")
        assert bystander.returncode is None
    finally:
        bystander.kill()
        await bystander.wait()


async def test_a_suite_that_writes_outside(suite: Suite, tmp_path: Path) -> None:
    """Only the candidate tree can be written, and it is thrown away."""
    script = writes(GREEN) + "open(sys.argv[2], 'w').write('planted')\n"
    places = [
        tmp_path / "planted",
        tmp_path / "base_runs" / f"{'0' * 64}.json",
        Path("/usr/planted-by-a-suite"),
    ]
    assert suite.outside(script, str(places[0])).returncode == 0
    places[0].unlink()
    for place in places:
        run = await suite.inside(script, str(place))
        assert run.report is None and run.result.returncode == 1 and not place.exists()


async def test_a_suite_that_reads_keys(suite: Suite, tmp_path: Path) -> None:
    """The night's keys, and the user's, are not in the sandbox."""
    key = tmp_path / "keys" / "night"
    key.parent.mkdir()
    key.write_text("secret-5f1e")
    script = writes(GREEN) + "print(open(sys.argv[2]).read())\n"
    assert b"secret-5f1e" in suite.outside(script, str(key)).stdout
    run = await suite.inside(script, str(key))
    assert run.report is None and b"secret-5f1e" not in run.result.stdout + run.result.stderr


async def test_a_report_from_before_is_not_read(suite: Suite) -> None:
    """A green report that was committed, under the usual name, is none; one made in this run is."""
    assert parse_junit((suite.root / "report.xml").read_bytes()).failed == ()
    run = await suite.inside("raise SystemExit(0)")
    assert run.report is None and "the report cannot be read" in run.problem
    assert (await suite.inside(writes(GREEN))).report is not None


async def test_a_report_that_is_changed_after_the_run(suite: Suite) -> None:
    """A process that outlives the runner, to paint its report green, is dead before the report is read."""
    script = writes(RED) + (
        f"if not os.fork():\n    os.setsid()\n    os.close(1), os.close(2)\n    time.sleep(0.5)\n"
        f"    open(report, 'w').write({GREEN!r})\n    os._exit(0)\nos._exit(1)\n"
    )
    assert suite.outside(script).returncode == 1
    painted = suite.root.parent / "free" / "report.xml"
    async with asyncio.timeout(20):
        while painted.read_text() != GREEN:  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.02)
    run = await suite.inside(script)
    await asyncio.sleep(0.7)
    assert run.report is not None and run.report.failed == ("t::a",)


@pytest.mark.parametrize(("text", "code"), [(GREEN, 1), (RED, 0)])
async def test_a_report_that_the_exit_status_denies(suite: Suite, text: str, code: int) -> None:
    """Green with a failing runner, and red with a succeeding one, are both no evidence."""
    assert parse_junit(text.encode())
    run = await suite.inside(writes(text) + f"raise SystemExit({code})\n")
    assert run.report is None and "the runner" in run.problem


async def test_a_report_that_is_a_link(suite: Suite, tmp_path: Path) -> None:
    """A link to a green report elsewhere on the machine is not followed; a pipe is not waited for."""
    elsewhere = tmp_path / "green.xml"
    elsewhere.write_text(GREEN)
    script = "import os, sys\nos.symlink(sys.argv[2], sys.argv[1])\n"
    assert suite.outside(script, str(elsewhere)).returncode == 0
    assert (suite.root.parent / "free" / "report.xml").read_text() == GREEN
    assert (await suite.inside(script, str(elsewhere))).report is None
    async with asyncio.timeout(30):
        assert (await suite.inside("import os, sys\nos.mkfifo(sys.argv[1])\n")).report is None


async def test_a_report_that_is_a_bomb(suite: Suite) -> None:
    """Entities that a usual parser expands are refused before the first of them."""
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 4))
    bomb = f'<!DOCTYPE b [<!ENTITY e0 "x">{entities}]>' + GREEN.replace('name="a"', 'name="&e3;"')
    assert len(ElementTree.fromstring(bomb)[0].attrib["name"]) == 1000
    run = await suite.inside(writes(bomb))
    assert run.report is None and "document type" in run.problem


async def test_a_report_of_a_gigabyte(suite: Suite) -> None:
    """A file with a hole of that size costs no memory and no time; the sandbox's own ceiling may come first."""
    script = writes("<testsuite>") + "os.truncate(report, int(sys.argv[2]))\n"
    assert suite.outside(script, str(1 << 30)).returncode == 0
    assert (suite.root.parent / "free" / "report.xml").stat().st_size == 1 << 30
    run = await suite.inside(script, str(1 << 30))
    assert run.report is None
    run = await suite.inside(script, str(100 << 20))
    assert run.report is None and "larger than" in run.problem


async def test_a_suite_that_floods_or_hangs(suite: Suite) -> None:
    """Endless output and endless time are ended, each with its own words and what there is of evidence."""
    flood = "import sys\nwhile True:\n    sys.stdout.write('x' * 65536)\n"
    control = await asyncio.create_subprocess_exec(PYTHON, "-c", flood, stdout=subprocess.DEVNULL)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(control.wait(), 1)
    control.kill()
    await control.wait()
    run = await suite.inside(flood, output_kib=64)
    assert run.report is None and "wrote more than 64 KiB" in run.problem
    assert run.result is not None and len(run.result.stdout) <= 65_536
    run = await suite.inside("import time\nprint('so far', flush=True)\ntime.sleep(60)\n", wall_s=2)
    assert run.report is None and "did not end within 2 s" in run.problem
    assert run.result is not None and run.result.stdout == b"so far\n"


@pytest.mark.parametrize(
    "text",
    ["1..3\nok 1 - a\n", "ok 1 - a\nBail out!\n1..1\n", "1..1\nok 1 - a\nnot ok 2 - b\n", "all is well\n"],
)
async def test_tap_that_lies(suite: Suite, text: str) -> None:
    """Plans that do not fit and reports that break off are no evidence, whatever the exit status."""
    honest = await suite.inside("print('1..1\\nok 1 - a')", report="tap")
    assert honest.report is not None
    assert (await suite.inside(f"print({text!r})", report="tap")).report is None


async def test_a_conftest_that_deselects_on_the_head(suite: Suite) -> None:
    """The failing test is not collected any more, all is green, and the comparison names it all the same."""
    tests = {"test_a.py": "def test_one():\n    assert True\n\ndef test_two():\n    assert True\n"}
    hide = "def pytest_collection_modifyitems(items):\n    items[:] = [i for i in items if i.name != 'test_two']\n"
    command = ["/usr/bin/env", f"PYTHONPATH={SITE}", PYTHON, "-m", "pytest", "-q", "--junitxml={report}"]
    policy = SuitePolicy.model_validate({"command": command, "report": "junit", "wall_s": 60})
    base = await suite.runner.run(policy, suite.commit(tests))
    broken = tests["test_a.py"].replace("test_two():\n    assert True", "test_two():\n    assert False")
    head = await suite.runner.run(policy, suite.commit({"test_a.py": broken, "conftest.py": hide}))
    assert head.report is not None and head.report.failed == () and head.problem == ""
    found = compare_suites(base.report, head.report)
    assert found.removed == ("test_a::test_two",)
    assert "is gone: test_a::test_two" in found.reasons


async def test_what_a_suite_leaves_behind_reaches_no_later_run(suite: Suite) -> None:
    """Caches, environments, hooks of test runners, files of a home: there in the same run (the control), then gone."""
    planted = ("conftest.py", "sitecustomize.py", "__pycache__/a.cpython-311.pyc", ".venv/bin/python",
               ".pytest_cache/x", "docs/.hidden/x", "/tmp/left", "/dev/shm/left")  # fmt: skip
    places = [f"{place}" if place.startswith("/") else f"/work/{place}" for place in planted]
    plant = (
        "import os, sys\n"
        f"places = {places!r} + [os.path.expanduser('~/.bashrc')]\n"
        "for place in places if sys.argv[2] == 'plant' else []:\n"
        "    os.makedirs(os.path.dirname(place), exist_ok=True)\n"
        "    open(place, 'w').write('left')\n"
        "found = [place for place in places if os.path.exists(place)]\n"
        f"open(sys.argv[1], 'w').write({GREEN!r}.replace('\"a\"', '\"%d\"' % len(found)))\n"
    )
    commit = suite.commit({"suite.py": plant, ".gitignore": "*\n!suite.py\n"})
    names = []
    for word in ("plant", "look", "look"):
        policy = SuitePolicy.model_validate(
            {"command": [PYTHON, "suite.py", "{report}", word], "report": "junit", "wall_s": 20}
        )
        run = await suite.runner.run(policy, commit)
        assert run.report is not None, run
        names.append([case.name for case in run.report.cases])
    assert names == [[f"t::{len(places) + 1}"], ["t::0"], ["t::0"]]
