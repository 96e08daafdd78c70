"""Read new events once each, also after a lost connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo

from taskmaster.tasks.events.buffer import event_buffer
from taskmaster.tasks.events.listen import EventListener
from taskmaster.tasks.models import Event
from taskmaster.tasks.store import async_store as store
from tests.system.fleet import database_url
from tests.tasks.events.sample import an_event

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "taskmaster-test-listener"


@dataclass
class Received:
    """Record the calls of a listener."""

    task_ids: list[int | None] = field(default_factory=list)
    with_output: set[int] = field(default_factory=set)
    connects: int = 0

    def on_events(self, events: list[Event]) -> None:
        self.task_ids += [event.task_id for event in events]

    def on_output(self, task_ids: Iterable[int]) -> None:
        self.with_output |= set(task_ids)

    def on_connect(self) -> None:
        self.connects += 1


@asynccontextmanager
async def listening() -> AsyncIterator[Received]:
    received = Received()
    listener = EventListener(
        make_conninfo(database_url(), application_name=NAME),
        on_events=received.on_events,
        on_output=received.on_output,
        on_connect=received.on_connect,
    )
    task = asyncio.create_task(listener.run())
    try:
        async with asyncio.timeout(10):
            await listener.ready.wait()
        yield received
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def publish(*task_ids: int) -> None:
    async with await AsyncConnection.connect(database_url(), autocommit=True) as own:
        await store.publish_events(own, [an_event(task_id=task_id) for task_id in task_ids])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_the_buffer_is_filled_and_new_events_are_delivered_once() -> None:
    await publish(1, 2)
    async with listening() as received:
        before = event_buffer.since(0, "all")
        assert [event.task_id for event in before or []][-2:] == [1, 2]
        await publish(3)
        await publish(4, 5)
        await until(lambda: len(received.task_ids) == 3)
    assert received.task_ids == [3, 4, 5]
    assert received.connects == 1
    assert [event.task_id for event in event_buffer.since(0, "task-4") or []] == [4]


async def test_an_event_has_all_its_columns() -> None:
    async with listening() as received:
        await publish(7)
        await until(lambda: bool(received.task_ids))
    [event] = event_buffer.since(0, "task-7") or []
    stored = await Event.objects.aget(task_id=7)
    for column in Event._meta.concrete_fields:
        assert getattr(event, column.attname) == getattr(stored, column.attname), column


async def test_events_of_a_lost_connection_are_read_after_the_reconnect() -> None:
    async with listening() as received:
        async with await AsyncConnection.connect(database_url(), autocommit=True) as other:
            await other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = %s",
                [NAME],
            )
        await publish(1, 2)
        await until(lambda: len(received.task_ids) == 2)
        await until(lambda: received.connects == 2)
    assert received.task_ids == [1, 2]


async def test_tasks_with_new_output_are_passed_on() -> None:
    async with listening() as received:
        async with await AsyncConnection.connect(database_url(), autocommit=True) as other:
            await store.notify_output(other, [42, 43])
        await until(lambda: bool(received.with_output))
    assert received.with_output == {42, 43}
