"""Define the tasks of a chaos run. Each returns the token of its execution."""

from __future__ import annotations

import asyncio
import time

from chaos import ledger
from taskmaster import task
from taskmaster.tasks.compat import TaskContext

#: Longer than a worker can be frozen: only the time-out ends it.
_FOREVER_S = 300.0


@task(takes_context=True)
def work(context: TaskContext, key: str, seconds: float) -> str:
    """Block the thread."""
    with ledger.execution(key, context.attempt) as token:
        time.sleep(seconds)
    return token


@task(takes_context=True)
def compute(context: TaskContext, key: str, seconds: float) -> str:
    """Keep a core busy."""
    with ledger.execution(key, context.attempt) as token:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            sum(range(1_000))
    return token


@task(takes_context=True)
async def wait(context: TaskContext, key: str, seconds: float) -> str:
    """Wait in the event loop."""
    with ledger.execution(key, context.attempt) as token:
        await asyncio.sleep(seconds)
    return token


@task(takes_context=True)
def explode(context: TaskContext, key: str, seconds: float) -> None:
    """Always raise."""
    with ledger.execution(key, context.attempt):
        time.sleep(seconds)
        raise RuntimeError("as planned")


@task(takes_context=True)
async def overrun(context: TaskContext, key: str) -> None:
    """Run until the planned time-out."""
    with ledger.execution(key, context.attempt):
        await asyncio.sleep(_FOREVER_S)


@task(takes_context=True)
def overrun_blocking(context: TaskContext, key: str) -> None:
    """Run until the planned time-out in a thread, which cannot be stopped."""
    with ledger.execution(key, context.attempt):
        time.sleep(_FOREVER_S)


@task
def recur(seconds: float) -> None:
    """Block the thread. Schedules submit it; their runs are judged without the ledger."""
    time.sleep(seconds)
