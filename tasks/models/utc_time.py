"""Return instants in UTC, whatever the project's setting USE_TZ.

Without USE_TZ, Django's connection returns local time without a zone. The due times of schedules
are computed with zones, and cannot be compared with that. The option TIME_ZONE of a database sets
another zone than UTC, in which Python's arithmetic ignores changes of the clocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import models
from django.utils import timezone


def in_utc(when: datetime) -> datetime:
    """Return an instant in UTC. Without a zone, it is local time of the project."""
    if when.tzinfo is None:
        # `fold` tells repeated local times apart.
        when = when.replace(tzinfo=timezone.get_default_timezone())
    return when.astimezone(UTC)


class UtcDateTimeField(models.DateTimeField[Any, Any]):
    """Store an instant, and return it in UTC."""

    def from_db_value(self, value: datetime | None, *_: object) -> datetime | None:
        """Convert the time from the zone of the connection, which `TIME_ZONE` of it sets."""
        return None if value is None else in_utc(value)

    def deconstruct(self) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
        """Return the field of Django: the column is the same."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.DateTimeField", args, kwargs
