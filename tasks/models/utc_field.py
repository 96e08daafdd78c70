"""Define the column of an instant that is always read in UTC."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import models

from taskmaster.tasks.utc_time import in_utc

if TYPE_CHECKING:
    _DateTimeField = models.DateTimeField[Any, Any]
else:
    # The class of Django takes no type arguments.
    _DateTimeField = models.DateTimeField


class UtcDateTimeField(_DateTimeField):
    """Store an instant, and return it in UTC."""

    def from_db_value(self, value: datetime | None, *_: object) -> datetime | None:
        """Convert the time from the zone of the connection."""
        return None if value is None else in_utc(value)

    def deconstruct(self) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
        """Return the field of Django: the column is the same."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.DateTimeField", args, kwargs
