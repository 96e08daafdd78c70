"""Provide the coordinator's own connections, outside Django: a connection pool and the listener's.

By default a coordinator has at most 5 connections: two in this pool, one for the listener, and two
of Django for client calls. Everything but the listener works through PgBouncer in transaction mode.
The listener needs TASKMASTER_DATABASE_DIRECT_URL there.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from taskmaster.tasks.conf import Settings
from taskmaster.tasks.conninfo import conninfo as conninfo_of
from taskmaster.tasks.errors import ConfigurationError
from taskmaster.tasks.outage_log import OutageLog
from taskmaster.tasks.statements import Connection

#: Errors after which the caller retries: all errors of psycopg, so they include REJECTED_ERRORS.
#: Code that must not retry those catches them first.
OUTAGE_ERRORS = (psycopg.Error, PoolTimeout)
#: Permanent errors of one statement: do not retry. PostgreSQL raises StatementTooComplex for JSON
#: that is nested too deeply for its stack.
REJECTED_ERRORS = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.StatementTooComplex,
    psycopg.errors.ProgramLimitExceeded,
)
#: Seconds after which the connection pool stops trying to reconnect. The next request starts a new
#: attempt. The pool's own back-off doubles up to minutes, too long a wait once the server is back.
_RECONNECT_S = 2.0
#: Seconds after a successful check for which a pooled connection is used without another check.
_ALIVE_S = 1.0
#: Connection parameters. A half-open connection must not stay undetected for many minutes.
_KEEPALIVE = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


def limit_django_pool(size: int) -> None:
    """Limit the size of Django's connection pool in this process.

    A thread that needs a further connection waits. Does nothing if Django uses no pool.
    """
    pool = getattr(connections[DEFAULT_DB_ALIAS], "pool", None)
    if pool is not None:
        pool.resize(0, size)


def conninfo(alias: str = DEFAULT_DB_ALIAS) -> str:
    """Return the connection string of Django's database with the parameters of coordinators."""
    return conninfo_of(alias, **_KEEPALIVE, application_name="taskmaster-coordinator")


def direct_conninfo() -> str:
    """Return the connection string for LISTEN and for the coordinator's advisory lock.

    Both need a session of their own. If the database is behind a pooler,
    TASKMASTER_DATABASE_DIRECT_URL must name the server itself. Raises ConfigurationError if that
    URL is malformed.
    """
    url = os.environ.get("TASKMASTER_DATABASE_DIRECT_URL")
    if not url:
        return conninfo()
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise ConfigurationError(
            "TASKMASTER_DATABASE_DIRECT_URL is not a PostgreSQL URL like "
            f"postgresql://user:password@host:5432/name: {str(error).strip()}"
        ) from None
    return make_conninfo(url, **_KEEPALIVE, application_name="taskmaster-listener")


def prepare_threshold(alias: str = DEFAULT_DB_ALIAS) -> int | None:
    """Return the number of executions after which psycopg prepares a statement.

    None disables prepared statements, as a pooler requires.
    """
    threshold: int | None = connections[alias].settings_dict["OPTIONS"].get("prepare_threshold", 5)
    return threshold


async def _use_utc(connection: Connection) -> None:
    """Return times in UTC on this connection, as Django does.

    In the zone of the server, Python's arithmetic would ignore changes of the clocks. PgBouncer
    keeps this parameter for each of its clients.
    """
    await connection.execute("SELECT set_config('TimeZone', 'UTC', false)")


class Database:
    """Manage the connection pool of one coordinator and record outages."""

    def __init__(self, info: str, conf: Settings) -> None:
        self.info = info
        self.outage = OutageLog()
        #: Time of the last successful check of each pooled connection.
        self._alive_at: WeakKeyDictionary[Connection, float] = WeakKeyDictionary()
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            info,
            min_size=1,
            max_size=conf.coordinator_pool_max,
            max_idle=conf.db_pool_idle_s,
            timeout=conf.db_pool_wait_s,
            reconnect_timeout=_RECONNECT_S,
            kwargs={"autocommit": True, "prepare_threshold": prepare_threshold()},
            configure=_use_utc,
            check=self._check,
            open=False,
        )

    async def _check(self, connection: Connection) -> None:
        """Check a pooled connection with a round trip, unless it was checked within _ALIVE_S.

        Under load a check would otherwise precede every batch. If a connection breaks between two
        checks, the statement fails and the caller retries it.
        """
        now = time.monotonic()
        if now - self._alive_at.get(connection, float("-inf")) > _ALIVE_S:
            await AsyncConnectionPool.check_connection(connection)
            self._alive_at[connection] = now

    async def open(self) -> None:
        """Open the connection pool. Raises psycopg.OperationalError or psycopg_pool.PoolTimeout."""
        async with await AsyncConnection.connect(self.info):
            pass
        await self._pool.open(wait=True)

    async def close(self) -> None:
        """Close every connection of the pool."""
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Yield a connection in autocommit mode: each statement is its own transaction.

        Raises psycopg_pool.PoolTimeout if none is free within `db_pool_wait_s`. Records the errors
        in OUTAGE_ERRORS that its block raises, except those in REJECTED_ERRORS.
        """
        async with self._recorded(), self._pool.connection() as connection:
            yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Yield a connection inside a transaction. Raises and records the same errors."""
        async with (
            self._recorded(),
            self._pool.connection() as connection,
            connection.transaction(),
        ):
            yield connection

    @property
    def size(self) -> int:
        """Return the number of connections that this pool and Django's pool have open."""
        return sum(
            pool.get_stats().get("pool_size", 0)
            for pool in (self._pool, getattr(connections[DEFAULT_DB_ALIAS], "pool", None))
            if pool is not None
        )

    async def notify(self, channel: str) -> None:
        """Send an empty message to a notify channel, from a session other than the listener's."""
        async with self.connection() as connection:
            await connection.execute("SELECT pg_notify(%s, '')", [channel])

    @asynccontextmanager
    async def _recorded(self) -> AsyncIterator[None]:
        """Record whether the block succeeds or fails because of an outage."""
        try:
            yield
        except REJECTED_ERRORS:
            raise
        except OUTAGE_ERRORS as error:
            reason = await self._reason(error) if self.outage.line_is_due else error
            self.outage.record_error(reason)
            raise
        self.outage.record_success()

    async def _reason(self, error: psycopg.Error) -> psycopg.Error:
        """Return the cause of an error for the log.

        A PoolTimeout contains only the waiting time. Connect directly to get the server's error.
        """
        if isinstance(error, PoolTimeout):
            try:
                async with await AsyncConnection.connect(self.info):
                    pass
            except psycopg.Error as direct:
                return direct
        return error
