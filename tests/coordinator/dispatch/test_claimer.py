"""Test when the claimer scans, and when it goes idle."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async

from taskmaster.coordinator.dispatch.claimer import Claimer
from taskmaster.coordinator.dispatch.dispatcher import Dispatcher
from taskmaster.coordinator.dispatch.lookahead import LookaheadQueue
from taskmaster.coordinator.dispatch.parking import Parking
from taskmaster.coordinator.dispatch.pauses import Pauses
from taskmaster.coordinator.events.publisher import EventPublisher
from taskmaster.coordinator.support.database import Database, conninfo
from taskmaster.tasks.conf import Settings
from taskmaster.tasks.models import IdleCoordinator, Task
from tests.coordinator.sample import Clock, connected, sign
from tests.factories import in_s, stored
from tests.system.fleet import WireWorker
from tests.waiting import until, until_counted

pytestmark = pytest.mark.django_db(transaction=True)


def ignore(*_: object) -> None:
    pass


async def test_a_wake_up_before_it_is_idle_does_not_skip_the_last_scan() -> None:
    # No poll finds the task in time and no NOTIFY arrives: only the last scan finds it. The clock
    # stands still, so that the task is stored in time on a slow machine too.
    conf = Settings(poll_interval_s=30.0)
    database = Database(conninfo(), conf)
    dispatcher = Dispatcher(conf, on_capacity_freed=lambda: None, on_release=ignore, sign=sign)
    lookahead = LookaheadQueue(database, dispatcher, conf, on_release=ignore)
    publisher, me = EventPublisher(database), uuid4()
    parking = Parking(
        database, dispatcher, me, publisher, on_release=ignore, is_leader=lambda: False
    )
    claimer = Claimer(
        database,
        dispatcher,
        lookahead,
        parking,
        Pauses(database, dispatcher, lookahead, conf, on_release_held=ignore),
        conf,
        me,
        publisher,
        on_refuse=ignore,
        clock=Clock(),
    )
    connected(dispatcher)
    await database.open()
    running = asyncio.create_task(claimer.run())
    try:
        async with asyncio.timeout(15):
            while not await IdleCoordinator.objects.aexists():
                await asyncio.sleep(0.001)
        # A worker joins.
        before = claimer.scans
        claimer.wake()
        await until(lambda: claimer.scans > before)
        # Stored by a process that read shortly before that no coordinator is idle.
        await sync_to_async(stored)()
        await until_counted(1, status="picked", deadline_s=15)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await database.close()


UNRECEIVABLE: list[tuple[dict[str, Any], str]] = [
    ({"args": ["漢" * 6_000_000]}, "args and kwargs have 18,000,022 bytes; the limit is "),
    ({"timeout_s": -1.0}, "timeout_s is -1.0; it must be from 0 to 2,592,000"),
    ({"timeout_s": float("nan")}, "timeout_s is nan; it must be from 0 to 2,592,000"),
]


async def test_tasks_that_no_worker_can_receive_fail_and_disturb_no_other(
    honest: WireWorker,
) -> None:
    # Due now, and claimed by the look-ahead.
    for ahead_s in (0, 3):
        expected: dict[int, str] = {}
        for fields, reason in UNRECEIVABLE:
            given = {"kwargs": {"command": "true"}, "timeout_s": 60.0, **fields}
            task = await Task.objects.acreate(
                name="shell", queue="honest", max_attempts=3, scheduled_at=in_s(ahead_s), **given
            )
            expected[task.pk] = reason
        [good] = await sync_to_async(stored)(queue="honest", scheduled_at=in_s(ahead_s))
        await until_counted(len(expected), pk__in=expected, status="failed")
        await until_counted(1, pk=good, status="complete")
        async for task in Task.objects.filter(pk__in=expected):
            assert (task.attempt, task.worker) == (1, "")
            [error] = task.errors
            reason = f"no worker can receive the task: {expected[task.pk]}"
            assert error["message"].startswith(reason)
        assert not {offer.task_id for _, offer in honest.offers} & expected.keys()
