"""What every sandbox must do, as a pytest suite.

A sandbox's own test file subclasses ``SandboxContract`` and gives the fixtures ``sandbox``, ``tree`` and ``killer``,
the command of a program that ends itself by SIGTERM. The sandbox has the programs ``true``, ``false``, ``printf``,
``touch``, ``printenv``, ``sleep`` and ``yes``.
"""

import asyncio
from pathlib import Path

import pytest

from pantheon.core.errors import SandboxError
from pantheon.core.sandbox import KillReason, SandboxLimits
from pantheon.ports.sandbox import Sandbox

LIMITS = SandboxLimits(wall_s=20, output_bytes=1_000)


def names_in(folder: Path) -> list[str]:
    """Return what is in a folder."""
    return sorted(path.name for path in folder.iterdir())


class SandboxContract:
    """The promises of ``ports.sandbox``."""

    async def test_a_program_that_succeeds_is_said_to(self, sandbox: Sandbox, tree: Path) -> None:
        """Status 0, nothing said, nothing cut."""
        result = await sandbox.run(("true",), tree, LIMITS)
        assert result.succeeded and result.returncode == 0 and result.killed is None
        assert (result.stdout, result.stderr, result.signal) == (b"", b"", None)
        assert 0 <= result.duration_s < 20

    async def test_a_program_that_fails_is_a_result(self, sandbox: Sandbox, tree: Path) -> None:
        """Its status is told; it is no error of the sandbox's."""
        result = await sandbox.run(("false",), tree, LIMITS)
        assert not result.succeeded and result.returncode == 1 and result.killed is None

    async def test_a_program_that_is_not_there_is_a_result(self, sandbox: Sandbox, tree: Path) -> None:
        """As a shell tells it: 127."""
        assert (await sandbox.run(("no-such-program",), tree, LIMITS)).returncode == 127

    async def test_a_signal_is_told(self, sandbox: Sandbox, tree: Path, killer: tuple[str, ...]) -> None:
        """A program that dies of a signal says which."""
        result = await sandbox.run(killer, tree, LIMITS)
        assert result.signal == 15 and result.returncode == 143 and result.killed is None

    async def test_words_arrive_as_they_are(self, sandbox: Sandbox, tree: Path) -> None:
        """No shell looks at them: neither spaces nor quotes, dollars, semicolons or newlines mean anything."""
        words = ("a b", "$(id)", "`id`", ";id", "&&", "'", '"', "*", "\n", "-x", "--", "ä", "")
        result = await sandbox.run(("printf", "%s|", *words), tree, LIMITS)
        assert result.stdout.decode() == "".join(f"{word}|" for word in words)

    async def test_a_program_works_in_the_tree(self, sandbox: Sandbox, tree: Path) -> None:
        """What it writes is there afterwards."""
        result = await sandbox.run(("touch", "made"), tree, LIMITS)
        assert result.succeeded, result
        assert names_in(tree) == ["made"]

    async def test_a_variable_reaches_the_program(self, sandbox: Sandbox, tree: Path) -> None:
        """Those that are given, and of the caller's own none."""
        result = await sandbox.run(("printenv", "GIVEN"), tree, LIMITS, env={"GIVEN": "a=b c"})
        assert result.stdout == b"a=b c\n"
        assert (await sandbox.run(("printenv", "PYTEST_CURRENT_TEST"), tree, LIMITS)).returncode == 1

    async def test_output_up_to_the_cap_is_whole(self, sandbox: Sandbox, tree: Path) -> None:
        """Not a byte is missing, and that is said."""
        result = await sandbox.run(("printf", "%1000s", "x"), tree, LIMITS)
        assert result.succeeded and len(result.stdout) == 1_000 and not result.stdout_truncated

    async def test_a_flood_ends_the_run(self, sandbox: Sandbox, tree: Path) -> None:
        """The first part is kept; that the rest is missing is said, and it never counts as success."""
        result = await sandbox.run(("yes",), tree, LIMITS)
        assert result.killed is KillReason.OUTPUT and not result.timed_out and not result.succeeded
        assert result.stdout_truncated and result.stdout == b"y\n" * 500

    async def test_the_deadline_ends_the_run(self, sandbox: Sandbox, tree: Path) -> None:
        """A program that takes too long is a result too."""
        limits = LIMITS.model_copy(update={"wall_s": 0.2})
        result = await sandbox.run(("sleep", "30"), tree, limits)
        assert result.timed_out and result.killed is KillReason.DEADLINE and not result.succeeded
        assert result.duration_s < 10

    async def test_runs_beside_each_other_do_not_mix(self, sandbox: Sandbox, tree: Path) -> None:
        """Each gives its own output; they need trees of their own."""
        async with asyncio.TaskGroup() as group:
            runs = []
            for number in range(4):
                place = tree / str(number)
                place.mkdir()
                runs.append(
                    group.create_task(
                        sandbox.run(("printf", str(number)), place, LIMITS), name=f"run {number}"
                    )
                )
        assert [run.result().stdout for run in runs] == [b"0", b"1", b"2", b"3"]

    @pytest.mark.parametrize(
        "argv",
        [
            (),
            ("",),
            ("-c",),
            ("./here",),
            ("a/b",),
            ("true", "a\0b"),
            ("true", "\ud800"),
            ("true", "x" * 200_000),
        ],
        ids=["none", "empty", "option", "relative", "below", "NUL", "no text", "long"],
    )
    async def test_a_command_that_cannot_be_meant_is_refused(
        self, sandbox: Sandbox, tree: Path, argv: tuple[str, ...]
    ) -> None:
        """Nothing is started."""
        with pytest.raises(SandboxError):
            await sandbox.run(argv, tree, LIMITS)

    @pytest.mark.parametrize("name", ["", "A=B", "A\0", "1A", "A B"])
    async def test_a_variable_that_is_none_is_refused(self, sandbox: Sandbox, tree: Path, name: str) -> None:
        """Nothing is started."""
        with pytest.raises(SandboxError):
            await sandbox.run(("true",), tree, LIMITS, env={name: "x"})

    async def test_a_tree_that_is_not_there_is_refused(self, sandbox: Sandbox, tree: Path) -> None:
        """It is not made."""
        with pytest.raises(SandboxError):
            await sandbox.run(("true",), tree / "missing", LIMITS)
        assert not (tree / "missing").exists()
