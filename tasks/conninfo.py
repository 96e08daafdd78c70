"""Build the connection string of the project's database, for connections outside Django."""

from __future__ import annotations

from django.db import DEFAULT_DB_ALIAS, connections
from psycopg import pq
from psycopg.conninfo import make_conninfo

#: Connection parameters of libpq, such as sslmode. Django's OPTIONS also holds others.
_LIBPQ = frozenset(each.keyword.decode() for each in pq.Conninfo.get_defaults())


def conninfo(alias: str = DEFAULT_DB_ALIAS, **own: str | int) -> str:
    """Return the connection string of a database in DATABASES, with the caller's own parameters."""
    # A custom database backend may compute the password in this method.
    declared = connections[alias].get_connection_params()
    given = {name: declared[name] for name in declared.keys() & _LIBPQ if declared[name]}
    return make_conninfo("", **{**given, **own})
