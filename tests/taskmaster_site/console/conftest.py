"""End the live parts of this process after each test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from taskmaster.taskmaster_site.live import runtime


@pytest.fixture(autouse=True)
async def _live_parts_end() -> AsyncIterator[None]:
    yield
    for live in runtime._runtimes.values():
        for task in live._tasks:
            task.cancel()
        await asyncio.gather(*live._tasks, return_exceptions=True)
    runtime._runtimes.clear()
