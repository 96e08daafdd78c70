"""Run schedule runners for tests, and read what they have stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from asgiref.sync import sync_to_async
from django.db import connection

from taskmaster.coordinator.events.publisher import EventPublisher
from taskmaster.coordinator.schedules.planner import StartableRun
from taskmaster.coordinator.schedules.runner import ScheduleRunner
from taskmaster.coordinator.support.database import Database, conninfo
from taskmaster.coordinator.support.django_thread import run_in_thread
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.models import Schedule, ScheduleRun, Task
from taskmaster.tasks.schedule_messages import Plan, ScheduleSearch
from tests.factories import a_schedule


class LeadingRunner:
    """A schedule runner with its own connections. It leads from the start."""

    def __init__(self, **settings: Any) -> None:
        self.conf = Settings(**settings)
        self.id = uuid4()
        self.database = Database(conninfo(), self.conf)
        self.publisher = EventPublisher(self.database)
        self.leading = asyncio.Event()
        self.leading.set()
        self.pending_calls = 0
        self.threads = ThreadPoolExecutor(1)
        self.runner = ScheduleRunner(
            self.database,
            self.conf,
            self.id,
            self.publisher,
            self.threads,
            leading=self.leading,
            on_pending=self._count_pending,
        )

    def _count_pending(self) -> None:
        self.pending_calls += 1

    async def plan(self) -> tuple[list[Plan], ScheduleSearch]:
        """Search for due schedules and plan their runs."""
        runner = self.runner
        search, _ = await runner._search()
        batch = await run_in_thread(self.threads, lambda: runner._planner.plan_all(search, ()))
        return batch.plans, search

    async def create(self, plans: list[Plan], search: ScheduleSearch) -> int:
        """Store plans, as the loop does. Return the number of stored runs."""
        return await self.runner._writer.create(plans, search)

    async def plan_queued(self) -> tuple[list[StartableRun], ScheduleSearch]:
        """Search for queued runs that can start."""
        runner = self.runner
        search, _ = await runner._search()
        batch = await run_in_thread(self.threads, lambda: runner._planner.plan_all(search, ()))
        return batch.queued, search

    async def step(self) -> int:
        """Search once and store what is due, as the loop does. Return the number of stored runs."""
        search, _ = await self.runner._search()
        gaps = self.runner._gaps.gaps
        batch = await run_in_thread(
            self.threads, lambda: self.runner._planner.plan_all(search, gaps)
        )
        started = await self.runner._writer.start_queued(batch.queued, search)
        due = [plan for plan in batch.plans if plan.act_at <= search.now]
        return started + await self.create(due, search)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[LeadingRunner]:
        """Open the connections, without the loop."""
        await self.database.open()
        try:
            yield self
        finally:
            await self.database.close()
            self.threads.shutdown()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[LeadingRunner]:
        """Run the loop."""
        async with self.opened():
            task = asyncio.create_task(self.runner.run())
            try:
                yield self
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


def database_now() -> datetime:
    """Return the time of the database's clock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
        return now


def an_overdue_schedule(late_s: float, *, every_s: float = 3600, **fields: Any) -> Schedule:
    """Store a schedule whose next due time is this number of seconds ago."""
    due_at = database_now() - timedelta(seconds=late_s)
    return a_schedule(anchor=due_at, interval_s=every_s, next_due_at=due_at, **fields)


def runs_of(schedule: Schedule) -> list[ScheduleRun]:
    """Return the runs of a schedule by due time."""
    return list(ScheduleRun.objects.filter(schedule=schedule).order_by("due_at", "id"))


def states_of(schedule: Schedule) -> list[tuple[str, int]]:
    """Return state and number of due times of each run."""
    return [(run.state, run.count) for run in runs_of(schedule)]


def tasks_of(schedule: Schedule) -> list[Task]:
    """Return the tasks of a schedule by due time."""
    return list(Task.objects.filter(schedule=schedule).order_by("scheduled_for"))


async def make_due(schedule: Schedule) -> None:
    """Make the schedule due now."""
    now = await sync_to_async(database_now)()
    await Schedule.objects.filter(pk=schedule.pk).aupdate(next_due_at=now, next_run_at=now)


create = sync_to_async(a_schedule)
create_overdue = sync_to_async(an_overdue_schedule)
runs = sync_to_async(runs_of)
states = sync_to_async(states_of)
tasks = sync_to_async(tasks_of)
