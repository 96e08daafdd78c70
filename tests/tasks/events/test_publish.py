"""Events reach the table, in the order of commits, and never before what they tell of."""

from __future__ import annotations

import asyncio
import threading

import pytest
from django.db import connection, transaction
from psycopg import AsyncConnection

from tasks import store
from tasks.conf import settings
from tasks.events.event import Kind, NewEvent
from tasks.events.publish import drain, publish
from tasks.models import Event
from tests.system.fleet import database_url
from tests.tasks.events.sample import an_event

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _alone() -> None:
    """What tests before this one published is out, and gone."""
    assert drain()
    Event.objects.all().delete()


def test_what_is_published_is_stored_with_all_it_says() -> None:
    publish([an_event(Kind.FAILED, 7, worker="worker-1", user="eve", count=3)])
    assert drain()
    event = Event.objects.get()
    assert (event.kind, event.task_id, event.task, event.queue) == ("failed", 7, "a.task", "mail")
    assert (event.worker, event.user, event.count, event.text) == ("worker-1", "eve", 3, "in 2 ms")


def test_nothing_is_told_of_what_was_rolled_back() -> None:
    with transaction.atomic():
        publish([an_event()])
        transaction.set_rollback(True)
    publish([an_event(task_id=2)])
    assert drain()
    assert list(Event.objects.values_list("task_id", flat=True)) == [2]


def test_a_text_that_is_too_long_is_cut() -> None:
    publish([NewEvent(Kind.COMPLETE, "x" * 1_000, 2, "n" * 500)])
    assert drain()
    newest = Event.objects.first()
    assert newest is not None
    assert (len(newest.text), len(newest.task)) == (300, 200)


def test_ids_rise_in_the_order_of_commits() -> None:
    """A reader who has seen an id has seen all below it, whoever publishes."""
    seen: list[int] = []
    over = threading.Event()

    def write() -> None:
        async def publish_many() -> None:
            async with await AsyncConnection.connect(database_url(), autocommit=True) as own:
                for _ in range(40):
                    await store.publish(own, [an_event(), an_event()])

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


async def test_only_the_newest_are_kept() -> None:
    async with await AsyncConnection.connect(database_url(), autocommit=True) as own:
        await store.publish(own, [an_event(task_id=n) for n in range(1, 31)])
        await store.forget_events(own, 10)
    kept = [each async for each in Event.objects.order_by("pk").values_list("task_id", flat=True)]
    assert kept == list(range(21, 31))
    assert settings().events_kept > 250
