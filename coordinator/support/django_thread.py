"""Run functions that use Django's connections beside the event loop of a coordinator."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from django.db import connections

_Result = TypeVar("_Result")


async def run_in_thread(executor: Executor, work: Callable[[], _Result]) -> _Result:
    """Run a function in a thread, close the thread's connections, and return the result.

    There is no Django request whose end would return the connections to the pool.
    """

    def run() -> _Result:
        try:
            return work()
        finally:
            connections.close_all()

    return await asyncio.get_running_loop().run_in_executor(executor, run)
