"""Publish events from Django's connection: in the order of commits, and never before the commit."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import psycopg
import pytest
from django.db import connection, transaction
from psycopg import AsyncConnection

from taskmaster.tasks.event import EventKind, NewEvent
from taskmaster.tasks.events.publish import drain, publish, publish_submitted
from taskmaster.tasks.models import Event, TaskSubscription
from taskmaster.tasks.store import async_store as store
from taskmaster.tasks.store.parameters import PUBLISH_LOCK
from tests.factories import a_task, in_s
from tests.system.fleet import database_url
from tests.tasks.events.sample import an_event

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _no_earlier_events() -> None:
    """Publish and delete the events of earlier tests."""
    assert drain()
    Event.objects.all().delete()


@contextmanager
def publishing_blocked() -> Iterator[None]:
    """Hold the lock of all publishers."""
    with psycopg.connect(database_url(), autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [PUBLISH_LOCK])
        yield


def test_all_fields_of_an_event_are_stored() -> None:
    publish([an_event(EventKind.FAILED, 7, worker="worker-1", user="eve", count=3)])
    assert drain()
    event = Event.objects.get()
    assert (event.kind, event.task_id, event.task, event.queue) == ("failed", 7, "a.task", "mail")
    assert (event.worker, event.user, event.count, event.text) == ("worker-1", "eve", 3, "in 2 ms")


def test_an_event_of_a_transaction_that_rolls_back_is_not_published() -> None:
    with transaction.atomic():
        publish([an_event()])
        transaction.set_rollback(True)
    publish([an_event(task_id=2)])
    assert drain()
    assert list(Event.objects.values_list("task_id", flat=True)) == [2]


def test_a_text_that_is_too_long_is_cut() -> None:
    publish([NewEvent(EventKind.COMPLETE, "x" * 1_000, 2, "n" * 500)])
    assert drain()
    newest = Event.objects.first()
    assert newest is not None
    assert (len(newest.text), len(newest.task)) == (300, 200)


def test_a_caller_does_not_wait_for_the_lock_of_the_publishers() -> None:
    with publishing_blocked():
        publish([an_event()])
        assert not drain(0.2)
        assert not Event.objects.exists()
    assert drain()
    assert Event.objects.count() == 1


def test_many_events_become_a_count_but_those_of_a_watched_task_stay_single() -> None:
    TaskSubscription.objects.create(task_id=42, web=UUID(int=3), until=in_s(60))
    publish([an_event(task_id=n) for n in range(100)])
    assert drain()
    assert list(Event.objects.order_by("pk").values_list("task_id", "count")) == [
        (None, 99),
        (42, 1),
    ]


def test_events_that_could_not_be_published_are_published_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE taskmaster_tasks_event RENAME TO moved_away")
    try:
        publish([an_event(task_id=1)])
        deadline = time.monotonic() + 10
        while "events not published, retrying" not in caplog.text:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        publish([an_event(task_id=2)])
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE moved_away RENAME TO taskmaster_tasks_event")
    assert drain()
    assert list(Event.objects.order_by("pk").values_list("task_id", flat=True)) == [1, 2]


def test_an_event_that_postgresql_rejects_does_not_block_later_ones() -> None:
    publish([an_event(task_id=1, user="x" * 200)])
    assert drain()
    publish([an_event(task_id=2)])
    assert drain()
    assert list(Event.objects.values_list("task_id", flat=True)) == [2]


def test_a_few_submitted_tasks_are_published_one_by_one() -> None:
    publish_submitted([1, 2], [a_task(queue="mail"), a_task(queue="media")], "eve")
    assert drain()
    fields = ("kind", "task_id", "task", "queue", "text", "user")
    assert list(Event.objects.order_by("pk").values_list(*fields)) == [
        ("submitted", 1, "shell", "mail", "to mail by eve", "eve"),
        ("submitted", 2, "shell", "media", "to media by eve", "eve"),
    ]


def test_many_submitted_tasks_are_published_as_one_count_for_each_queue() -> None:
    tasks = [a_task(queue="mail")] * 40 + [a_task(queue="media")] * 2
    publish_submitted(range(1, 43), tasks)
    assert drain()
    assert list(Event.objects.order_by("pk").values_list("queue", "text", "count")) == [
        ("mail", "40 tasks to mail", 40),
        ("media", "2 tasks to media", 2),
    ]


def test_ids_rise_in_the_order_of_commits() -> None:
    """A reader that has seen an id has seen all lower ids, for any number of publishers."""
    seen: list[int] = []
    over = threading.Event()

    def write() -> None:
        async def publish_many() -> None:
            async with await AsyncConnection.connect(database_url(), autocommit=True) as own:
                for _ in range(40):
                    await store.publish_events(own, [an_event(), an_event()])

        asyncio.run(publish_many())

    def read() -> None:
        try:
            while not over.is_set():
                newest = seen[-1] if seen else 0
                found = list(
                    Event.objects.order_by("pk").filter(pk__gt=newest).values_list("pk", flat=True)
                )
                seen.extend(found)
        finally:
            connection.close()

    writers = [threading.Thread(target=write) for _ in range(4)]
    reader = threading.Thread(target=read)
    for thread in (*writers, reader):
        thread.start()
    for thread in writers:
        thread.join()
    over.set()
    reader.join()
    stored = list(Event.objects.order_by("pk").values_list("pk", flat=True))
    missed = [pk for pk in stored if pk <= seen[-1] and pk not in set(seen)]
    assert not missed
    assert len(stored) == 4 * 40 * 2
