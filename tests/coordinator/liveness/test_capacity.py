"""Test the capacity that a coordinator writes for its workers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from psycopg import AsyncConnection

from taskmaster.coordinator.dispatch.dispatcher import Dispatcher
from taskmaster.coordinator.liveness.capacity import CapacityWriter
from taskmaster.coordinator.support.database import Database, conninfo
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.messages import KnownByWorkers, QueueCapacity
from taskmaster.tasks.models import KnownNames, QueueState
from taskmaster.tasks.store import async_store as store
from tests.coordinator.sample import claimed, connected, sign

ME, OTHER = UUID(int=1), UUID(int=2)


async def ignore() -> None:
    pass


def writer_of(
    dispatcher: Dispatcher, database: Any, on_new_names: Callable[[], Awaitable[None]] = ignore
) -> CapacityWriter:
    return CapacityWriter(database, dispatcher, ME, on_new_names=on_new_names)


def test_each_named_queue_has_an_entry_and_all_others_share_one() -> None:
    dispatcher = Dispatcher(
        Settings(), on_capacity_freed=lambda: None, on_release=lambda _: None, sign=sign
    )
    writer = writer_of(dispatcher, None)
    assert writer.capacity() == [QueueCapacity("", 0, 0, 0)]
    connected(dispatcher, slots=4)
    connected(dispatcher, slots=2, queues=frozenset({"mail", "reports"}))
    connected(dispatcher, slots=1, queues=frozenset({"mail"}))
    # It drains, so it serves no queue.
    connected(dispatcher, slots=9, queues=frozenset({"mail", "old"})).draining = True
    assert writer.capacity() == [
        QueueCapacity("", 1, 4, 4),
        QueueCapacity("mail", 3, 7, 7),
        QueueCapacity("reports", 2, 6, 6),
    ]
    dispatcher.offer([claimed(queue="reports") for _ in range(3)])
    assert writer.capacity()[2].free == 3


def test_free_slots_are_never_negative_and_a_suspended_worker_has_none() -> None:
    dispatcher = Dispatcher(
        Settings(), on_capacity_freed=lambda: None, on_release=lambda _: None, sign=sign
    )
    writer = writer_of(dispatcher, None)
    quick = connected(dispatcher, slots=2)
    quick.mean_run_s = 0.001
    assert dispatcher.offer([claimed() for _ in range(10)]) == []
    assert writer.capacity() == [QueueCapacity("", 1, 2, 0)]
    connected(dispatcher, slots=3).suspended = True
    assert writer.capacity() == [QueueCapacity("", 2, 5, 0)]


@pytest.mark.django_db(transaction=True)
async def test_only_changes_are_written_and_old_rows_of_other_coordinators_are_deleted() -> None:
    async with await AsyncConnection.connect(conninfo(), autocommit=True) as connection:
        await store.replace_capacity(connection, OTHER, [QueueCapacity("", 1, 1, 1)])
        first = [
            QueueCapacity("", 1, 4, 4),
            QueueCapacity("mail", 2, 5, 5),
            QueueCapacity("old", 1, 1, 1),
        ]
        await store.replace_capacity(connection, ME, first)
        at = (await QueueState.objects.aget(coordinator=ME, queue="mail")).at
        refreshed = (await QueueState.objects.aget(coordinator=ME, queue="")).at
        await store.replace_capacity(connection, ME, first[:2])
        assert await sync_to_async(rows)() == [
            *[(ME, *each) for each in first[:2]],
            (OTHER, "", 1, 1, 1),
        ]
        # The row without a queue is always written. Others are written if they changed.
        assert (await QueueState.objects.aget(coordinator=ME, queue="mail")).at == at
        assert (await QueueState.objects.aget(coordinator=ME, queue="")).at > refreshed
        await connection.execute(
            "UPDATE taskmaster_tasks_queuestate SET at = now() - interval '2 minutes' "
            "WHERE coordinator = %s",
            [OTHER],
        )
        await store.replace_capacity(connection, ME, [QueueCapacity("", 1, 4, 0)])
        assert await sync_to_async(rows)() == [(ME, "", 1, 4, 0)]
        await store.replace_capacity(connection, ME, [])
        assert await sync_to_async(rows)() == []


def rows() -> list[tuple[Any, ...]]:
    names = ("coordinator", "queue", "workers", "slots", "free")
    return list(QueueState.objects.order_by("coordinator", "queue").values_list(*names))


@pytest.mark.django_db(transaction=True)
async def test_names_are_written_when_they_change_and_new_ones_are_reported() -> None:
    conf = Settings()
    database = Database(conninfo(), conf)
    dispatcher = Dispatcher(
        conf, on_capacity_freed=lambda: None, on_release=lambda _: None, sign=sign
    )
    calls: list[int] = []

    async def on_new_names() -> None:
        # The rows are written by then.
        calls.append(await KnownNames.objects.acount())

    writer = writer_of(dispatcher, database, on_new_names)
    await database.open()
    try:
        for names in ({"b", "a"}, {"a", "b"}, None):
            connected(dispatcher, names=names)
        late = connected(dispatcher, queues=frozenset({"mail"}), names={"c"})
        await writer._iterate()
        everywhere = [(None, None), (None, ["a", "b"])]
        assert await sync_to_async(known)() == [*everywhere, (["mail"], ["c"])]
        ids = {each.pk async for each in KnownNames.objects.all()}
        await writer._iterate()
        assert {each.pk async for each in KnownNames.objects.all()} == ids
        assert calls == [3]
        late.draining = True
        await writer._iterate()
        assert await sync_to_async(known)() == everywhere
        assert calls == [3]
        late.draining = False
        await writer._iterate()
        assert calls == [3, 3]
    finally:
        await database.close()


@pytest.mark.django_db(transaction=True)
async def test_names_of_coordinators_without_a_sign_of_life_are_deleted() -> None:
    async with await AsyncConnection.connect(conninfo(), autocommit=True) as connection:
        every = [KnownByWorkers(None, None)]
        await store.replace_known_names(connection, OTHER, every)
        await store.replace_known_names(connection, ME, every)
        assert [each.coordinator async for each in KnownNames.objects.all()] == [ME]


def known() -> list[tuple[list[str] | None, list[str] | None]]:
    rows = KnownNames.objects.values_list("queues", "names")
    return sorted(rows, key=lambda row: (row[0] or [], row[1] or []))
