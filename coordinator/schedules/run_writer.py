"""Store the planned runs of schedules with their tasks, publish them, and delete old runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from uuid import UUID

from taskmaster.coordinator.events import messages
from taskmaster.coordinator.events.publisher import EventPublisher
from taskmaster.coordinator.schedules.planner import StartableRun
from taskmaster.coordinator.support.database import REJECTED_ERRORS, Database
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.event import EventKind
from taskmaster.tasks.events.aggregate import EventBatch
from taskmaster.tasks.messages import ChangedTask, EndedTasks
from taskmaster.tasks.schedule_messages import Plan, ScheduleSearch, StoredRun
from taskmaster.tasks.statements import Connection
from taskmaster.tasks.store import async_store as task_store
from taskmaster.tasks.store import schedule_store as store
from taskmaster.tasks.timing.rules import OverlapPolicy

log = logging.getLogger(__name__)

#: Probability that a stored run leads to a search for old runs of its schedule.
_PRUNE_CHANCE = 1 / 32


class RunWriter:
    """Store runs on the connections of one coordinator. `on_pending` wakes the claimers.

    `chance` returns a random number from 0 to below 1.
    """

    def __init__(
        self,
        database: Database,
        conf: Settings,
        coordinator: UUID,
        publisher: EventPublisher,
        *,
        on_pending: Callable[[], None],
        chance: Callable[[], float],
    ) -> None:
        self._database = database
        self._conf = conf
        self._coordinator = coordinator
        self._publisher = publisher
        self._on_pending = on_pending
        self._chance = chance
        #: Versions of the schedules whose runs PostgreSQL rejects. They wait for a change.
        self._rejected: dict[int, int] = {}

    async def create(self, plans: Sequence[Plan], search: ScheduleSearch) -> int:
        """Store plans and their tasks. Return the number of stored runs."""
        if not plans:
            return 0
        cancels = any(each.schedule.overlap == OverlapPolicy.CANCEL_RUNNING for each in plans)
        connect = self._database.transaction if cancels else self._database.connection
        try:
            async with connect() as connection:
                runs = await store.create_schedule_runs(
                    connection, plans, halted_at=search.halted_at
                )
                cancelled = await self._cancel(connection, runs)
        except REJECTED_ERRORS as error:
            return await self._create_apart(plans, search, error)
        self._publish(runs, {each.schedule.id: each.schedule.name for each in plans})
        self._publisher.add_batch(
            EventBatch(EventKind.CANCELLED, cancelled, messages.cancelled_by_schedule)
        )
        await self._prune(runs)
        return len(runs)

    async def _create_apart(
        self, plans: Sequence[Plan], search: ScheduleSearch, error: Exception
    ) -> int:
        """Store the halves of a batch that PostgreSQL rejects. One bad schedule stops no other."""
        if len(plans) > 1:
            middle = len(plans) // 2
            return await self.create(plans[:middle], search) + await self.create(
                plans[middle:], search
            )
        [plan] = plans
        self._rejected[plan.schedule.id] = plan.schedule.version
        log.error(
            "runs of a schedule rejected; edit or resume it to try again",
            extra={"schedule": plan.schedule.name, "error": str(error).strip()},
        )
        return 0

    def is_rejected(self, plan: Plan) -> bool:
        """Return whether PostgreSQL has rejected the plan of this version of the schedule."""
        return self._rejected.get(plan.schedule.id) == plan.schedule.version

    async def _cancel(self, connection: Connection, runs: Sequence[StoredRun]) -> list[ChangedTask]:
        """Cancel the earlier tasks that runs replace. Return the cancelled ones."""
        ids = [task_id for run in runs for task_id in run.cancels]
        if not ids:
            return []
        cancelled = await store.cancel_tasks(connection, ids)
        if cancelled:
            ended = EndedTasks(cancelled=len(cancelled))
            await task_store.record_completions(connection, ended, self._coordinator)
        return cancelled

    async def start_queued(self, queued: Sequence[StartableRun], search: ScheduleSearch) -> int:
        """Start queued runs whose earlier run has ended. Return their number."""
        if not queued:
            return 0
        async with self._database.connection() as connection:
            runs = await store.start_queued_runs(connection, queued, halted_at=search.halted_at)
        self._publish(runs, {each.run.schedule.id: each.run.schedule.name for each in queued})
        return len(runs)

    def _publish(self, runs: Sequence[StoredRun], names: dict[int, str]) -> None:
        """Wake the claimers, and publish the runs."""
        for run in runs:
            event = messages.run_without_task(run, names[run.schedule_id])
            if run.inserted and event is not None:
                self._publisher.add(event)
        created = [run for run in runs if run.task_id is not None]
        if not created:
            return
        self._on_pending()
        tasks = [ChangedTask(run.task_id or 0, run.name, run.queue) for run in created]
        by_task = {run.task_id or 0: names[run.schedule_id] for run in created}
        self._publisher.add_batch(
            EventBatch(EventKind.SUBMITTED, tasks, messages.submitted_by_schedule(by_task))
        )

    async def _prune(self, runs: Sequence[StoredRun]) -> None:
        """Delete the old runs of some schedules: of each one with one run in many."""
        ids = {run.schedule_id for run in runs if run.inserted and self._chance() < _PRUNE_CHANCE}
        if ids:
            async with self._database.connection() as connection:
                await store.prune_schedule_runs(connection, ids, kept=self._conf.schedule_runs_kept)
