"""Publish the events of a coordinator: single while they are few, as counts beyond, once each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db.models import Sum
from psycopg import AsyncConnection

from taskmaster.coordinator.events import messages
from taskmaster.coordinator.events import publisher as module
from taskmaster.coordinator.events.publisher import EventPublisher
from taskmaster.coordinator.support.database import Database, conninfo
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.event import EventKind, NewEvent
from taskmaster.tasks.events.aggregate import EventBatch
from taskmaster.tasks.events.publish import ThreadedEventPublisher
from taskmaster.tasks.events.unpublished import UnpublishedEvents
from taskmaster.tasks.messages import Completion, RecordedAttempt, TaskChange
from taskmaster.tasks.models import Event, QueueDepth, TaskSubscription
from taskmaster.tasks.store.parameters import PUBLISH_LOCK
from tests.factories import in_s, stored
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)

HERON, EGRET = UUID(int=1), UUID(int=2)


@asynccontextmanager
async def publishing() -> AsyncIterator[EventPublisher]:
    conf = Settings()
    database = Database(conninfo(), conf)
    await database.open()
    try:
        yield EventPublisher(database)
    finally:
        await database.close()


def completions(ids: range, queue: str = "mail", worker: str = "heron") -> EventBatch:
    worker_id = HERON if worker == "heron" else EGRET
    return EventBatch(
        EventKind.COMPLETE,
        [RecordedAttempt(task_id, "a.task", queue, 0.002) for task_id in ids],
        messages.complete,
        [Completion(task_id, 1, 1, 0.5, 0.3, worker, worker_id, None) for task_id in ids],
    )


def failure(task_id: int) -> EventBatch:
    row = TaskChange(task_id, "a.task", "mail", "failed", 3, 3, "heron", HERON, 0.0)
    report: Any = type("Report", (), {"task_id": task_id, "error": ERROR})
    return EventBatch(EventKind.FAILED, [row], messages.failed, [report])


ERROR = '{"class": "raised", "exception": "ValueError", "message": "no such\\nfile"}'


async def watch(*task_ids: int) -> None:
    """Subscribe to tasks, as a web process does that shows their pages."""
    await TaskSubscription.objects.abulk_create(
        TaskSubscription(task_id=task_id, web=UUID(int=3), until=in_s(60)) for task_id in task_ids
    )


async def published(**only: object) -> list[tuple[str, int | None, str, int]]:
    names = ("kind", "task_id", "text", "count")
    rows = Event.objects.filter(**only).order_by("pk").values_list(*names)
    return [row async for row in rows]


async def test_both_publishers_use_the_same_core() -> None:
    async with publishing() as publisher:
        assert type(publisher._unpublished) is UnpublishedEvents
    assert type(ThreadedEventPublisher("default")._unpublished) is UnpublishedEvents


async def test_few_completions_are_published_one_by_one() -> None:
    async with publishing() as publisher:
        publisher.add_batch(completions(range(1, 4)))
        await publisher.publish()
        await publisher.publish()
    assert await published() == [
        ("complete", task_id, "on heron in 200 ms", 1) for task_id in (1, 2, 3)
    ]


async def test_many_completions_are_counted_by_queue_and_worker() -> None:
    async with publishing() as publisher:
        publisher.add_batch(completions(range(1, 101)))
        publisher.add_batch(completions(range(101, 121), "media", "egret"))
        await publisher.publish()
    assert await published() == [
        ("complete", None, "100 tasks of mail on heron", 100),
        ("complete", None, "20 tasks of media on egret", 20),
    ]


async def test_a_stale_report_is_not_counted() -> None:
    many = completions(range(1, 101))
    half = EventBatch(many.kind, many.rows[:50], many.build, many.reports)
    async with publishing() as publisher:
        publisher.add_batch(half)
        await publisher.publish()
    assert await published() == [("complete", None, "50 tasks of mail on heron", 50)]


async def test_a_failure_stays_single_among_many_completions() -> None:
    async with publishing() as publisher:
        publisher.add_batch(completions(range(1, 101)))
        publisher.add_batch(failure(7))
        await publisher.publish()
    expected = "ValueError: no such file (attempt 3 of 3, on heron)"
    assert await published(kind="failed") == [("failed", 7, expected, 1)]


async def test_an_event_of_a_watched_task_stays_single_among_many_completions() -> None:
    await watch(42)
    async with publishing() as publisher:
        await publisher.publish()
        publisher.add_batch(completions(range(1, 101)))
        await publisher.publish()
    assert await published(task_id=42) == [("complete", 42, "on heron in 200 ms", 1)]
    total = await Event.objects.aaggregate(total=Sum("count"))
    assert total["total"] == 100


async def test_output_of_watched_tasks_only_is_notified() -> None:
    await watch(42)
    async with await AsyncConnection.connect(conninfo(), autocommit=True) as listener:
        await listener.execute("LISTEN taskmaster_output")
        async with publishing() as publisher:
            await publisher.publish()
            publisher.add_output([7, 42])
            publisher.add_output([8])
            await publisher.publish()
        payloads = [each.payload async for each in listener.notifies(timeout=5, stop_after=1)]
    assert payloads == ["42"]


async def test_output_that_could_not_be_notified_is_notified_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # PostgreSQL rejects a payload of 8,000 bytes.
    task_ids = [2**62 + n for n in range(500)]
    await watch(*task_ids)
    async with await AsyncConnection.connect(conninfo(), autocommit=True) as listener:
        await listener.execute("LISTEN taskmaster_output")
        async with publishing() as publisher:
            await publisher.publish()
            publisher.add_output(task_ids)
            with monkeypatch.context() as unlimited:
                unlimited.setattr(module, "_OUTPUT_MAX", 500)
                with pytest.raises(psycopg.DataError):
                    await publisher.publish()
            await publisher.publish()
            await publisher.publish()
        payloads = [each.payload async for each in listener.notifies(timeout=5, stop_after=2)]
    assert {int(each) for payload in payloads for each in payload.split()} == set(task_ids)


async def test_events_that_could_not_be_published_are_published_later() -> None:
    async with (
        publishing() as publisher,
        await AsyncConnection.connect(conninfo(), autocommit=True) as other,
    ):
        publisher.add_batch(completions(range(1, 3)))
        await other.execute("ALTER TABLE taskmaster_tasks_event RENAME TO moved_away")
        try:
            with pytest.raises(psycopg.errors.UndefinedTable):
                await publisher.publish()
        finally:
            await other.execute("ALTER TABLE moved_away RENAME TO taskmaster_tasks_event")
        publisher.add(NewEvent(EventKind.ONLINE, "heron joined"))
        await publisher.publish()
    assert [kind for kind, *_ in await published()] == ["complete", "complete", "online"]


async def test_events_added_during_a_publication_are_published_by_the_next() -> None:
    async with (
        publishing() as publisher,
        await AsyncConnection.connect(conninfo(), autocommit=True) as other,
    ):
        await other.execute("SELECT pg_advisory_lock(%s)", [PUBLISH_LOCK])
        publisher.add_batch(completions(range(1, 3)))
        publication = asyncio.create_task(publisher.publish())
        while len(publisher._unpublished):
            await asyncio.sleep(0.01)
        publisher.add_batch(completions(range(10, 12)))
        await other.execute("SELECT pg_advisory_unlock(%s)", [PUBLISH_LOCK])
        await publication
        await publisher.publish()
    assert [task_id for _, task_id, *_ in await published()] == [1, 2, 10, 11]


async def test_an_event_that_postgresql_rejects_does_not_block_later_ones() -> None:
    async with publishing() as publisher:
        publisher.add(NewEvent(EventKind.ONLINE, "heron joined", user="x" * 200))
        await publisher.publish()
        publisher.add(NewEvent(EventKind.ONLINE, "egret joined"))
        await publisher.publish()
    assert [text for _, _, text, _ in await published()] == ["egret joined"]


async def test_a_publication_counts_the_pending_tasks() -> None:
    await sync_to_async(stored)(3)
    async with publishing() as publisher:
        await publisher.publish()
    assert (await QueueDepth.objects.aget()).pending == 3


async def counted_pending() -> int | None:
    total = await QueueDepth.objects.aaggregate(total=Sum("pending"))
    return total["total"]


async def test_tasks_are_counted_when_they_have_settled_although_the_last_count_took_long() -> None:
    async with publishing() as publisher:
        await publisher.publish()
        publisher._depth._took_s = 1_000.0
        await sync_to_async(stored)(3)
        running = asyncio.create_task(publisher.run())
        try:
            publisher.add(NewEvent(EventKind.ONLINE, "heron joined"))
            await until(lambda: _is(counted_pending, 3))
        finally:
            running.cancel()


async def _is(read: Callable[[], Awaitable[object]], expected: object) -> bool:
    return await read() == expected
