"""Why a task is not running, said by real coordinators of real workers."""

from __future__ import annotations

import asyncio
import re

import pytest
from asgiref.sync import sync_to_async

from tasks.models import QueueState, Task
from tasks.reasons import why
from tests.system.fleet import coordinator, until_counted
from tests.system.workers import call, ended, worker
from tests.tasks.sample import in_s

pytestmark = pytest.mark.django_db(transaction=True)


async def until_said(task_id: int, pattern: str) -> None:
    """Waits until the task gives this reason."""
    said: str | None = ""
    try:
        async with asyncio.timeout(10):
            while not re.fullmatch(pattern, said or "None"):
                await asyncio.sleep(0.05)
                said = await sync_to_async(why)(await Task.objects.aget(pk=task_id))
    except TimeoutError:
        raise AssertionError(f"it says {said!r}") from None


async def test_a_task_says_at_each_step_why_it_is_not_running() -> None:
    first = await call("sleep", 6, queue="mail")
    await until_said(first, "No coordinator seems to run: .*")
    async with coordinator() as address:
        await until_said(first, "No worker serves the queue `mail`\\.")
        async with worker(address, "--queues", "mail,parcels", "--concurrency", "1"):
            await until_counted(1, pk=first, status="started")
            await until_said(first, "None")
            second, third = [await call("echo", n, queue="mail") for n in range(2)]
            other = await call("echo", 1, queue="other")
            full = "The only slot of the worker that serves `mail` is not free; "
            await until_said(second, f"{full}it is the next of its queue\\.")
            await until_said(third, f"{full}1 task of the queue is before it\\.")
            await until_said(other, "No worker serves the queue `other`\\.")
            for task_id in (first, second, third):
                await ended(task_id)
            failing = await call("speak_and_raise", queue="mail", max_attempts=2, retry_base_s=8.0)
            await until_said(failing, r"Attempt 1 of 2 failed; the next is due in \d\.\d s\.")
            later = await call("echo", 1, queue="mail", scheduled_at=in_s(3_000))
            await until_said(later, "It is due in 50 min\\.")
            held = await call("echo", 1, queue="mail", scheduled_at=in_s(15))
            await until_said(held, r"A coordinator holds it until its time, in 1\d\.\d s\.")
    assert not await QueueState.objects.aexists()
    await until_said(second, "None")
