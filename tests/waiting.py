"""Wait for conditions, with a deadline each."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskmaster.tasks.models import Task

#: Long, because the machine may be busy with other tests.
DEADLINE_S = 60.0
#: The first pause and the longest one. Each is half as long again as the one before it: a condition
#: that holds soon is seen soon, and a long wait takes no processor time from what is waited for.
_FIRST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 0.05


def wait_until(
    condition: Callable[[], Any],
    what: str = "the condition",
    deadline_s: float = DEADLINE_S,
    *,
    retry_on: tuple[type[Exception], ...] = (),
) -> Any:
    """Wait for a true value and return it. Raise AssertionError with `what` after the deadline.

    An error in `retry_on`, for example of an API that restarts, counts as false.
    """
    deadline, reason, pause_s = time.monotonic() + deadline_s, "", _FIRST_PAUSE_S
    while True:
        try:
            if found := condition():
                return found
        except retry_on as error:
            reason = f" ({error})"
        message = f"timed out after {deadline_s:.0f} s waiting for: {what}{reason}"
        assert time.monotonic() < deadline, message
        time.sleep(pause_s)
        pause_s = _longer(pause_s)


async def until(
    condition: Callable[[], object | Awaitable[object]], deadline_s: float = 25.0
) -> Any:
    """Wait for a true value and return it. Raise TimeoutError after the deadline."""
    pause_s = _FIRST_PAUSE_S
    async with asyncio.timeout(deadline_s):
        while True:
            found = condition()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(pause_s)
            pause_s = _longer(pause_s)


def _longer(pause_s: float) -> float:
    return min(pause_s * 1.5, _LONGEST_PAUSE_S)


async def until_counted(number: int, deadline_s: float = 30.0, **filters: object) -> None:
    """Wait until the number of tasks that match the filters is `number`."""
    from taskmaster.tasks.models import Task

    async def is_reached() -> bool:
        return await Task.objects.filter(**filters).acount() == number

    await until(is_reached, deadline_s)


async def until_finished(task_id: int, deadline_s: float = 20.0) -> Task:
    """Wait until a task has ended, and return it."""
    from taskmaster.tasks.lifecycle import FINISHED
    from taskmaster.tasks.models import Task

    tasks = Task.objects.filter(pk=task_id, status__in=FINISHED)
    found: Task = await until(tasks.afirst, deadline_s)
    return found


async def until_offline(worker: str, deadline_s: float = 20.0) -> None:
    """Wait until the worker of this name is offline."""
    from taskmaster.workers.models import Worker

    async def is_offline() -> bool:
        return not await Worker.objects.filter(name=worker).exclude(status="offline").aexists()

    await until(is_offline, deadline_s)
