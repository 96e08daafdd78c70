"""Fixtures for tests of invalid messages: a coordinator, an intruder, and an honest worker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.coordinator.rpc.intruder import Intruder, intruder
from tests.coordinator.rpc.watched import logged, undisturbed
from tests.system.fleet import WireWorker
from tests.system.programs import Program


@pytest.fixture
def site(transactional_db: None, tmp_path: Path) -> Iterator[tuple[str, Program]]:
    """Run a coordinator for one test. Yield its address and program."""
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
    """Run a worker that completes its tasks. Check before and after the test that it does."""
    async with WireWorker(address, queues=("honest",)).running() as worker:
        await undisturbed()
        yield worker
        await undisturbed()
