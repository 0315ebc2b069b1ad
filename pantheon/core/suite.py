"""The repository's own tests as its policy declares them: ``[tests]`` of ``policies/gate.toml``."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from pantheon.core.errors import SandboxError
from pantheon.core.model import Frozen
from pantheon.core.protected import check_patterns
from pantheon.core.sandbox import MIB, SandboxLimits, check_command

REPORT = "{report}"
"""Stands in the command for the path of the report."""
TEST_FILES = (
    "test_*.py", "*_test.py", "conftest.py", "/tests/", "/test/", "__tests__/",
    "*.test.js", "*.test.mjs", "*.test.cjs", "*.test.ts", "*.spec.js", "*.spec.ts",
)  # fmt: skip
Word = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]


class SuitePolicy(Frozen):
    """How the repository's tests are run, always in the sandbox."""

    command: tuple[Word, ...] = Field(min_length=1, max_length=100)
    """Program and arguments, never a shell line; ``{report}`` is the path that a JUnit report goes to."""
    report: Literal["junit", "tap"]
    """``junit``: an XML file; ``tap``: standard output."""
    reruns: int = Field(default=2, ge=0, le=10)
    """Further runs on the base, made when a test seems worse, to tell the flaky ones."""
    files: Annotated[tuple[str, ...], AfterValidator(check_patterns)] = Field(
        default=TEST_FILES, max_length=200
    )
    """Patterns of the files that hold tests, as in ``.gitignore``."""
    wall_s: float = Field(default=600, gt=0, le=21_600)
    """Seconds that one run may take."""
    cpu_s: int = Field(default=600, ge=1, le=21_600)
    """Processor seconds of one process."""
    memory_mib: int = Field(default=4096, ge=16, le=1 << 20)
    """Address space of one process."""
    processes: int = Field(default=256, ge=8, le=4_096)
    """Processes and threads at once."""
    output_kib: int = Field(default=4096, ge=1, le=262_144)
    """Standard output and standard error each; one byte more ends the run."""
    report_kib: int = Field(default=16_384, ge=1, le=262_144)
    """A larger report is refused."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        try:
            check_command(self.command, {})
        except SandboxError as error:
            raise ValueError(f"command: {error.message}") from error
        places = sum(word.count(REPORT) for word in self.command)
        if self.report == "junit" and places != 1:
            raise ValueError(f'command: with report = "junit" it names {REPORT} once, where the file goes')
        if self.report == "tap" and places:
            raise ValueError(
                f'command: with report = "tap" the report is standard output; {REPORT} is not used'
            )
        return self

    def limits(self) -> SandboxLimits:
        """Return the ceilings of one run."""
        return SandboxLimits(
            wall_s=self.wall_s,
            cpu_s=self.cpu_s,
            memory_bytes=self.memory_mib * MIB,
            processes=self.processes,
            output_bytes=self.output_kib * 1024,
            file_bytes=max(256 * MIB, self.report_kib * 1024),
        )

    def argv(self, report: str) -> tuple[str, ...]:
        """Return the command of one run; ``report`` is the path of its report."""
        return tuple(word.replace(REPORT, report) for word in self.command)
