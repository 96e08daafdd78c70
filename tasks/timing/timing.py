"""Compute the due times of a schedule: its trigger within its start and end, and its jitter."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from taskmaster.tasks.timing.triggers import DueTime, Trigger

_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Timing:
    """Hold when a schedule is due. `starts_at` and `ends_at` are inclusive; None: no limit."""

    trigger: Trigger
    starts_at: datetime | None = None
    ends_at: datetime | None = None

    def after(self, moment: datetime) -> Iterator[DueTime]:
        """Yield the due times after `moment`, in order, each once."""
        if self.starts_at is not None:
            moment = max(moment, self.starts_at - _MICROSECOND)
        for due in self.trigger.after(moment):
            if self.ends_at is not None and due.at > self.ends_at:
                return
            yield due

    def next_after(self, moment: datetime) -> DueTime | None:
        """Return the first due time after `moment`, or None."""
        return next(self.after(moment), None)


def jitter(name: str, due_at: datetime, jitter_s: float) -> timedelta:
    """Return how long after its due time a run starts: from 0 to below `jitter_s` seconds.

    It depends on the schedule and the due time only, so every coordinator computes the same.
    """
    microseconds = (due_at - _EPOCH) // _MICROSECOND
    digest = hashlib.blake2b(f"{name} {microseconds}".encode(), digest_size=8).digest()
    # In integers, because a rounded fraction may reach 1.
    longest = round(jitter_s * 1_000_000)
    return (longest * int.from_bytes(digest) >> 64) * _MICROSECOND
