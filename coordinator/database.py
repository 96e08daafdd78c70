"""The coordinator's own connections, outside Django's: a small pool, and one that listens.

At most 5 in all: the pool's two, the listener, and two of Django's for client calls. Everything but
the listener works through PgBouncer in transaction mode; DATABASE_DIRECT_URL is the way round it.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections
from psycopg import AsyncConnection, pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from coordinator.trouble import Trouble
from tasks.conf import Settings
from tasks.errors import ConfigurationError
from tasks.store import Connection

#: What passes by itself, so that whoever meets it tries again.
TROUBLE = (psycopg.Error, PoolTimeout)
#: What a statement was told is wrong, not the database: trying again would be in vain. Of JSON that
#: is nested too deeply PostgreSQL says that its stack is too small.
REFUSED = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.StatementTooComplex,
    psycopg.errors.ProgramLimitExceeded,
)
#: After this time the pool gives up an attempt to connect, and whoever asks next begins another:
#: its own pauses double up to minutes, and nobody must wait that long for a server that is back.
_RECONNECT_S = 2.0
#: So long a pooled connection is believed to live without being asked.
_ALIVE_S = 1.0
#: What of Django's options is for the connection itself, like sslmode.
_LIBPQ = frozenset(each.keyword.decode() for each in pq.Conninfo.get_defaults())
#: A half-open connection must not stay silent for many minutes.
_KEEPALIVE = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


def limit_django(size: int) -> None:
    """Of this process Django takes so many connections at most; whoever needs another waits."""
    pool = getattr(connections[DEFAULT_DB_ALIAS], "pool", None)
    if pool is not None:
        pool.resize(0, size)


def conninfo(alias: str = DEFAULT_DB_ALIAS) -> str:
    """The connection string of Django's database."""
    declared = connections[alias].settings_dict
    parameters = {
        **{name: value for name, value in declared["OPTIONS"].items() if name in _LIBPQ},
        "host": declared["HOST"],
        "port": declared["PORT"],
        "dbname": declared["NAME"],
        "user": declared["USER"],
        "password": declared["PASSWORD"],
    }
    given = {name: value for name, value in parameters.items() if value}
    own = {**_KEEPALIVE, "application_name": "taskmaster-coordinator"}
    return make_conninfo("", **{**given, **own})


def direct_conninfo() -> str:
    """The connection string for LISTEN and for the lock that says the coordinator lives.

    Both need a session of their own: DATABASE_DIRECT_URL where the database is behind a pooler.
    Raises ConfigurationError when it is malformed.
    """
    url = os.environ.get("DATABASE_DIRECT_URL")
    if not url:
        return conninfo()
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise ConfigurationError(
            "DATABASE_DIRECT_URL is no PostgreSQL URL like postgresql://user:password@host:5432/"
            f"name: {str(error).strip()}"
        ) from None
    return make_conninfo(url, **_KEEPALIVE, application_name="taskmaster-listener")


def prepare_threshold(alias: str = DEFAULT_DB_ALIAS) -> int | None:
    """After how many executions a statement is prepared; None behind a pooler: never."""
    threshold: int | None = connections[alias].settings_dict["OPTIONS"].get("prepare_threshold", 5)
    return threshold


class Database:
    """The pool of one coordinator."""

    def __init__(self, info: str, conf: Settings) -> None:
        self.info = info
        self.trouble = Trouble()
        #: When each pooled connection was last found alive.
        self._alive_at: WeakKeyDictionary[Connection, float] = WeakKeyDictionary()
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            info,
            min_size=1,
            max_size=conf.coordinator_pool_max,
            max_idle=conf.db_pool_idle_s,
            timeout=conf.db_pool_wait_s,
            reconnect_timeout=_RECONNECT_S,
            kwargs={"autocommit": True, "prepare_threshold": prepare_threshold()},
            check=self._check,
            open=False,
        )

    async def _check(self, connection: Connection) -> None:
        """A round trip, unless there was one a moment ago: under load it would precede every batch.

        What breaks in between is met by the statement itself, which is tried again.
        """
        now = time.monotonic()
        if now - self._alive_at.get(connection, float("-inf")) > _ALIVE_S:
            await AsyncConnectionPool.check_connection(connection)
            self._alive_at[connection] = now

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
        async with self._watched(), self._pool.connection() as connection:
            yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection inside one transaction."""
        async with (
            self._watched(),
            self._pool.connection() as connection,
            connection.transaction(),
        ):
            yield connection

    @property
    def size(self) -> int:
        """How many connections this pool has open, and Django's beside it, for client calls."""
        return sum(
            pool.get_stats().get("pool_size", 0)
            for pool in (self._pool, getattr(connections[DEFAULT_DB_ALIAS], "pool", None))
            if pool is not None
        )

    async def notify(self, channel: str) -> None:
        """Sends an empty message, as whoever wakes a coordinator does: from another session."""
        async with self.connection() as connection:
            await connection.execute("SELECT pg_notify(%s, '')", [channel])

    @asynccontextmanager
    async def _watched(self) -> AsyncIterator[None]:
        try:
            yield
        except REFUSED:
            raise
        except TROUBLE as error:
            self.trouble.met(await self._reason(error) if self.trouble.news else error)
            raise
        self.trouble.over()

    async def _reason(self, error: psycopg.Error) -> psycopg.Error:
        """The pool says only how long it waited, so the server is asked once more."""
        if isinstance(error, PoolTimeout):
            try:
                async with await AsyncConnection.connect(self.info):
                    pass
            except psycopg.Error as direct:
                return direct
        return error
