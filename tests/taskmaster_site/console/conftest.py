"""What a process keeps running for its consoles ends with each test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from taskmaster_site.live import service


@pytest.fixture(autouse=True)
async def _live_part_ends() -> AsyncIterator[None]:
    """What a process keeps running for all of its consoles."""
    yield
    for live in service._lives.values():
        for task in live._tasks:
            task.cancel()
        await asyncio.gather(*live._tasks, return_exceptions=True)
    service._lives.clear()
