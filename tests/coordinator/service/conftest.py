"""Who takes part when nonsense is sent: a coordinator, somebody who lies, and an honest worker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.coordinator.service.intruder import Intruder, intruder
from tests.coordinator.service.watched import logged, undisturbed
from tests.system.fleet import WireWorker
from tests.system.programs import Program


@pytest.fixture
def site(transactional_db: None, tmp_path: Path) -> Iterator[tuple[str, Program]]:
    """A coordinator of the test's own: its log begins with the test."""
    with logged(tmp_path) as running:
        yield running


@pytest.fixture
def address(site: tuple[str, Program]) -> str:
    return site[0]


@pytest.fixture
def program(site: tuple[str, Program]) -> Program:
    return site[1]


@pytest.fixture
async def mallory(address: str) -> AsyncIterator[Intruder]:
    async with intruder(address) as connected:
        yield connected


@pytest.fixture
async def honest(address: str) -> AsyncIterator[WireWorker]:
    """A worker that completes what it gets, before, while and after the other speaks."""
    async with WireWorker(address, queues=("honest",)).running() as worker:
        await undisturbed()
        yield worker
        await undisturbed()
