"""Create the rows that tests of several packages need, in one line each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
from django.contrib.auth.models import Permission, User
from rest_framework.authtoken.models import Token

from taskmaster.coordinator.support.database import conninfo
from taskmaster.tasks.enqueue import bulk
from taskmaster.tasks.messages import NewTask
from taskmaster.tasks.models import Schedule
from taskmaster.tasks.schedules.stored import timing_of
from taskmaster.tasks.timing.timing import jitter
from taskmaster.workers.models import Worker


def a_task(**fields: object) -> NewTask:
    """Return a valid submission that needs no registry."""
    return NewTask(**{"name": "shell", "kwargs": '{"command":"true"}', **fields})  # type: ignore[arg-type]


def stored(count: int = 1, **fields: object) -> list[int]:
    """Store tasks and return their ids."""
    return bulk([a_task(**fields)] * count)


def in_s(seconds: float) -> datetime:
    """Return the time this number of seconds from now."""
    return datetime.now(UTC) + timedelta(seconds=seconds)


@contextmanager
def locked(task_id: int) -> Iterator[psycopg.Connection[Any]]:
    """Lock the row of the task in another session."""
    with psycopg.connect(conninfo()) as other:
        other.execute("SELECT FROM taskmaster_tasks_task WHERE id = %s FOR UPDATE", [task_id])
        yield other


def a_worker(name: str = "heron", **fields: object) -> Worker:
    """Store a worker that has just registered."""
    given = {"host": "here", "pid": 7, "executor": "thread", "slots": 4, **fields}
    return Worker.objects.create(id=uuid4(), name=name, **given)


def user_with(*permissions: str) -> User:
    """Create a user with only these permissions (`taskmaster_tasks.view_task`)."""
    user = User.objects.create_user(f"user-{uuid4().hex[:8]}")
    for permission in permissions:
        app, _, codename = permission.partition(".")
        user.user_permissions.add(
            Permission.objects.get(content_type__app_label=app, codename=codename)
        )
    return user


def a_schedule(**fields: Any) -> Schedule:
    """Store a schedule that is due once an hour, on the hour, unless `fields` say otherwise.

    Its next due time is computed from now, unless `next_due_at` is given.
    """
    given = {
        "name": f"schedule-{uuid4().hex[:8]}",
        "task": "examples.tasks.add",
        "args": [1, 2],
        "trigger": "interval",
        "interval_s": 3600,
        "anchor": datetime(2020, 1, 1, tzinfo=UTC),
        "timezone": "UTC",
        **fields,
    }
    schedule = Schedule(**given)
    if schedule.next_due_at is None:
        due = timing_of(schedule).next_after(datetime.now(UTC))
        schedule.next_due_at = due and due.at
    if schedule.next_run_at is None and schedule.next_due_at is not None:
        due_at = schedule.next_due_at
        schedule.next_run_at = due_at + jitter(schedule.name, due_at, schedule.jitter_s)
    schedule.save()
    return schedule


def token_header(user: User) -> dict[str, str]:
    """Create an API token for the user and return its header."""
    return {"Authorization": f"Token {Token.objects.create(user=user).key}"}
