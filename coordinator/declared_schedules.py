"""Store the schedules that code declares when a coordinator starts."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Executor

from django.db import Error as DatabaseError
from django.db import connections
from psycopg_pool import PoolTimeout

from taskmaster.tasks.backoff import Backoff
from taskmaster.tasks.errors import ConfigurationError
from taskmaster.tasks.schedules.sync import Difference, SyncReport, sync

log = logging.getLogger(__name__)

#: First and longest back-off in seconds after a database error.
_RETRY_S = (0.5, 30.0)


class DeclaredSchedules:
    """Add and change the declared schedules once, beside the other duties of a coordinator."""

    def __init__(self, executor: Executor) -> None:
        #: Runs the synchronization in a thread that may use Django's connections.
        self._executor = executor

    async def run(self) -> None:
        """Synchronize, and return. Retry after database errors until cancelled.

        A wrong declaration is logged and stops nothing: the other schedules, and the schedules that
        are stored already, go on.
        """
        backoff = Backoff(*_RETRY_S)
        loop = asyncio.get_running_loop()
        while True:
            try:
                report = await loop.run_in_executor(self._executor, _sync_in_thread)
            except (DatabaseError, PoolTimeout) as error:
                log.warning(
                    "cannot store the declared schedules; retrying",
                    extra={"error": str(error).strip()},
                )
                await backoff.wait()
            except ConfigurationError as error:
                log.error("the declared schedules are invalid", extra={"error": str(error)})
                return
            except Exception:
                log.exception("cannot store the declared schedules")
                return
            else:
                _log(report)
                return


def _sync_in_thread() -> SyncReport:
    try:
        return sync(end=False)
    finally:
        # There is no Django request whose end would return the connection to the pool.
        connections.close_all()


def _log(report: SyncReport) -> None:
    for each in report.of(Difference.REFUSED):
        log.error(
            "a declared schedule was refused",
            extra={"schedule": each.name, "declared_in": each.declared_in, "error": each.detail},
        )
    for each in report.schedules:
        if each.difference in (Difference.ADDED, Difference.CHANGED):
            log.info(
                f"declared schedule {each.difference}",
                extra={"schedule": each.name, "columns": each.detail},
            )
