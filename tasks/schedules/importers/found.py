"""Define what an import reads: schedules of another scheduler, and rows of its tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.utils import timezone

from taskmaster.tasks.errors import InvalidField


@dataclass(frozen=True, slots=True)
class FoundSchedule:
    """Hold one schedule of the source."""

    name: str
    #: What it runs, for the table that is printed: a dotted path or a command.
    runs: str
    #: Fields of a schedule as in REST, without the name.
    fields: Mapping[str, object] = field(default_factory=dict)
    #: What is different here, or was left out.
    notes: tuple[str, ...] = ()
    #: Why it cannot be created. Empty if the source has no reason.
    obstacle: str = ""
    #: The schedule is created paused with this reason, since the source has it switched off.
    pause_reason: str = ""


def read_table(table: str, package: str, *, using: str = DEFAULT_DB_ALIAS) -> list[dict[str, Any]]:
    """Return all rows of a table of another package, as dicts by column, in the order of ids.

    The columns differ between the versions of the package, so all are read. Raise InvalidField if
    the table does not exist.
    """
    connection = connections[using]
    if table not in connection.introspection.table_names():
        raise InvalidField(
            package, f"the database has no table {table}; import from the database that has it."
        )
    name = connection.ops.quote_name(table)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {name} ORDER BY id")
        columns = [column[0] for column in cursor.description]
        return [dict(zip(columns, map(_aware, row), strict=True)) for row in cursor.fetchall()]


def _aware(value: Any) -> Any:
    """Add the zone that Django leaves out if USE_TZ is off."""
    if isinstance(value, datetime) and value.tzinfo is None:
        return timezone.make_aware(value, timezone.get_default_timezone())
    return value
