"""What is noted is told: in words while there is room, in counts beyond, and never twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db.models import Sum
from psycopg import AsyncConnection

from coordinator import announcer as module
from coordinator import words
from coordinator.announcer import Announcer, Many
from coordinator.database import Database, conninfo
from tasks import store
from tasks.conf import Settings
from tasks.events.event import Kind, NewEvent
from tasks.models import Event, Watch
from tasks.reports import Changed, Completion, Written
from tests.tasks.sample import in_s, stored

pytestmark = pytest.mark.django_db(transaction=True)

HERON, EGRET = UUID(int=1), UUID(int=2)


@asynccontextmanager
async def announcing() -> AsyncIterator[Announcer]:
    conf = Settings()
    database = Database(conninfo(), conf)
    await database.open()
    try:
        yield Announcer(database, conf)
    finally:
        await database.close()


def completions(ids: range, queue: str = "mail", worker: str = "heron") -> Many:
    worker_id = HERON if worker == "heron" else EGRET
    return Many(
        Kind.COMPLETE,
        [Written(task_id, "a.task", queue, 0.002) for task_id in ids],
        words.complete,
        [Completion(task_id, 1, 1, 0.5, 0.3, worker, worker_id, None) for task_id in ids],
    )


def failure(task_id: int) -> Many:
    row = Changed(task_id, "a.task", "mail", "failed", 3, 3, "heron", HERON, 0.0)
    report: Any = type("Report", (), {"task_id": task_id, "error": ERROR})
    return Many(Kind.FAILED, [row], words.failed, [report])


ERROR = '{"class": "raised", "exception": "ValueError", "message": "no such\\nfile"}'


async def told(**only: object) -> list[tuple[str, int | None, str, int]]:
    names = ("kind", "task_id", "text", "count")
    rows = Event.objects.filter(**only).order_by("pk").values_list(*names)
    return [row async for row in rows]


async def test_few_ends_are_told_one_by_one() -> None:
    async with announcing() as announcer:
        announcer.note_many(completions(range(1, 4)))
        await announcer.publish()
        await announcer.publish()
    assert await told() == [("complete", task_id, "on heron in 200 ms", 1) for task_id in (1, 2, 3)]


async def test_many_ends_are_counted_by_queue_and_worker() -> None:
    async with announcing() as announcer:
        announcer.note_many(completions(range(1, 101)))
        announcer.note_many(completions(range(101, 121), "media", "egret"))
        await announcer.publish()
    assert await told() == [
        ("complete", None, "100 tasks of mail on heron", 100),
        ("complete", None, "20 tasks of media on egret", 20),
    ]


async def test_a_stale_report_is_not_counted() -> None:
    many = completions(range(1, 101))
    half = Many(many.kind, many.rows[:50], many.words, many.reports)
    async with announcing() as announcer:
        announcer.note_many(half)
        await announcer.publish()
    assert await told() == [("complete", None, "50 tasks of mail on heron", 50)]


async def test_a_failure_keeps_its_words_in_a_flood() -> None:
    async with announcing() as announcer:
        announcer.note_many(completions(range(1, 101)))
        announcer.note_many(failure(7))
        await announcer.publish()
    expected = "ValueError: no such file (attempt 3 of 3, on heron)"
    assert await told(kind="failed") == [("failed", 7, expected, 1)]


async def test_a_watched_task_keeps_its_line_in_a_flood() -> None:
    await Watch.objects.acreate(task_id=42, web=UUID(int=3), until=in_s(60))
    async with announcing() as announcer:
        await announcer.publish()
        announcer.note_many(completions(range(1, 101)))
        await announcer.publish()
    assert await told(task_id=42) == [("complete", 42, "on heron in 200 ms", 1)]
    total = await Event.objects.aaggregate(total=Sum("count"))
    assert total["total"] == 100


async def test_output_is_announced_where_it_is_watched() -> None:
    await Watch.objects.acreate(task_id=42, web=UUID(int=3), until=in_s(60))
    async with await AsyncConnection.connect(conninfo(), autocommit=True) as listener:
        await listener.execute("LISTEN taskmaster_output")
        async with announcing() as announcer:
            await announcer.publish()
            announcer.note_output([7, 42])
            announcer.note_output([8])
            await announcer.publish()
        heard = [each.payload async for each in listener.notifies(timeout=5, stop_after=1)]
    assert heard == ["42"]


async def test_output_that_could_not_be_announced_is_announced_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuse(*_: object) -> None:
        raise psycopg.OperationalError("gone")

    for task_id in (42, 43):
        await Watch.objects.acreate(task_id=task_id, web=UUID(int=3), until=in_s(60))
    monkeypatch.setattr(module, "_PRINTED_MAX", 1)
    async with await AsyncConnection.connect(conninfo(), autocommit=True) as listener:
        await listener.execute("LISTEN taskmaster_output")
        async with announcing() as announcer:
            await announcer.publish()
            announcer.note_output([42, 43])
            with monkeypatch.context() as broken:
                broken.setattr(store, "printed", refuse)
                with pytest.raises(psycopg.OperationalError):
                    await announcer.publish()
            await announcer.publish()
            await announcer.publish()
        heard = {each.payload async for each in listener.notifies(timeout=5, stop_after=2)}
    assert heard == {"42", "43"}


async def test_what_could_not_be_told_is_told_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> None:
        announcer.note(NewEvent(Kind.ONLINE, "heron joined"))
        raise psycopg.OperationalError("gone")

    async with announcing() as announcer:
        announcer.note_many(completions(range(1, 3)))
        with monkeypatch.context() as broken:
            broken.setattr(store, "publish", refuse)
            with pytest.raises(psycopg.OperationalError):
                await announcer.publish()
        await announcer.publish()
    assert [kind for kind, *_ in await told()] == ["complete", "complete", "online"]


async def test_what_is_noted_during_a_publication_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish = store.publish

    async def publish_slowly(*arguments: Any) -> None:
        announcer.note_many(completions(range(10, 12)))
        await publish(*arguments)

    async with announcing() as announcer:
        announcer.note_many(completions(range(1, 3)))
        with monkeypatch.context() as slow:
            slow.setattr(store, "publish", publish_slowly)
            await announcer.publish()
        await announcer.publish()
    assert [task_id for _, task_id, *_ in await told()] == [1, 2, 10, 11]


async def test_a_publication_counts_what_waits() -> None:
    from tasks.models import Depth

    await sync_to_async(stored)(3)
    async with announcing() as announcer:
        await announcer.publish()
    assert (await Depth.objects.aget()).pending == 3
