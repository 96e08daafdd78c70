"""A `local` provider on the test database, and the end of whatever it started."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from psycopg import AsyncConnection

from coordinator.database import conninfo
from tasks.store import Connection
from tests.system.fleet import database_url
from workers.models import PoolMember
from workers.pools import processes
from workers.pools.members import Members
from workers.pools.provider import Observed, Wanted
from workers.pools.providers.local import LocalProvider

#: Nobody listens there: a worker waits for a coordinator, and runs.
NOBODY = "127.0.0.1:9"


@asynccontextmanager
async def connect() -> AsyncIterator[Connection]:
    async with await AsyncConnection.connect(conninfo(), autocommit=True) as connection:
        yield connection


def wanted(count: int, pool: str = "herons", /, **environment: str) -> Wanted:
    argv = ("--pool-name", pool, "--pool", "threads", "--concurrency", "2")
    return Wanted(pool, count, argv, {"DATABASE_URL": database_url(), **environment}, 30)


def provider(
    folder: Path, address: str = NOBODY, clock: Callable[[], float] = time.monotonic
) -> LocalProvider:
    return LocalProvider(Members(connect), folder, lambda: [address], lambda: None, clock=clock)


async def observed(
    local: LocalProvider,
    asked: Wanted,
    holds: Callable[[Observed], bool],
    deadline_s: float = 15.0,
) -> Observed:
    """Looks until it sees this."""
    async with asyncio.timeout(deadline_s):
        while not holds(seen := await local.observe(asked)):
            await asyncio.sleep(0.02)
    return seen


def pids() -> Mapping[str, int]:
    """Those of all members that have one, by name."""
    return dict(PoolMember.objects.exclude(pid=None).order_by("id").values_list("name", "pid"))


def end_all() -> None:
    """Kills what is left of the workers of every pool."""
    for member in PoolMember.objects.exclude(pid=None):
        assert member.pid is not None
        if processes.born(member.pid) == member.born:
            with suppress(ProcessLookupError):
                os.kill(member.pid, signal.SIGKILL)
