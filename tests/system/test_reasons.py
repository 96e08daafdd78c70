"""Test the pending reasons of tasks with real coordinators and workers."""

from __future__ import annotations

import asyncio
import re

import pytest
from asgiref.sync import sync_to_async

from taskmaster.tasks.models import QueueState, Task
from taskmaster.tasks.queries.pending_reason import explain_pending
from tests.factories import in_s
from tests.system.fleet import coordinator
from tests.system.workers import call, worker
from tests.waiting import until_counted, until_finished

pytestmark = pytest.mark.django_db(transaction=True)


async def until_reason(task_id: int, pattern: str) -> None:
    """Wait until the task has this reason."""
    reason: str | None = ""
    try:
        async with asyncio.timeout(10):
            while not re.fullmatch(pattern, reason or "None"):
                await asyncio.sleep(0.05)
                reason = await sync_to_async(explain_pending)(await Task.objects.aget(pk=task_id))
    except TimeoutError:
        raise AssertionError(f"the reason is {reason!r}") from None


async def test_the_pending_reason_is_right_at_each_step() -> None:
    first = await call("sleep", 6, queue="mail")
    await until_reason(first, "No coordinator seems to be running: .*")
    async with coordinator() as address:
        await until_reason(first, "No worker serves the queue `mail`\\.")
        async with worker(address, "--queues", "mail,parcels", "--concurrency", "1"):
            await until_counted(1, pk=first, status="started")
            await until_reason(first, "None")
            second, third = [await call("echo", n, queue="mail") for n in range(2)]
            other = await call("echo", 1, queue="other")
            full = "The only slot of the worker that serves `mail` is not free; "
            await until_reason(second, f"{full}the task is the next in its queue\\.")
            await until_reason(third, f"{full}1 task in the queue is ahead of it\\.")
            await until_reason(other, "No worker serves the queue `other`\\.")
            for task_id in (first, second, third):
                await until_finished(task_id)
            failing = await call("print_and_raise", queue="mail", max_attempts=2, retry_base_s=8.0)
            await until_reason(failing, r"Attempt 1 of 2 failed; the next is due in \d\.\d s\.")
            later = await call("echo", 1, queue="mail", scheduled_at=in_s(3_000))
            await until_reason(later, r"The task is due in 49 min\.")
            held = await call("echo", 1, queue="mail", scheduled_at=in_s(15))
            await until_reason(held, r"A coordinator holds the task until it is due in 1\d\.\d s\.")
    assert not await QueueState.objects.aexists()
    await until_reason(second, "None")
