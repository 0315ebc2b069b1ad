"""A process that forks for one that must not: a test runner has threads and open files that a fork would share."""

import json
import subprocess
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self


class Nursery:
    """Runs a module of its own and asks it for one child after the other, for the length of a ``with``.

    Args:
        module: what is run with ``python -m``; its main is ``serve``.
    """

    def __init__(self, module: str) -> None:
        self._module = module

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", self._module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def ask(self, asked: Any) -> int:
        """Return the exit status of the child that is asked for with a JSON value, negative for a signal.

        Raises:
            RuntimeError: the nursery is gone.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        if not (answer := self._process.stdout.readline()):
            raise RuntimeError(f"the nursery has ended with {self._process.wait()}")
        return int(answer)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()


def serve(run: Callable[[Any], int]) -> None:
    """Answer each line of standard input with the status of the child that it asks for.

    Args:
        run: forks a child for what was asked and returns its status.
    """
    for line in sys.stdin:
        sys.stdout.write(f"{run(json.loads(line))}\n")
        sys.stdout.flush()
