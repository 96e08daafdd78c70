"""Constrain times to those that Python can read."""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import models

#: PostgreSQL also stores infinity and the years beyond 9999, which SQL could write and psycopg
#: cannot read. One such row would fail the search for due tasks, or for due schedules, of all
#: coordinators. The distance to the limits of Python leaves room for time zones and due times.
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9000, 1, 1, tzinfo=UTC)


def readable_times(
    name: str, *columns: str, arrays: tuple[str, ...] = ()
) -> models.CheckConstraint:
    """Return the constraint that these columns, and the elements of these arrays, can be read.

    Null is permitted.
    """
    condition = models.Q(**{f"{column}__range": (EARLIEST, LATEST) for column in columns})
    for array in arrays:
        condition &= models.Q(
            models.Func(
                array,
                template=f"('{EARLIEST}' <= ALL (%(expressions)s) "
                f"AND '{LATEST}' >= ALL (%(expressions)s))",
                output_field=models.BooleanField(),
            )
        )
    return models.CheckConstraint(condition=condition, name=name)
