"""Convert times from Django's connection to UTC, whatever the project's setting USE_TZ.

Without USE_TZ, Django's connection returns local time without a zone. The due times of schedules
are computed with zones, and cannot be compared with that. The option TIME_ZONE of a database sets
another zone than UTC, in which Python's arithmetic ignores changes of the clocks.
"""

from __future__ import annotations

from datetime import UTC, datetime

from django.utils import timezone


def in_utc(when: datetime) -> datetime:
    """Return an instant in UTC. Without a zone, it is local time of the project."""
    if when.tzinfo is None:
        # `fold` tells repeated local times apart.
        when = when.replace(tzinfo=timezone.get_default_timezone())
    return when.astimezone(UTC)
