"""The coordinator's own connections, outside Django's: a small pool, and one that listens.

At most 5 in all: the pool's two, the listener, and two of Django's for client calls.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from django.db import DEFAULT_DB_ALIAS, connections
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool

from tasks.store import Connection

#: Claims and flushes run side by side; everything else slips in between.
POOL_MAX = 2
#: Seconds an unused connection lives.
POOL_IDLE_S = 30.0
#: Seconds to wait for a connection before the turn is given up and tried again.
POOL_WAIT_S = 2.0
#: A half-open connection must not stay silent for many minutes.
_KEEPALIVE = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


def conninfo(alias: str = DEFAULT_DB_ALIAS) -> str:
    """The connection string of Django's database."""
    declared = connections[alias].settings_dict
    parameters = {
        "host": declared["HOST"],
        "port": declared["PORT"],
        "dbname": declared["NAME"],
        "user": declared["USER"],
        "password": declared["PASSWORD"],
    }
    given = {name: value for name, value in parameters.items() if value}
    return make_conninfo("", **given, **_KEEPALIVE, application_name="taskmaster-coordinator")


def prepare_threshold(alias: str = DEFAULT_DB_ALIAS) -> int | None:
    """After how many executions a statement is prepared; None behind a pooler: never."""
    threshold: int | None = connections[alias].settings_dict["OPTIONS"].get("prepare_threshold", 5)
    return threshold


class Database:
    """The pool of one coordinator."""

    def __init__(self, info: str) -> None:
        self.info = info
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            info,
            min_size=1,
            max_size=POOL_MAX,
            max_idle=POOL_IDLE_S,
            timeout=POOL_WAIT_S,
            kwargs={"autocommit": True, "prepare_threshold": prepare_threshold()},
            check=AsyncConnectionPool.check_connection,
            open=False,
        )

    async def open(self) -> None:
        """Connects. Raises psycopg.OperationalError or psycopg_pool.PoolTimeout."""
        async with await AsyncConnection.connect(self.info):
            pass
        await self._pool.open(wait=True)

    async def close(self) -> None:
        """Closes every connection."""
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection in autocommit: each statement is its own transaction."""
        async with self._pool.connection() as connection:
            yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection inside one transaction."""
        async with self._pool.connection() as connection, connection.transaction():
            yield connection
