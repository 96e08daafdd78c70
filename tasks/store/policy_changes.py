"""Run the statements that change policies for users, on Django's connection.

`using` is the alias of the database. A function runs in the caller's transaction.
"""

from __future__ import annotations

from django.db import DEFAULT_DB_ALIAS, connections

from taskmaster.tasks.messages import ChangedTask
from taskmaster.tasks.statements import statement


def release_paused_tasks(
    *, queue: str | None = None, name: str | None = None, using: str = DEFAULT_DB_ALIAS
) -> list[ChangedTask]:
    """Make picked tasks of a queue and a name pending. None means every one. Return them."""
    with connections[using].cursor() as cursor:
        cursor.execute(statement("release_paused_tasks"), {"queue": queue, "name": name})
        return [ChangedTask(*row) for row in cursor.fetchall()]


def notify_pauses(*, using: str = DEFAULT_DB_ALIAS) -> None:
    """Let all coordinators read the pauses when the transaction commits."""
    with connections[using].cursor() as cursor:
        cursor.execute(statement("notify_pauses"))
