"""Run the statements that web processes, commands and programs need, on Django's connection."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections

from taskmaster.tasks.statements import statement

_SQL = "taskmaster.workers.sql"


def request_worker_command(
    worker_id: UUID, command: str, *, using: str = DEFAULT_DB_ALIAS
) -> str | None:
    """Record that a worker is to drain, undrain, stop or kill itself, and notify the coordinators.

    Return the name of the worker. Return None if it does not exist, is offline, or is to undrain
    after a stop or kill.
    """
    row = _first(using, "request_worker_command", {"id": worker_id, "command": command})
    return None if row is None else row[1]


def scale_pool(name: str, count: int, *, using: str = DEFAULT_DB_ALIAS) -> int | None:
    """Set the desired number of workers and wake the reconciler. Return the number before.

    Return None if the pool does not exist or `count` exceeds its bounds.
    """
    row = _first(using, "scale_pool", {"name": name, "count": count})
    return None if row is None else row[0]


def _first(using: str, name: str, parameters: dict[str, Any]) -> tuple[Any, ...] | None:
    with connections[using].cursor() as cursor:
        cursor.execute(statement(name, _SQL), parameters)
        row: tuple[Any, ...] | None = cursor.fetchone()
    return row
