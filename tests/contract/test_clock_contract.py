"""The fake clock and the machine's own keep the same promises."""

import pytest

from pantheon.adapters.clock import SystemClock
from pantheon.ports.clock import Clock
from pantheon.testing.clock import FakeClock
from pantheon.testing.clock_contract import ClockContract


class TestFakeClock(ClockContract):
    @pytest.fixture
    def clock(self) -> Clock:
        return FakeClock()


class TestSystemClock(ClockContract):
    @pytest.fixture
    def clock(self) -> Clock:
        return SystemClock()
