"""Store the schedules that code declares when a coordinator starts."""

from __future__ import annotations

import logging
from concurrent.futures import Executor

from django.db import Error as DatabaseError
from psycopg_pool import PoolTimeout

from taskmaster.coordinator.support.django_thread import run_in_thread
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
        while True:
            try:
                report = await run_in_thread(self._executor, lambda: sync(end=False))
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
