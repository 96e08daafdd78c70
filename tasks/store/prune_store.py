"""Run the statements that delete old rows in batches, on the connections of a coordinator."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple

from taskmaster.tasks.retention import Retention
from taskmaster.tasks.statements import Connection, statement
from taskmaster.tasks.store.parameters import prune_parameters


class PrunedPart(NamedTuple):
    """Report what one statement found in a part of the history. Times are in seconds."""

    #: The last examined id. None: there are no tasks in the part.
    last_id: int | None
    examined: int
    deleted: int
    #: Time since the youngest examined task was created.
    youngest_s: float | None
    #: Time until one of the remaining tasks may expire; negative if it has. None: never.
    next_s: float | None


async def prune_tasks(
    connection: Connection, retention: Retention, *, after: int, upper: int, batch: int
) -> PrunedPart:
    """Examine the next `batch` tasks above the id `after`, and delete those that have expired.

    Tasks above the id `upper` are not examined.
    """
    parameters = prune_parameters(retention, after=after, upper=upper, batch=batch)
    cursor = await connection.execute(statement("prune_tasks"), parameters)
    [row] = await cursor.fetchall()
    return PrunedPart._make(row)


async def prune_events(connection: Connection, *, kept: int, batch: int) -> int:
    """Delete up to `batch` events that are older than the newest `kept`. Return their number."""
    return await _delete(connection, "prune_events", {"kept": kept, "batch": batch})


async def prune_idempotency_keys(connection: Connection, *, kept: timedelta, batch: int) -> int:
    """Delete up to `batch` keys that are older than `kept`. Return their number."""
    parameters = {"kept_s": kept.total_seconds(), "batch": batch}
    return await _delete(connection, "prune_idempotency_keys", parameters)


async def prune_operations(connection: Connection, *, kept: timedelta, batch: int) -> int:
    """Delete up to `batch` operations that ended longer than `kept` ago. Return their number."""
    parameters = {"kept_s": kept.total_seconds(), "batch": batch}
    return await _delete(connection, "prune_operations", parameters)


async def _delete(connection: Connection, name: str, parameters: dict[str, Any]) -> int:
    cursor = await connection.execute(statement(name), parameters)
    return cursor.rowcount
