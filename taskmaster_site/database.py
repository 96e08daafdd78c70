"""Select the database: DATABASE_URL, or the embedded PostgreSQL of this checkout."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from taskmaster.taskmaster_site import data
from taskmaster.taskmaster_site.embedded_postgres import server
from taskmaster.tasks import conf
from taskmaster.tasks.errors import ConfigurationError
from taskmaster.tasks.outage_log import reason

#: Connection time-out in seconds. Without one, libpq waits for minutes for an unreachable host.
_CONNECT_S = 5
#: Placeholder without a database, so that commands such as `--help` still work.
_NO_DATABASE: dict[str, Any] = {"host": "127.0.0.1", "port": "1", "dbname": "none", "user": "none"}
#: Time after which the pool abandons an attempt to connect, in seconds. The next request starts
#: another attempt. The pool's own pauses double up to minutes, which is too long after a restart.
_RECONNECT_S = 2.0

_SHARD = re.compile(r"[a-z][a-z0-9_-]{0,30}")


def django_database(declared: Mapping[str, Any], url: str | None = None) -> dict[str, Any]:
    """Return the entry for `DATABASES`; `declared` is the TASKMASTER dict.

    `url` names a database other than that of DATABASE_URL or the embedded one. Raises
    ConfigurationError for a malformed URL or wrong settings.
    """
    parameters = _connection_parameters() if url is None else _parse("TASKMASTER_SHARDS", url)
    settings = conf.read(declared, os.environ)
    # Without a server, waiting is useless.
    wait_s = 0.5 if parameters == _NO_DATABASE else settings.db_pool_wait_s
    prepare = os.environ.get("TASKMASTER_DB_PREPARE") != "off"
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": parameters.pop("host", ""),
        "PORT": str(parameters.pop("port", "")),
        "NAME": parameters.pop("dbname", ""),
        "USER": parameters.pop("user", ""),
        "PASSWORD": parameters.pop("password", ""),
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        # Server-side cursors need one session, which a transaction-mode pooler does not provide.
        "DISABLE_SERVER_SIDE_CURSORS": not prepare,
        "OPTIONS": {
            "application_name": "taskmaster-django",
            "connect_timeout": _CONNECT_S,
            **parameters,
            # Hot statements are prepared, which PgBouncer in transaction mode does not support.
            "prepare_threshold": 5 if prepare else None,
            # Use a pool. Under ASGI, one connection per thread would exceed the server's limit.
            "pool": {
                "min_size": 0,
                "max_size": _pool_max(),
                "timeout": wait_s,
                "max_idle": settings.db_pool_idle_s,
                "reconnect_timeout": _RECONNECT_S,
            },
        },
    }


def shard_urls() -> dict[str, str]:
    """Return the other databases by name, from TASKMASTER_SHARDS="north=URL south=URL".

    Raises ConfigurationError with a one-line message.
    """
    urls: dict[str, str] = {}
    for number, part in enumerate(os.environ.get("TASKMASTER_SHARDS", "").split(), 1):
        name, _, url = part.partition("=")
        # The message does not quote the entry, because a URL contains a password.
        if not _SHARD.fullmatch(name) or name == DEFAULT_DB_ALIAS or not url:
            raise ConfigurationError(
                f"Entry {number} of TASKMASTER_SHARDS is invalid; each entry must be NAME=URL, and "
                "entries are separated by spaces. A name has 1 to 31 lower-case letters, digits, _ "
                f"and -, starts with a letter, and is not {DEFAULT_DB_ALIAS!r}."
            )
        if name in urls:
            raise ConfigurationError(
                f"TASKMASTER_SHARDS contains the name {name!r} twice; each name must be unique."
            )
        urls[name] = url
    return urls


def unavailable_message(error: BaseException) -> str:
    """Return a message that names the unreachable database, without its password."""
    if not os.environ.get("DATABASE_URL") and server.default().url() is None:
        return (
            "Database unavailable: DATABASE_URL is not set, and the embedded PostgreSQL in "
            f"{server.default().home} is not running. Run `{data.command('demo')}` or "
            "`python -m taskmaster.taskmaster_site.embedded_postgres start`, "
            "or set DATABASE_URL."
        )
    parameters = _connection_parameters()
    host, port = parameters.get("host", "localhost"), parameters.get("port", 5432)
    location = f"{host}:{port}/{parameters.get('dbname', '')}"
    source = "DATABASE_URL" if os.environ.get("DATABASE_URL") else "the embedded PostgreSQL"
    return f"Database unavailable: {source} ({location}) does not answer: {reason(error)}"


def _connection_parameters() -> dict[str, Any]:
    url = os.environ.get("DATABASE_URL") or server.default().url()
    return _parse("DATABASE_URL", url) if url else dict(_NO_DATABASE)


def _parse(variable: str, url: str) -> dict[str, Any]:
    try:
        return dict(conninfo_to_dict(url))
    except ProgrammingError as error:
        raise ConfigurationError(
            f"{variable} is not a PostgreSQL URL such as "
            f"postgresql://user:password@host:5432/name: {str(error).strip()}"
        ) from None


def _pool_max() -> int:
    raw = os.environ.get("TASKMASTER_DB_POOL_MAX", "8")
    if not raw.isdigit() or int(raw) < 1:
        raise ConfigurationError(
            f"TASKMASTER_DB_POOL_MAX is {raw!r}; it must be an integer of at least 1."
        )
    return int(raw)
