"""Manage the database connections of tasks.

A thread of a child has its own connections, without a connection pool. They are kept between
attempts, reset after each attempt that used them, and closed when they are idle or their thread
ends. No other module of the daemon uses `django.db`. The fork server and the children import this
module. The supervisor never does.
"""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from importlib.resources import files
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

#: A slot that is idle for this long closes its connections.
IDLE_S = 5.0
#: Replaces a CONN_MAX_AGE of 0, which would open a connection for each attempt.
_MAX_AGE_S = 300
#: Connection parameters. By default, a query to a server that vanished waits for fifteen minutes.
_DEAD_SERVER = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
#: Values of libpq: PQTRANS_IDLE and PGRES_TUPLES_OK.
_IDLE, _TUPLES_OK = 0, 2
#: Attributes of a psycopg connection that a task can change.
_ATTRIBUTES = ("autocommit", "isolation_level", "read_only", "deferrable", "row_factory")
#: A receiver of `connection_created` that only registers types. It needs no new connection.
_REGISTERS_TYPES = "django.contrib.postgres.signals.register_type_handlers"


class _OpenConnections(dict[int, tuple[BaseDatabaseWrapper, tuple[Any, ...]]]):
    """Hold the connections that a thread has opened, with their first attributes.

    It is deleted when its thread ends, and then closes the connections.
    """

    def __del__(self) -> None:
        for wrapper, _ in self.values():
            _close(wrapper)


class _Thread(threading.local):
    """Hold the open connections of the current thread. None: it has opened none."""

    opened: _OpenConnections | None = None


_thread = _Thread()


def close_before_fork() -> None:
    """Close all connections and connection pools before a fork.

    Two processes must not share a connection.
    """
    connections.close_all()
    for alias in connections:
        pool = getattr(connections[alias], "close_pool", None)
        if pool is not None and connections[alias].settings_dict.get("OPTIONS", {}).get("pool"):
            pool()


def prepare_child() -> None:
    """Configure the connections of a child. They are checked before their first use in an attempt.

    A connection pool is made for a web process: threads of a task that come and go would exhaust
    it, and it may be smaller than the number of slots.
    """
    for alias, entry in connections.settings.items():
        own = {key: value for key, value in entry["OPTIONS"].items() if key != "pool"}
        is_postgres = connections[alias].vendor == "postgresql"
        entry["OPTIONS"] = _DEAD_SERVER | own if is_postgres else own
        entry["CONN_HEALTH_CHECKS"] = True
        if entry["CONN_MAX_AGE"] == 0:
            entry["CONN_MAX_AGE"] = _MAX_AGE_S
    connection_created.connect(_remember, dispatch_uid=__name__)


def _remember(connection: BaseDatabaseWrapper, **_: object) -> None:
    if _thread.opened is None:
        _thread.opened = _OpenConnections()
    _thread.opened[id(connection)] = connection, _attributes(connection)


def has_connections() -> bool:
    """Return whether this thread may have open connections."""
    return bool(_thread.opened)


def close_connections() -> None:
    """Close the connections of this thread."""
    wrappers = [wrapper for wrapper, _ in (_thread.opened or {}).values()]
    # Emptied first: its deletion would close SQLite databases in memory, which stay open.
    if _thread.opened:
        _thread.opened.clear()
    for wrapper in wrappers:
        _discard(wrapper)


def reset_connections() -> None:
    """Make the connections of this thread like new after an attempt.

    A connection that cannot be reset is closed. The next attempt opens another one.
    """
    if not _thread.opened:
        return
    for key, (wrapper, attributes) in list(_thread.opened.items()):
        wrapper.queries_log.clear()
        try:
            keep = _is_clean(wrapper, attributes) and (not _is_used(wrapper) or _reset(wrapper))
        except Exception:
            # The connection is broken. What broke it does not matter.
            keep = False
        if not keep:
            _discard(wrapper)
            del _thread.opened[key]


def forget_inherited() -> None:
    """Forget the connections of the parent in a process that a task forked.

    They are not closed, because the parent goes on using them.
    """
    for wrapper, _ in (_thread.opened or {}).values():
        wrapper.connection = None
        _forget(wrapper)
    if _thread.opened:
        _thread.opened.clear()


def _attributes(wrapper: BaseDatabaseWrapper) -> tuple[Any, ...]:
    return tuple(getattr(wrapper.connection, name, None) for name in _ATTRIBUTES)


def _is_used(wrapper: BaseDatabaseWrapper) -> bool:
    """Return whether the attempt has run a query.

    Django sets `health_check_done` at the first one. `_reset` clears it.
    """
    return getattr(wrapper, "health_check_done", True)


def _is_clean(wrapper: BaseDatabaseWrapper, attributes: tuple[Any, ...]) -> bool:
    """Return whether a connection can be reset: it is open, in no transaction and unchanged."""
    return (
        hasattr(wrapper.connection, "pgconn")
        and wrapper.connection.pgconn.transaction_status == _IDLE
        and not (wrapper.in_atomic_block or wrapper.run_on_commit or wrapper.execute_wrappers)
        and not wrapper.force_debug_cursor
        and (wrapper.close_at is None or time.monotonic() < wrapper.close_at)
        and _attributes(wrapper) == attributes
        and not _has_set_up()
    )


def _has_set_up() -> bool:
    """Return whether the project sets up each new connection in a receiver of the signal.

    A reset would undo that.
    """
    for (uid, _), reference, *_ in connection_created.receivers:
        receiver = reference() if isinstance(reference, weakref.ReferenceType) else reference
        path = f"{getattr(receiver, '__module__', '')}.{getattr(receiver, '__qualname__', '')}"
        if uid != __name__ and path != _REGISTERS_TYPES:
            return True
    return False


def _reset(wrapper: BaseDatabaseWrapper) -> bool:
    """Reset the session. Return False, or raise an error, if that fails."""
    # Behind a transaction pooler, the statement would reach any session of the server.
    if not wrapper.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):
        # One round trip at the lowest level: three times as fast as a cursor.
        result = wrapper.connection.pgconn.exec_(_RESET)
        if result.status != _TUPLES_OK or result.get_value(0, 0) != b"0":
            return False
        # Sets time zone and role, if the server's defaults differ.
        wrapper.init_connection_state()
    wrapper.errors_occurred = False
    wrapper.health_check_done = False  # type: ignore[attr-defined]
    return True


def _discard(wrapper: BaseDatabaseWrapper) -> None:
    """Close a connection and its wrapper, which may be in the middle of a transaction."""
    if wrapper.vendor == "postgresql":
        _close(wrapper)
    else:
        # Django keeps a SQLite database in memory open.
        wrapper.close()
        if wrapper.connection is not None:
            return
    wrapper.connection = None
    _forget(wrapper)


def _forget(wrapper: BaseDatabaseWrapper) -> None:
    if connections[wrapper.alias] is wrapper:
        del connections[wrapper.alias]


def _close(wrapper: BaseDatabaseWrapper) -> None:
    if wrapper.connection is not None:
        with contextlib.suppress(Exception):
            wrapper.connection.close()


_RESET = files("taskmaster.workers.daemon.child").joinpath("sql/reset_session.sql").read_bytes()
