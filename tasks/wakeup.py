"""Wake idle coordinators after a submission, at almost no cost while none is idle.

A NOTIFY in every transaction caps submission at 5,000/s. A query for idle coordinators after each
commit costs a second round trip. A process therefore caches a negative answer for
`NO_IDLE_CACHE_S`.

This loses no wake-up. A coordinator first marks itself idle and commits. It looks for work again
after twice `NO_IDLE_CACHE_S`, and finds the tasks that were committed under an outdated
answer.
"""

from __future__ import annotations

import logging
import time

from django.db import DEFAULT_DB_ALIAS, DatabaseError, transaction
from psycopg_pool import PoolTimeout

from taskmaster.tasks.store import sync_store as store

log = logging.getLogger(__name__)

#: Life of the cached answer "no coordinator is idle", in seconds of the submitter's monotonic
#: clock.
NO_IDLE_CACHE_S = 0.05

#: When each database last had no idle coordinator, by alias.
_no_idle_seen_at: dict[str, float] = {}


def wake_on_commit(using: str = DEFAULT_DB_ALIAS) -> None:
    """Wake idle coordinators when the current transaction commits, or now if there is none."""
    transaction.on_commit(lambda: _wake(using), using=using)


def _wake(using: str) -> None:
    queried_at = time.monotonic()
    if queried_at - _no_idle_seen_at.get(using, float("-inf")) < NO_IDLE_CACHE_S:
        return
    try:
        none_idle = not store.notify_idle(using=using)
    except (DatabaseError, PoolTimeout) as error:
        # The task is stored, so the submission must not fail. The safety poll finds the task.
        log.warning("cannot wake idle coordinators", extra={"error": str(error).strip()})
        return
    if none_idle:
        _no_idle_seen_at[using] = queried_at
    else:
        _no_idle_seen_at.pop(using, None)


def clear_cache() -> None:
    """Clear the cached answers. The next submission queries the database."""
    _no_idle_seen_at.clear()
