"""Test that real coordinators and workers run the tasks of schedules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from taskmaster.tasks.models import Schedule, Task
from tests.factories import a_schedule
from tests.system.fleet import coordinator
from tests.system.workers import MODULE, worker
from tests.waiting import until, until_finished

pytestmark = pytest.mark.django_db(transaction=True)


@sync_to_async
def created(**fields: object) -> Schedule:
    """Create a schedule as a user does: the leading coordinator is notified."""
    schedule = a_schedule(**fields)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify('taskmaster_schedule', '')")
    return schedule


@pytest.mark.parametrize(
    "executor", ["process", pytest.param("thread", marks=pytest.mark.long), "async"]
)
async def test_a_scheduled_task_knows_its_due_time(executor: str) -> None:
    async with (
        coordinator(TASKMASTER_TASK_MODULES=MODULE) as address,
        worker(address, "--executor", executor, "--concurrency", "2"),
    ):
        due_at = datetime.now(UTC) + timedelta(seconds=1)
        for name, overlap in (("current", "allow"), ("current_later", "skip")):
            schedule = await created(
                task=f"{MODULE}.{name}",
                args=[],
                trigger="dates",
                dates=[due_at],
                next_due_at=due_at,
                overlap=overlap,
            )
            tasks = Task.objects.filter(schedule=schedule)
            task = await until_finished((await until(tasks.afirst)).pk)
            assert task.result == [task.pk, 1, due_at.isoformat()]
            assert task.started_at >= due_at
