"""What a coordinator says that its workers can take."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from asgiref.sync import sync_to_async
from psycopg import AsyncConnection

from coordinator.capacity import CapacityWriter
from coordinator.database import conninfo
from coordinator.dispatcher import Dispatcher
from tasks import store
from tasks.conf import Settings
from tasks.models import QueueState
from tasks.reports import Capacity
from tests.coordinator.sample import claimed, connected

ME, OTHER = UUID(int=1), UUID(int=2)


def test_each_named_queue_has_an_entry_and_every_other_one_shares_one() -> None:
    dispatcher = Dispatcher(Settings(), on_room=lambda: None, on_release=lambda _: None)
    writer = CapacityWriter(None, dispatcher, uuid4())  # type: ignore[arg-type]
    assert writer.capacity() == [Capacity("", 0, 0, 0)]
    connected(dispatcher, slots=4)
    connected(dispatcher, slots=2, queues=frozenset({"mail", "reports"}))
    connected(dispatcher, slots=1, queues=frozenset({"mail"}))
    # It takes nothing new, so it serves nobody.
    connected(dispatcher, slots=9, queues=frozenset({"mail", "old"})).draining = True
    assert writer.capacity() == [
        Capacity("", 1, 4, 4),
        Capacity("mail", 3, 7, 7),
        Capacity("reports", 2, 6, 6),
    ]
    dispatcher.offer([claimed(queue="reports") for _ in range(3)])
    assert writer.capacity()[2].free == 3


def test_a_prefetch_is_no_negative_slot_and_who_answers_nothing_has_none_free() -> None:
    dispatcher = Dispatcher(Settings(), on_room=lambda: None, on_release=lambda _: None)
    writer = CapacityWriter(None, dispatcher, uuid4())  # type: ignore[arg-type]
    quick = connected(dispatcher, slots=2)
    quick.mean_run_s = 0.001
    assert dispatcher.offer([claimed() for _ in range(10)]) == []
    assert writer.capacity() == [Capacity("", 1, 2, 0)]
    connected(dispatcher, slots=3).suspended = True
    assert writer.capacity() == [Capacity("", 2, 5, 0)]


@pytest.mark.django_db(transaction=True)
async def test_the_rows_are_what_was_said_last_and_those_of_the_gone_go() -> None:
    async with await AsyncConnection.connect(conninfo(), autocommit=True) as connection:
        await store.write_capacity(connection, OTHER, [Capacity("", 1, 1, 1)])
        first = [Capacity("", 1, 4, 4), Capacity("mail", 2, 5, 5), Capacity("old", 1, 1, 1)]
        await store.write_capacity(connection, ME, first)
        at = (await QueueState.objects.aget(coordinator=ME, queue="mail")).at
        sign = (await QueueState.objects.aget(coordinator=ME, queue="")).at
        await store.write_capacity(connection, ME, first[:2])
        assert await sync_to_async(rows)() == [
            *[(ME, *each) for each in first[:2]],
            (OTHER, "", 1, 1, 1),
        ]
        # The sign of life is written always, and else what has changed.
        assert (await QueueState.objects.aget(coordinator=ME, queue="mail")).at == at
        assert (await QueueState.objects.aget(coordinator=ME, queue="")).at > sign
        await connection.execute(
            "UPDATE tasks_queuestate SET at = now() - interval '2 minutes' WHERE coordinator = %s",
            [OTHER],
        )
        await store.write_capacity(connection, ME, [Capacity("", 1, 4, 0)])
        assert await sync_to_async(rows)() == [(ME, "", 1, 4, 0)]
        await store.write_capacity(connection, ME, [])
        assert await sync_to_async(rows)() == []


def rows() -> list[tuple[Any, ...]]:
    names = ("coordinator", "queue", "workers", "slots", "free")
    return list(QueueState.objects.order_by("coordinator", "queue").values_list(*names))
