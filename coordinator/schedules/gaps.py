"""Find the times in which no coordinator created runs, and their causes.

The leading coordinator searches at a time that it has planned. If it comes later, or is another
coordinator than before, the time in between is a gap. Missed and late runs get its cause as reason.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from taskmaster.tasks.schedule_messages import ScheduleSearch
from taskmaster.tasks.schedules.planning import Gap

#: Number of gaps that are kept. Runs that were missed in an older one have been created by then.
_KEPT = 20
#: A delay of up to this time is the normal work of a coordinator.
_NORMAL = timedelta(seconds=0.5)
#: Difference between the clocks of the database and of this process above which one was changed.
_CLOCK_JUMP_S = 5.0


class GapFinder:
    """Find gaps from the searches of one coordinator.

    `had_outage` returns whether the database was unavailable in the last number of seconds. `clock`
    is monotonic.
    """

    def __init__(
        self,
        coordinator: UUID,
        *,
        had_outage: Callable[[float], bool],
        clock: Callable[[], float],
    ) -> None:
        self._coordinator = coordinator
        self._had_outage = had_outage
        self._clock = clock
        self._gaps: deque[Gap] = deque(maxlen=_KEPT)
        #: Until when this coordinator was at work or waited as planned, by the clock of the
        #: database, and the time of this process then. None: it did not lead.
        self._planned_until: tuple[datetime, float] | None = None

    @property
    def gaps(self) -> Sequence[Gap]:
        """Return the newest gaps, in order."""
        return tuple(self._gaps)

    def plan_until(self, at: datetime, in_s: float = 0.0) -> None:
        """Record that the work is done until `at`, which is `in_s` seconds from now."""
        self._planned_until = (at, self._clock() + in_s)

    def stop_leading(self) -> None:
        """Record that this coordinator does not lead any more."""
        self._planned_until = None

    def add(self, search: ScheduleSearch, last_seen_at: datetime | None) -> None:
        """Record a search. `last_seen_at` is the last heartbeat of the leader before, if known."""
        start, continues = search.previous_at, False
        if self._planned_until is not None and search.previous_leader == self._coordinator:
            start, continues = self._planned_until[0], True
        elif start is not None and last_seen_at is not None:
            start = max(start, last_seen_at)
        if start is None or search.now - start <= _NORMAL:
            return
        self._gaps.append(Gap(start, search.now, self._cause(start, search.now, continues)))

    def _cause(self, start: datetime, end: datetime, continues: bool) -> str:
        elapsed_s = (end - start).total_seconds()
        period = _period(start, end)
        if continues:
            assert self._planned_until is not None
            jump_s = elapsed_s - (self._clock() - self._planned_until[1])
            if jump_s > _CLOCK_JUMP_S:
                return f"The database's clock went forward by {jump_s:,.0f} s, {period}."
        if self._had_outage(elapsed_s + 1):
            return f"The database was unavailable {period}."
        if continues:
            return f"The leading coordinator was stopped or overloaded {period}."
        return f"No coordinator led {period}."


def _period(start: datetime, end: datetime) -> str:
    """Return a period in UTC, with the dates if it is not within a day."""
    form = "%H:%M:%S" if start.date() == end.date() else "%Y-%m-%d %H:%M:%S"
    return f"from {start:{form}} to {end:{form}} UTC"
