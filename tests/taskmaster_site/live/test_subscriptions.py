"""Subscribe to tasks in the database, and notify the readers of their changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from psycopg import AsyncConnection

from taskmaster.coordinator.support.database import conninfo
from taskmaster.taskmaster_site.live.subscriptions import TaskSubscribers
from taskmaster.tasks.models import TaskSubscription
from tests.tasks.events.sample import kept

pytestmark = pytest.mark.django_db(transaction=True)


@asynccontextmanager
async def running() -> AsyncIterator[TaskSubscribers]:
    subscribers = TaskSubscribers()
    task = asyncio.create_task(subscribers.run())
    try:
        yield subscribers
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until_subscribed(*task_ids: int) -> None:
    async with asyncio.timeout(10):
        while {each.task_id async for each in TaskSubscription.objects.all()} != set(task_ids):
            await asyncio.sleep(0.02)


async def test_a_displayed_task_is_subscribed_until_its_last_reader_leaves() -> None:
    async with running() as subscribers:
        async with subscribers.subscribed(7):
            async with subscribers.subscribed(7), subscribers.subscribed(8):
                await until_subscribed(7, 8)
            await until_subscribed(7)
        await until_subscribed()


async def test_readers_are_notified_of_changes_of_their_own_task() -> None:
    subscribers = TaskSubscribers()
    async with subscribers.subscribed(7) as seven, subscribers.subscribed(8) as eight:
        subscribers.notify_changed(kept(1, 1, task_id=7))
        assert (seven.is_set(), eight.is_set()) == (True, False)
        subscribers.notify_output([8, 9])
        assert eight.is_set()
        seven.clear()
        subscribers.notify_all()
        assert seven.is_set()


async def test_readers_are_notified_after_the_subscription() -> None:
    async with running() as subscribers, subscribers.subscribed(7) as changed:
        async with asyncio.timeout(10):
            await changed.wait()
        await until_subscribed(7)


async def test_a_subscription_that_failed_is_repeated(caplog: pytest.LogCaptureFixture) -> None:
    rename = "ALTER TABLE {} RENAME TO {}"
    table = "taskmaster_tasks_tasksubscription"
    async with await AsyncConnection.connect(conninfo(), autocommit=True) as other:
        await other.execute(rename.format(table, "moved_away"))
        try:
            async with running() as subscribers, subscribers.subscribed(7):
                async with asyncio.timeout(10):
                    while "task subscriptions not renewed" not in caplog.text:
                        await asyncio.sleep(0.02)
                await other.execute(rename.format("moved_away", table))
                await until_subscribed(7)
        finally:
            await other.execute(f"ALTER TABLE IF EXISTS moved_away RENAME TO {table}")
