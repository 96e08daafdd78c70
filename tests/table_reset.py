"""Empty the tables after a test with `transaction=True`, without writing the rest again.

Django truncates all tables and then recreates the rows that `migrate` creates: content types,
permissions, and the groups of the roles. That takes 0.1 to 0.2 s per test and there are hundreds.
This truncates only the tables that have rows. It leaves the rows of `migrate` alone when they are
as `migrate` created them, and otherwise does what Django does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.management import call_command
from django.db import connection, transaction

#: The tables in which `migrate` creates rows.
_FILLED = ("auth_group", "auth_group_permissions", "auth_permission", "django_content_type")


def _first_row(statement: str) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        row: tuple[Any, ...] = cursor.fetchone()
        return row


def _quoted(tables: Sequence[str]) -> list[str]:
    return [connection.ops.quote_name(each) for each in tables]


def _content() -> tuple[Any, ...]:
    """Return a digest of each table in which `migrate` creates rows."""
    digests = (
        f"(SELECT md5(string_agg(each::text, ',' ORDER BY id)) FROM {table} each)"
        for table in _quoted(_FILLED)
    )
    return _first_row(f"SELECT {', '.join(digests)}")


class TableReset:
    """Restore the state after `migrate`. Create it when the database is in that state."""

    def __init__(self) -> None:
        names = connection.introspection.django_table_names(only_existing=True, include_views=False)
        self._others = sorted(set(names) - set(_FILLED))
        self._content = _content()

    def run(self) -> None:
        """Empty the tables. Like Django's flush, wait for open transactions of other sessions."""
        if _content() != self._content:
            call_command("flush", verbosity=0, interactive=False)
            self._content = _content()
            return
        tables = _quoted(self._others)
        with transaction.atomic(), connection.cursor() as cursor:
            # An insertion that is not yet committed must not reach the next test.
            cursor.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
            found = _first_row(f"SELECT {', '.join(f'EXISTS (SELECT FROM {t})' for t in tables)}")
            used = [table for table, has_rows in zip(tables, found, strict=True) if has_rows]
            if used:
                cursor.execute(f"TRUNCATE {', '.join(used)} CASCADE")
