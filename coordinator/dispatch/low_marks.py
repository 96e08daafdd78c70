"""Remember where claims may begin to read, so that they do not read what is already claimed.

The low-water mark of a (queue, priority) pair is a time. No pending task of the pair that the
claiming workers know is due before it. It keeps a claim from reading dead index entries and skipped
tasks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from taskmaster.tasks.messages import ClaimedTask, QueuePriority

#: Margin by which the low-water marks stay behind the newest claimed task. A task of a transaction
#: that commits within this time after its now() is not missed. The next scan finds tasks of slower
#: transactions.
_COMMIT_LAG = timedelta(seconds=1)
#: Seconds until a claim that found nothing but skipped tasks reads them again.
SKIPPED_AGAIN_S = 1.0


class MarkKey(NamedTuple):
    """Identify a mark. Claims for workers that know the same names share it."""

    names: frozenset[str] | None
    queue: str
    priority: int


class LowWaterMarks:
    """Keep the low-water marks of one claimer."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: Marks above the first task of their pair. They are valid until the next scan.
        self._marks: dict[MarkKey, datetime] = {}
        #: Marks above tasks that a claim has skipped, and when they end. The first scan after that
        #: drops them.
        self._above_skipped: dict[MarkKey, tuple[datetime, float]] = {}

    @property
    def has_skipped(self) -> bool:
        """Return whether any mark is above skipped tasks."""
        return bool(self._above_skipped)

    def get(self, pair: QueuePriority, names: frozenset[str] | None) -> datetime:
        """Return the mark of a pair for workers that know these names."""
        key = MarkKey(names, pair.queue, pair.priority)
        mark = max(pair.first_at, self._marks.get(key, pair.first_at))
        if key in self._above_skipped:
            return max(mark, self._above_skipped[key][0])
        return mark

    def lower(self) -> None:
        """Lower each mark to the first task of its pair: a scan has found it."""
        self._marks.clear()
        now = self._clock()
        for key in [key for key, (_, until) in self._above_skipped.items() if until <= now]:
            del self._above_skipped[key]

    def end_skipped(self) -> None:
        """Drop the marks above skipped tasks: a claim may take these tasks now."""
        self._above_skipped.clear()

    def raise_to(self, tasks: Sequence[ClaimedTask], names: frozenset[str] | None) -> None:
        """Raise the marks to the newest of these claimed tasks, less the commit margin."""
        newest: dict[tuple[str, int], datetime] = {}
        for task in tasks:
            place = task.queue, task.priority
            newest[place] = max(newest.get(place, task.scheduled_at), task.scheduled_at)
        for place, at in newest.items():
            key, mark = MarkKey(names, *place), at - _COMMIT_LAG
            self._marks[key] = max(self._marks.get(key, mark), mark)

    def pass_skipped(
        self,
        pairs: Sequence[QueuePriority],
        skipped: Sequence[Sequence[str]],
        names: frozenset[str] | None,
    ) -> None:
        """Raise the marks above the skipped tasks of these pairs for a short time.

        A claim has taken all other tasks of the pairs that were due at the scan.
        """
        until = self._clock() + SKIPPED_AGAIN_S
        for pair, left_out in zip(pairs, skipped, strict=True):
            key = MarkKey(names, pair.queue, pair.priority)
            if left_out and key not in self._above_skipped:
                scanned_at = pair.first_at - timedelta(seconds=pair.due_in_s)
                self._above_skipped[key] = scanned_at - _COMMIT_LAG, until
