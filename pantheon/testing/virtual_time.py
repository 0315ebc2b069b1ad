"""An event loop whose time moves only when nothing is left to do, and which notices when nothing ever will be.

Invariants:
- an hour of waiting costs no time, and timers fire in the order of their times;
- a coroutine that waits for what cannot come raises ``StuckError`` instead of hanging the test.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def _ignore(_: float) -> None:
    """Take no notice of a jump."""


class StuckError(AssertionError):
    """Everything waits, and nothing is on its way."""


class _Jump(selectors.BaseSelector):
    """Moves the time on where another selector would wait."""

    def __init__(self, jump: Callable[[float | None], None]) -> None:
        self._inner = selectors.DefaultSelector()
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:
            self._jump(timeout)
        return self._inner.select(0)

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._inner.unregister(fileobj)

    def get_map(self) -> Any:
        return self._inner.get_map()

    def close(self) -> None:
        self._inner.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs on virtual seconds from 0.

    Args:
        before_jump: told the time just before it moves on, when all that could happen has.
    """

    def __init__(self, before_jump: Callable[[float], None] = _ignore) -> None:
        self._now = 0.0
        self._before_jump = before_jump
        super().__init__(_Jump(self._move))

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now

    def _move(self, timeout: float | None) -> None:
        if timeout is None:
            raise StuckError(f"at {self._now} s everything waits and nothing is on its way")
        self._before_jump(self._now)
        self._now += timeout


def run_virtually(main: Coroutine[Any, Any, T], before_jump: Callable[[float], None] = _ignore) -> T:
    """Run a coroutine on virtual time.

    Raises:
        StuckError: it waits for something that cannot come.
    """
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(before_jump)) as runner:
        return runner.run(main)
