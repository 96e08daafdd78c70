"""Create a `local` provider on the test database, and end the processes that it started."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from psycopg import AsyncConnection

from taskmaster.coordinator.support.database import conninfo
from taskmaster.tasks.statements import Connection
from taskmaster.workers.models import PoolMember
from taskmaster.workers.pools import processes
from taskmaster.workers.pools.local_members import LocalMembers
from taskmaster.workers.pools.provider import DesiredPool, ObservedPool
from taskmaster.workers.pools.providers.local import LocalProvider
from tests.system.fleet import database_url

#: No server listens there: a worker keeps running and waits for a coordinator.
NO_COORDINATOR = "127.0.0.1:9"


@asynccontextmanager
async def connect() -> AsyncIterator[Connection]:
    async with await AsyncConnection.connect(conninfo(), autocommit=True) as connection:
        yield connection


def desired_pool(count: int, pool: str = "herons", /, **environment: str) -> DesiredPool:
    argv = ("--pool", pool, "--executor", "thread", "--concurrency", "2")
    return DesiredPool(pool, count, argv, {"DATABASE_URL": database_url(), **environment}, 30)


def provider(
    folder: Path, address: str = NO_COORDINATOR, clock: Callable[[], float] = time.monotonic
) -> LocalProvider:
    return LocalProvider(
        LocalMembers(connect), folder, lambda: [address], lambda: None, clock=clock
    )


async def observed(
    local: LocalProvider,
    desired: DesiredPool,
    holds: Callable[[ObservedPool], bool],
    deadline_s: float = 15.0,
) -> ObservedPool:
    """Observe until the condition holds, and return the observation."""
    async with asyncio.timeout(deadline_s):
        while not holds(seen := await local.observe(desired)):
            await asyncio.sleep(0.02)
    return seen


def pids() -> Mapping[str, int]:
    """Return the pids of the members that have one, by name."""
    return dict(PoolMember.objects.exclude(pid=None).order_by("id").values_list("name", "pid"))


def end_all() -> None:
    """Kill the remaining workers of every pool."""
    for member in PoolMember.objects.exclude(pid=None):
        assert member.pid is not None
        if processes.start_time(member.pid) == member.born:
            with suppress(ProcessLookupError):
                os.kill(member.pid, signal.SIGKILL)
