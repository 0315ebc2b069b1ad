"""What a store promises about work that goes on to the next night, kept by the fake and by SQLite."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pantheon.adapters.store import open_store
from pantheon.ports.store import Store
from pantheon.testing.carry_contract import CarryContract
from pantheon.testing.clock import FakeClock
from pantheon.testing.store import FakeStore


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class TestFakeStore(CarryContract):
    """The fake keeps what the port promises."""

    @pytest.fixture
    def store(self, clock: FakeClock) -> Store:
        return FakeStore(clock)


class TestSqliteStore(CarryContract):
    """SQLite keeps what the port promises."""

    @pytest.fixture
    async def store(self, tmp_path: Path, clock: FakeClock) -> AsyncIterator[Store]:
        opened = await open_store(tmp_path / "store.db", clock)
        yield opened
        await opened.aclose()
