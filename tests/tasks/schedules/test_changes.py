"""Test that changes are serialized by a lock, wake the leader, and are published."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection, transaction

from taskmaster.tasks.event import EventKind
from taskmaster.tasks.events.publish import drain
from taskmaster.tasks.models import Event, Schedule
from taskmaster.tasks.schedules import service
from tests.tasks.schedules.sample import a_planner, created

pytestmark = pytest.mark.django_db(transaction=True)


def test_of_two_concurrent_edits_the_second_sees_the_first() -> None:
    schedule = created(priority=1, queue="mail")
    done: list[Schedule] = []

    def edit() -> None:
        try:
            done.append(service.update(schedule, {"priority": 2}, user=None))
        finally:
            connection.close()

    other = threading.Thread(target=edit)
    with transaction.atomic():
        service.update(schedule, {"queue": "bulk"}, user=None)
        other.start()
        other.join(0.3)
        assert not done
    other.join(30)
    [changed] = done
    assert (changed.version, changed.queue, changed.priority) == (2, "bulk", 2)


def test_the_leader_is_notified_when_a_change_is_committed() -> None:
    schedule = created(name="nightly")
    with connection.cursor() as cursor:
        cursor.execute("LISTEN taskmaster_schedule")
    listener: Any = connection.connection
    for change in (
        created,
        lambda: service.update(schedule, {"priority": 1}, user=None),
        lambda: service.pause(schedule, "", user=None),
        lambda: service.resume(schedule, user=None),
        lambda: service.skip_next(schedule, "", user=None),
        lambda: service.pause_all("", user=None),
        lambda: service.resume_all(user=None),
        lambda: service.delete(schedule, user=None),
    ):
        change()
        [notice] = listener.notifies(timeout=10, stop_after=1)
        assert notice.channel == "taskmaster_schedule"


def test_changes_are_published_without_arguments_and_reasons() -> None:
    user = a_planner()
    schedule = created(user, name="nightly", args=["s3cret", 1])
    service.pause(schedule, "s3cret", user=user)
    service.update(schedule, {"args": ["s3cret", 2], "priority": 1}, user=user)
    service.resume(schedule, user=user)
    service.run_now(schedule, user=user)
    service.pause_all("s3cret", user=user)
    service.resume_all(user=user)
    service.delete(schedule, user=user)
    drain()
    events = Event.objects.filter(kind=EventKind.SCHEDULE, user=user.username).order_by("id")
    assert [event.text for event in events] == [
        "created schedule nightly",
        "paused schedule nightly",
        "changed args, priority of schedule nightly",
        "resumed schedule nightly",
        "ran schedule nightly",
        "paused all schedules",
        "resumed all schedules",
        "deleted schedule nightly",
    ]
