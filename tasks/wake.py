"""Wakes sleeping coordinators, and costs next to nothing while none sleeps.

NOTIFY in every transaction caps submission at 5,000/s, and even to ask after each commit whether
somebody sleeps costs a second round trip. So a process that has just learnt that nobody sleeps
believes it for `NOBODY_SLEEPS_S`. A coordinator that goes to sleep says so first, and looks for
work once more when that time is over: what was committed under the old belief is there by then.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction
from psycopg import Cursor
from psycopg_pool import PoolTimeout

from tasks.statements import statement

log = logging.getLogger(__name__)

#: How long "nobody sleeps" is believed, in seconds of the submitter's monotonic clock.
NOBODY_SLEEPS_S = 0.05

#: When nobody slept, by database.
_nobody_slept_at: dict[str, float] = {}


def wake_on_commit(using: str = DEFAULT_DB_ALIAS) -> None:
    """Wakes a sleeping coordinator once the current transaction, if any, has been committed."""
    transaction.on_commit(lambda: _wake(using), using=using)


def _wake(using: str) -> None:
    asked_at = time.monotonic()
    if asked_at - _nobody_slept_at.get(using, float("-inf")) < NOBODY_SLEEPS_S:
        return
    try:
        nobody_sleeps = execute(using, "wake") is None
    except (DatabaseError, PoolTimeout) as error:
        # The task is stored, so nobody may be told that it is not; the safety poll finds it.
        log.warning("coordinators not woken", extra={"error": str(error).strip()})
        return
    if nobody_sleeps:
        _nobody_slept_at[using] = asked_at
    else:
        _nobody_slept_at.pop(using, None)


def forget() -> None:
    """Makes the next submission ask."""
    _nobody_slept_at.clear()


def execute(using: str, name: str, parameters: Sequence[object] = ()) -> tuple[Any, ...] | None:
    """Runs a statement that the server prepares once, and returns its first row if it has any.

    Django's own cursors bind on the client's side, so that the server parses and plans each call
    anew: that alone halves the rate of submissions.
    """
    connection: Any = connections[using]
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    with connection.wrap_database_errors, Cursor(connection.connection) as cursor:
        cursor.execute(statement(name), parameters or None)
        row: tuple[Any, ...] | None = cursor.fetchone()
    return row
