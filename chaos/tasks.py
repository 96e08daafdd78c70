"""What the workers run under chaos. Each returns the token of its execution."""

from __future__ import annotations

import asyncio
import time

from chaos import ledger
from tasks.compat import TaskContext, task

#: Longer than a worker may be frozen: nothing but its time-out ends it.
_FOREVER_S = 300.0


@task(takes_context=True)
def work(context: TaskContext, key: str, seconds: float) -> str:
    """Blocks its thread."""
    with ledger.execution(key, context.attempt) as token:
        time.sleep(seconds)
    return token


@task(takes_context=True)
def compute(context: TaskContext, key: str, seconds: float) -> str:
    """Keeps a core busy."""
    with ledger.execution(key, context.attempt) as token:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            sum(range(1_000))
    return token


@task(takes_context=True)
async def wait(context: TaskContext, key: str, seconds: float) -> str:
    """Waits in its loop."""
    with ledger.execution(key, context.attempt) as token:
        await asyncio.sleep(seconds)
    return token


@task(takes_context=True)
def explode(context: TaskContext, key: str, seconds: float) -> None:
    """Raises, always."""
    with ledger.execution(key, context.attempt):
        time.sleep(seconds)
        raise RuntimeError("as planned")


@task(takes_context=True)
async def overrun(context: TaskContext, key: str) -> None:
    """Never ends by itself: its time-out is planned."""
    with ledger.execution(key, context.attempt):
        await asyncio.sleep(_FOREVER_S)


@task(takes_context=True)
def overrun_blocking(context: TaskContext, key: str) -> None:
    """The same in a thread, which nobody can stop."""
    with ledger.execution(key, context.attempt):
        time.sleep(_FOREVER_S)
