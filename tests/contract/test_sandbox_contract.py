"""The fake sandbox, bubblewrap and no sandbox keep the same promises."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.sandbox.bubblewrap import open_bubblewrap
from pantheon.adapters.sandbox.plain import PlainProcess
from pantheon.ports.sandbox import Sandbox
from pantheon.testing.sandbox import FOREVER, FakeSandbox, Outcome
from pantheon.testing.sandbox_contract import SandboxContract


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return tmp_path


def printf(words: Sequence[str], tree: Path, env: Mapping[str, str]) -> Outcome:
    form, *rest = words
    text = "".join(form % word for word in rest) if rest else form
    return Outcome(stdout=text.encode())


def touch(words: Sequence[str], tree: Path, env: Mapping[str, str]) -> Outcome:
    (tree / words[0]).touch()
    return Outcome()


def printenv(words: Sequence[str], tree: Path, env: Mapping[str, str]) -> Outcome:
    found = env.get(words[0])
    return Outcome(1) if found is None else Outcome(stdout=f"{found}\n".encode())


class TestFakeSandbox(SandboxContract):
    @pytest.fixture
    def sandbox(self) -> Sandbox:
        return FakeSandbox(
            {
                "true": lambda words, tree, env: Outcome(),
                "false": lambda words, tree, env: Outcome(1),
                "sleep": lambda words, tree, env: Outcome(takes_s=float(words[0])),
                "yes": lambda words, tree, env: Outcome(stdout=b"y\n" * 1_000, takes_s=FOREVER),
                "killer": lambda words, tree, env: Outcome(-15),
                "printf": printf,
                "touch": touch,
                "printenv": printenv,
            }
        )

    @pytest.fixture
    def killer(self) -> tuple[str, ...]:
        return ("killer",)


class TestBubblewrap(SandboxContract):
    @pytest.fixture
    def sandbox(self) -> Sandbox:
        return open_bubblewrap(SystemClock())

    @pytest.fixture
    def killer(self) -> tuple[str, ...]:
        return ("/bin/sh", "-c", "kill -15 $$")


class TestNoSandbox(SandboxContract):
    @pytest.fixture
    def sandbox(self) -> Sandbox:
        return PlainProcess(SystemClock())

    @pytest.fixture
    def killer(self) -> tuple[str, ...]:
        return ("/bin/sh", "-c", "kill -15 $$")
