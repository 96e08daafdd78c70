"""Lay out a calendar of a schedule: a cell for each day, five weeks back and three ahead."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, tzinfo
from itertools import islice

from taskmaster.tasks.queries.schedule_runs import ShownRun
from taskmaster.tasks.timing.triggers import DueTime
from taskmaster.tasks.timing.zones import zone_of

_WEEKS_BACK, _WEEKS_AHEAD = 5, 3
#: Maximum number of due times to come that are computed. Later days show an ellipsis.
_AHEAD_MAX = 500
#: Outcomes from the one that matters most: a day with several has the colour of the first one.
_WORST = (
    "failed", "refused", "missed", "running", "pending", "queued", "overlap", "cancelled",
    "skipped", "paused", "task deleted", "complete",
)  # fmt: skip


@dataclass(slots=True)
class CalendarDay:
    """Hold a day: its past runs with the worst outcome, or the due times to come."""

    day: date
    is_today: bool = False
    is_ahead: bool = False
    #: Whether the clocks change on this day.
    clock: bool = False
    kind: str = ""
    icon: str = ""
    text: str = ""
    title: str = ""
    runs: list[tuple[ShownRun, int]] = field(default_factory=list)

    @property
    def shows_month(self) -> bool:
        """Return whether the cell needs the name of the month."""
        return self.day.day == 1


def calendar(
    runs: Iterable[ShownRun], ahead: Iterator[DueTime], zone: str, now: datetime
) -> list[CalendarDay]:
    """Return the days from a Monday five weeks ago to a Sunday in three weeks.

    `ahead` yields the due times after `now`, in order. It is read up to the last day.
    """
    place = zone_of(zone)
    today = now.astimezone(place).date()
    monday = today - timedelta(days=today.weekday(), weeks=_WEEKS_BACK)
    days = {
        monday + timedelta(days=number): CalendarDay(monday + timedelta(days=number))
        for number in range(7 * (_WEEKS_BACK + _WEEKS_AHEAD))
    }
    for each in days.values():
        each.is_today = each.day == today
        each.is_ahead = each.day > today
        each.clock = each.day >= today and _clocks_change(each.day, place)
    for run in runs:
        for day, count in _days_of(run, place):
            if day in days:
                days[day].runs.append((run, count))
    for each in days.values():
        _show_past(each, place)
    _show_ahead(days, ahead, place)
    return list(days.values())


def _clocks_change(day: date, place: tzinfo) -> bool:
    start = datetime.combine(day, time(), place)
    return start.utcoffset() != datetime.combine(day + timedelta(days=1), time(), place).utcoffset()


def _days_of(run: ShownRun, place: tzinfo) -> Iterator[tuple[date, int]]:
    """Yield the days of a run with its number of due times. A folded row may cover many days."""
    first = run.row.due_at.astimezone(place).date()
    last = (run.row.last_due_at or run.row.due_at).astimezone(place).date()
    length = (last - first).days + 1
    if length == 1 or run.row.times < length:
        # Which days between have one is not stored.
        yield first, run.row.times if length == 1 else 1
        if length > 1:
            yield last, 1
        return
    for number in range(length):
        yield first + timedelta(days=number), max(1, run.row.times // length)


def _show_past(cell: CalendarDay, place: tzinfo) -> None:
    if not cell.runs:
        return
    counts: Counter[str] = Counter()
    for run, count in cell.runs:
        counts[run.word] += count
    word = min(counts, key=_WORST.index)
    worst = next(run for run, _ in cell.runs if run.word == word)
    cell.kind, cell.icon = worst.kind, worst.icon
    total = counts.total()
    cell.text = word if total == 1 else f"{counts[word]:,} {word}"
    listed = ", ".join(f"{count:,} {name}" for name, count in counts.most_common())
    at = f" {worst.row.due_at.astimezone(place):%H:%M}" if total == 1 else ""
    cell.title = f"{cell.day:%d %B}{at}: {word if total == 1 else listed}"


def _show_ahead(days: dict[date, CalendarDay], ahead: Iterator[DueTime], place: tzinfo) -> None:
    due_on: defaultdict[date, list[str]] = defaultdict(list)
    last = max(days)
    read = 0
    for due in islice(ahead, _AHEAD_MAX):
        read += 1
        local = due.at.astimezone(place)
        if local.date() > last:
            break
        due_on[local.date()].append(f"{local:%H:%M}")
    if read == _AHEAD_MAX:
        # The last day that was reached may be incomplete.
        partial = max(due_on)
        due_on.pop(partial)
        for day, later in days.items():
            if day >= partial and not later.runs:
                later.text = "…"
                later.title = f"{day:%d %B}: not counted, only the next {_AHEAD_MAX} runs are"
    for day, times in due_on.items():
        cell = days.get(day)
        if cell is None or cell.runs:
            continue
        cell.is_ahead = True
        cell.text = times[0] if len(times) == 1 else f"{len(times):,} runs"
        cell.title = f"{day:%d %B}: due {', '.join(times[:6])}{' …' if len(times) > 6 else ''}"
