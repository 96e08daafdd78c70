"""Test pauses with coordinators as real processes."""

from __future__ import annotations

import asyncio
import signal

import pytest
from asgiref.sync import sync_to_async

from taskmaster.tasks.policies import pausing
from tests.factories import in_s, stored
from tests.system.fleet import LATE_POLL, WireWorker, coordinator, end, free_port, manage, serving
from tests.waiting import until_counted

pytestmark = pytest.mark.django_db(transaction=True)

store = sync_to_async(stored)


async def pause(kind: str, target: str = "") -> None:
    await sync_to_async(pausing.pause)(kind, target, "", user=None)


async def resume(kind: str, target: str = "") -> None:
    await sync_to_async(pausing.resume)(kind, target, user=None)


async def test_started_tasks_continue_and_others_start_after_the_resume() -> None:
    # The safety poll comes too late: only the NOTIFY of the change reaches the coordinator.
    async with coordinator(**LATE_POLL) as address, WireWorker(address).running() as worker:
        worker.holding = True
        [started] = await store(queue="mail")
        await until_counted(1, pk=started, status="started")
        [held] = await store(queue="mail", scheduled_at=in_s(25))
        await until_counted(1, pk=held, status="picked")
        await pause("queue", "mail")
        await until_counted(1, pk=held, status="pending", attempt=0)
        waiting = await store(3, queue="mail")
        [other] = await store(queue="other")
        await until_counted(1, pk=other, status="started")
        assert [offer.task_id for _, offer in worker.offers] == [started, other]
        await worker.complete([offer for _, offer in worker.offers])
        await until_counted(2, pk__in=[started, other], status="complete")
        await until_counted(3, pk__in=waiting, status="pending", lease=0)
        worker.holding = False
        await resume("queue", "mail")
        await until_counted(3, pk__in=waiting, status="complete")
        assert worker.stale == []


async def test_a_pause_outlives_a_killed_coordinator() -> None:
    port = free_port()
    killed = manage("runcoordinator", "--port", str(port))
    try:
        await serving(f"127.0.0.1:{port}")
        async with WireWorker(f"127.0.0.1:{port}").running():
            [held] = await store(scheduled_at=in_s(25))
            await until_counted(1, pk=held, status="picked")
        # It cannot release anything itself.
        killed.send_signal(signal.SIGSTOP)
        await pause("everything")
        await until_counted(1, pk=held, status="pending", coordinator=None)
    finally:
        await asyncio.to_thread(end, killed, signal.SIGKILL)
    [due] = await store(queue="mail")
    await pause("queue", "mail")
    async with coordinator(**LATE_POLL) as address, WireWorker(address).running() as worker:
        [other] = await store()
        await resume("everything")
        await until_counted(1, pk=other, status="complete")
        assert [offer.task_id for _, offer in worker.offers] == [other]
        await resume("queue", "mail")
        await until_counted(1, pk=due, status="complete")
