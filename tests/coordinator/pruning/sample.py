"""Create old rows, and pruners of a leading coordinator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from asgiref.sync import sync_to_async

from taskmaster.coordinator.pruning.pace import Batches
from taskmaster.coordinator.pruning.tables import TablePruner
from taskmaster.coordinator.pruning.tasks import TaskPruner
from taskmaster.coordinator.support.database import Database, conninfo
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.models import Task, TaskOutput
from taskmaster.tasks.retention import Retention, parse
from tests.coordinator.sample import Clock
from tests.factories import in_s, stored

DAY = 86_400.0
_ENDED_AT = {"complete": "completed_at", "failed": "failed_at", "cancelled": "cancelled_at"}


def ended(status: str, days: float, count: int = 1, **fields: object) -> list[int]:
    """Store tasks that ended this number of days ago in a status, each with output."""
    ids = stored(count, **fields)
    at = in_s(-days * DAY)
    Task.objects.filter(pk__in=ids).update(
        status=status, created_at=at, started_at=at, attempt=1, lease=1, **{_ENDED_AT[status]: at}
    )
    TaskOutput.objects.bulk_create(
        TaskOutput(task_id=task_id, lease=1, attempt=1, seq=0, stream="stdout", text="x")
        for task_id in ids
    )
    return ids


def unfinished(status: str, days: float) -> list[int]:
    """Store a task that was created this number of days ago and has not ended."""
    ids = stored()
    Task.objects.filter(pk__in=ids).update(status=status, created_at=in_s(-days * DAY))
    return ids


def kept() -> set[int]:
    """Return the ids of all tasks. Check that no output has lost its task."""
    ids = set(Task.objects.values_list("pk", flat=True))
    assert set(TaskOutput.objects.values_list("task_id", flat=True)) <= ids
    return ids


aended, aunfinished, akept = map(sync_to_async, (ended, unfinished, kept))


class Leader:
    """The pruners of a coordinator with its own connections. It leads from the start."""

    def __init__(self, retention: dict[str, Any] | None = None, **settings: Any) -> None:
        self.retention: Retention = parse("retention", retention or {})
        self.leading = asyncio.Event()
        self.leading.set()
        self.clock = Clock()
        conf = Settings(**settings)
        self.database = Database(conninfo(), conf)
        batches = Batches(self.database)
        self.tasks = TaskPruner(
            batches,
            leading=self.leading,
            read_retention=lambda: self.retention,
            clock=self.clock,
        )
        self.tables = TablePruner(
            batches, conf, leading=self.leading, read_retention=lambda: self.retention
        )

    def pass_time(self, **parts: float) -> None:
        """Advance the pruner's clock."""
        self.clock.now += timedelta(**parts).total_seconds()


@asynccontextmanager
async def leader(retention: dict[str, Any] | None = None, **settings: Any) -> AsyncIterator[Leader]:
    """Open the connections of a leader."""
    found = Leader(retention, **settings)
    await found.database.open()
    try:
        yield found
    finally:
        await found.database.close()
