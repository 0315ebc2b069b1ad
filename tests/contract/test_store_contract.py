"""The store's contract, kept by the fake and by SQLite."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pantheon.adapters.store import open_store
from pantheon.ports.store import Store
from pantheon.testing.clock import FakeClock
from pantheon.testing.lease_contract import LeaseContract
from pantheon.testing.orders_contract import OrdersContract
from pantheon.testing.store import FakeStore
from pantheon.testing.store_contract import StoreContract


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class TestFakeStore(StoreContract, LeaseContract, OrdersContract):
    """The fake keeps what the port promises."""

    @pytest.fixture
    def store(self, clock: FakeClock) -> Store:
        return FakeStore(clock)


class TestSqliteStore(StoreContract, LeaseContract, OrdersContract):
    """SQLite keeps what the port promises."""

    @pytest.fixture
    async def store(self, tmp_path: Path, clock: FakeClock) -> AsyncIterator[Store]:
        opened = await open_store(tmp_path / "store.db", clock)
        yield opened
        await opened.aclose()
