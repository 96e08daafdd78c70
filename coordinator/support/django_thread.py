"""Run functions that use Django's connections beside the event loop of a coordinator."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import NoReturn, TypeVar

from django.db import Error as DatabaseError
from django.db import connections

from taskmaster.coordinator.support.database import OUTAGE_ERRORS
from taskmaster.tasks.backoff import Backoff, run_every

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


async def repeat(
    duty: Callable[[], Awaitable[object]],
    *,
    backoff: Backoff,
    log: logging.Logger,
    failure: str,
) -> NoReturn:
    """Repeat a duty that also uses Django's connections, until cancelled.

    Back off after an error of the database. `failure` is logged with an error of Django's
    connections. `Database` logs the errors of the others.
    """

    def log_error(error: Exception) -> None:
        if isinstance(error, DatabaseError):
            log.warning(failure, extra={"error": str(error).strip()})

    await run_every(
        0, duty, retry_on=(*OUTAGE_ERRORS, DatabaseError), backoff=backoff, on_error=log_error
    )
