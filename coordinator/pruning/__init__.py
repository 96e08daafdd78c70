"""Delete what is older than its retention time, on the coordinator that leads.

| what | kept | deleted by |
|---|---|---|
| finished tasks and their output | setting `retention`, by status and queue | `tasks` |
| bulk operations that are not active | setting `retention`, `operations` | `tables` |
| offline workers | setting `retention`, `workers` | `tables` |
| idempotency keys | a day | `tables` |
| events | setting `events_kept` | `tables` |
| runs of schedules | setting `schedule_runs_kept` | the runner of schedules, as it adds runs |
| counts of failed logins | five minutes | the login itself |
| statistics | 70 minutes, then summed up | the count of the depths |

Everything is deleted in small batches with pauses. Locked rows are skipped, so no batch waits for
another transaction. Two coordinators may lead for a moment: the second finds fewer rows.
"""

from __future__ import annotations

import asyncio
import logging

from taskmaster.coordinator.pruning.pace import Batches
from taskmaster.coordinator.pruning.tables import TablePruner
from taskmaster.coordinator.pruning.tasks import TaskPruner
from taskmaster.coordinator.support.database import Database
from taskmaster.tasks import retention
from taskmaster.tasks.conf import Settings

log = logging.getLogger(__name__)


class Pruning:
    """Hold the parts that delete old rows."""

    def __init__(self, database: Database, conf: Settings, *, leading: asyncio.Event) -> None:
        batches = Batches(database)
        self.tables = TablePruner(batches, conf, leading=leading)
        self.tasks = TaskPruner(batches, leading=leading)

    async def run(self) -> None:
        """Log the retention, and prune while this coordinator leads, until cancelled."""
        kept = retention.current()
        log.info(
            "retention",
            extra={
                **{str(status): retention.format_time(t) for status, t in kept.default.items()},
                "operations": retention.format_time(kept.operations),
                "workers": retention.format_time(kept.workers),
                **{
                    f"{queue}.{status}": retention.format_time(t)
                    for queue, times in sorted(kept.queues.items())
                    for status, t in times.items()
                },
            },
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(self.tables.run(), name="prune_tables")
            group.create_task(self.tasks.run(), name="prune_tasks")
