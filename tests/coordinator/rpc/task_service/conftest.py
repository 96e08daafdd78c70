"""Fixtures: a coordinator, and a client with all permissions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest

from tests.coordinator.rpc.task_service.client import BULK_MAX, EVERYTHING, Client, token_of
from tests.system.fleet import coordinator


@pytest.fixture(scope="package")
def address(django_db_setup: None) -> Iterator[str]:
    """Run a coordinator with a small limit for bulk submissions. Yield its address."""
    with asyncio.Runner() as runner:
        process = coordinator(TASKMASTER_BULK_MAX_TASKS=str(BULK_MAX))
        yield runner.run(process.__aenter__())
        runner.run(process.__aexit__(None, None, None))


@pytest.fixture
async def channel(address: str, transactional_db: None) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield channel


@pytest.fixture
async def client(channel: grpc.aio.Channel) -> Client:
    return Client(channel, await token_of(*EVERYTHING))
