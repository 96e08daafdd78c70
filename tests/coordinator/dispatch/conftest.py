"""Fixtures for the tests of claims."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from taskmaster.coordinator.support.database import Database, conninfo
from taskmaster.tasks.conf import Settings
from tests.coordinator.dispatch.bench import Bench


@pytest_asyncio.fixture
async def database() -> AsyncIterator[Database]:
    made = Database(conninfo(), Settings())
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def bench(database: Database) -> Bench:
    return Bench(1, database)
