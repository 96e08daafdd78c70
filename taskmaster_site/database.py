"""Which database: DATABASE_URL, or the embedded PostgreSQL of this checkout."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import psycopg
from django.db import DEFAULT_DB_ALIAS
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import PoolTimeout

from taskmaster_site import postgres
from tasks import conf
from tasks.errors import ConfigurationError

#: A host that is gone does not refuse: libpq alone would wait for minutes.
_CONNECT_S = 5
#: Stands in the settings while no database is there, so that `--help` and the like still work.
_NOWHERE: dict[str, Any] = {"host": "127.0.0.1", "port": "1", "dbname": "none", "user": "none"}
#: After this time the pool gives up an attempt to connect, and whoever asks next begins another:
#: its own pauses double up to minutes, and nobody must wait that long for a server that is back.
_RECONNECT_S = 2.0

_SHARD = re.compile(r"[a-z][a-z0-9_-]{0,30}")


def django_database(declared: Mapping[str, Any], url: str | None = None) -> dict[str, Any]:
    """The entry for `DATABASES`; `declared` is the TASKMASTER dict.

    `url`: another database than that of DATABASE_URL or the embedded one. Raises
    ConfigurationError for a malformed URL and for wrong settings.
    """
    parts = _parts() if url is None else _read("TASKMASTER_SHARDS", url)
    settings = conf.read(declared, os.environ)
    # Where there is no server there is nothing to wait for.
    wait_s = 0.5 if parts == _NOWHERE else settings.db_pool_wait_s
    prepare = os.environ.get("TASKMASTER_DB_PREPARE") != "off"
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": parts.pop("host", ""),
        "PORT": str(parts.pop("port", "")),
        "NAME": parts.pop("dbname", ""),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        # They too live in one session, which a transaction-mode pooler gives to nobody.
        "DISABLE_SERVER_SIDE_CURSORS": not prepare,
        "OPTIONS": {
            "application_name": "taskmaster-django",
            "connect_timeout": _CONNECT_S,
            **parts,
            # The hot statements are prepared; PgBouncer in transaction mode cannot have that.
            "prepare_threshold": 5 if prepare else None,
            # An explicit pool: under ASGI, connections that live in threads outgrow the server.
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
    """The databases beside the web's own, by name: TASKMASTER_SHARDS="north=URL south=URL".

    Raises ConfigurationError with one line that says what is wrong.
    """
    found: dict[str, str] = {}
    for part in os.environ.get("TASKMASTER_SHARDS", "").split():
        name, _, url = part.partition("=")
        if not _SHARD.fullmatch(name) or name == DEFAULT_DB_ALIAS or not url:
            raise ConfigurationError(
                "TASKMASTER_SHARDS must be NAME=URL, with blanks between several; a name is 1 to "
                f"31 small letters, digits, _ and -, from a letter on, and not {DEFAULT_DB_ALIAS}."
            )
        if name in found:
            raise ConfigurationError(f"TASKMASTER_SHARDS names {name} twice.")
        found[name] = url
    return found


def missing(error: BaseException) -> str:
    """Says for a person which database was tried, without its password."""
    if not os.environ.get("DATABASE_URL") and postgres.default().url() is None:
        return (
            "No database: DATABASE_URL is not set, and the embedded PostgreSQL in .data/postgres "
            "is not running. Run `make demo`, or `python -m taskmaster_site.postgres start`, or "
            "set DATABASE_URL."
        )
    parts = _parts()
    where = f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"
    asked = "DATABASE_URL" if os.environ.get("DATABASE_URL") else "the embedded PostgreSQL"
    return f"No database: {asked} ({where}) does not answer: {reason(error)}"


def reason(error: BaseException) -> str:
    """Why the database does not do what was asked, in one line.

    The pool says only how long it waited, so the server is asked once more.
    """
    if isinstance(error, PoolTimeout) or isinstance(error.__cause__, PoolTimeout):
        try:
            psycopg.connect(**{**_parts(), "connect_timeout": 3}).close()
        except psycopg.OperationalError as direct:
            error = direct
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _parts() -> dict[str, Any]:
    url = os.environ.get("DATABASE_URL") or postgres.default().url()
    return _read("DATABASE_URL", url) if url else dict(_NOWHERE)


def _read(variable: str, url: str) -> dict[str, Any]:
    try:
        return dict(conninfo_to_dict(url))
    except ProgrammingError as error:
        raise ConfigurationError(
            f"{variable} holds no PostgreSQL URL like "
            f"postgresql://user:password@host:5432/name: {str(error).strip()}"
        ) from None


def _pool_max() -> int:
    raw = os.environ.get("TASKMASTER_DB_POOL_MAX", "8")
    if not raw.isdigit() or int(raw) < 1:
        raise ConfigurationError(
            f"TASKMASTER_DB_POOL_MAX is {raw!r}; it must be a whole number from 1."
        )
    return int(raw)
