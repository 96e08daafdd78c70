"""Show the next due times of a schedule, and what changes of the clocks do to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

from taskmaster.tasks.timing.local_time import (
    REPEATED_MAX,
    ClockChange,
    Transition,
    transitions,
)
from taskmaster.tasks.timing.rules import HORIZON, RepeatedTime
from taskmaster.tasks.timing.timing import Timing
from taskmaster.tasks.timing.triggers import CronTrigger, DueTime
from taskmaster.tasks.timing.words import describe, listed

MARKS = {
    ClockChange.SKIPPED: "clocks go forward",
    ClockChange.REPEATED: "clocks go back",
}
#: The largest number of local times that a sentence lists.
_MOST_LISTED = 4
#: Up to this number of runs, the last run limits the days of clock changes that are shown.
_MOST_COUNTED = 10_000


@dataclass(frozen=True)
class PreviewRow:
    """Hold one due time, or a day on which a skipped time has no run.

    `at` is the due time in the zone of the schedule, and None if there is no run. `local` is the
    local time that the trigger names; it does not exist if the clocks skip it. `sentence` explains
    the change of the clocks in the first row that it affects, and is "" in all others.
    """

    at: datetime | None
    local: datetime
    change: ClockChange | None = None
    sentence: str = ""

    @property
    def offset(self) -> str:
        """Return the offset from UTC, such as "+02:00", or "" if there is no run."""
        return self.at.isoformat()[-6:] if self.at else ""

    @property
    def mark(self) -> str:
        """Return "clocks go forward", "clocks go back", or ""."""
        return MARKS[self.change] if self.change else ""


@dataclass(frozen=True)
class Preview:
    """Hold the words, the next due times, and later days on which the clocks change.

    `later_changes` has the first rows of each kind of change that is not among `rows`.
    `is_complete` is whether no run follows the rows.
    """

    words: str
    timezone: str
    rows: tuple[PreviewRow, ...]
    later_changes: tuple[PreviewRow, ...]
    is_complete: bool


def preview(
    timing: Timing, now: datetime, count: int = 20, runs_left: int | None = None
) -> Preview:
    """Return the next `count` due times after `now`. `runs_left` is the rest of `max_runs`."""
    wanted = count if runs_left is None else min(count, runs_left)
    found = list(islice(timing.after(now), wanted + 1))
    due_times = found[:wanted]
    is_complete = len(found) <= wanted or wanted == runs_left
    trigger = timing.trigger
    rows = [_row(due, trigger.zone) for due in due_times]
    later: list[PreviewRow] = []
    if isinstance(trigger, CronTrigger) and due_times:
        last = due_times[-1].at
        since = now if timing.starts_at is None else max(now, timing.starts_at)
        _explain(rows, trigger, since, last)
        if not is_complete:
            changes = _changes(timing, trigger, last, _last_run(timing, now, runs_left))
            later = _first_of_each(changes, {row.change for row in rows if row.change})
    return Preview(describe(timing), trigger.zone.key, tuple(rows), tuple(later), is_complete)


def _row(due: DueTime, zone: ZoneInfo, sentence: str = "") -> PreviewRow:
    return PreviewRow(due.at.astimezone(zone), due.local, due.change, sentence)


def _explain(rows: list[PreviewRow], trigger: CronTrigger, since: datetime, last: datetime) -> None:
    """Add the sentences to the rows, and rows for the days on which a skipped time has no run."""
    for effect in _effects(trigger, since - REPEATED_MAX, last + REPEATED_MAX):
        at = effect.transition.at
        if effect.is_without_run(trigger):
            if since < at <= last:
                place = sum(row.at is None or row.at < at for row in rows)
                rows.insert(place, effect.row_without_run(trigger))
            continue
        for index, row in enumerate(rows):
            if row.change is effect.transition.change and row.local in effect.times:
                rows[index] = replace(row, sentence=effect.sentence(trigger))
                break


def _first_of_each(rows: Iterable[PreviewRow], shown: set[ClockChange]) -> list[PreviewRow]:
    """Return the first row of each kind of change that is not shown yet."""
    found = []
    for row in rows:
        if row.change and row.change not in shown:
            found.append(row)
            shown.add(row.change)
        if len(shown) == len(ClockChange):
            break
    return found


def _changes(
    timing: Timing, trigger: CronTrigger, after: datetime, until: datetime
) -> Iterator[PreviewRow]:
    """Yield the first row of each change of the clocks that affects the schedule."""
    for effect in _effects(trigger, after, until):
        at = effect.transition.at
        if effect.is_without_run(trigger):
            yield effect.row_without_run(trigger)
            continue
        # A repeated time is due before the change, too.
        start = max(after, at - REPEATED_MAX)
        affected = (
            due
            for due in takewhile(lambda due: due.at <= until, timing.after(start))
            if due.local in effect.times or due.at > at + REPEATED_MAX
        )
        due = next(affected, None)
        if due is not None and due.local in effect.times:
            yield _row(due, trigger.zone, effect.sentence(trigger))


def _last_run(timing: Timing, now: datetime, runs_left: int | None) -> datetime:
    """Return the latest instant at which a run may be due, within five years."""
    limits = [now + HORIZON]
    if timing.ends_at is not None:
        limits.append(timing.ends_at)
    if runs_left is not None and runs_left <= _MOST_COUNTED:
        limits.extend(due.at for due in islice(timing.after(now), runs_left - 1, runs_left))
    return min(limits)


@dataclass(frozen=True)
class _ClockEffect:
    """Hold a change of the clocks, and the local times of a schedule that it skips or repeats."""

    transition: Transition
    times: tuple[datetime, ...]

    def is_without_run(self, trigger: CronTrigger) -> bool:
        return self.transition.change is ClockChange.SKIPPED and not trigger.shifts

    def row_without_run(self, trigger: CronTrigger) -> PreviewRow:
        return PreviewRow(None, self.times[0], ClockChange.SKIPPED, self.sentence(trigger))

    def sentence(self, trigger: CronTrigger) -> str:
        """Return what happens to the times, and the rule that says so."""
        skips = self.transition.change is ClockChange.SKIPPED
        rule: str = trigger.skipped_time if skips else trigger.repeated_time
        fact, result = self._if_skipped(trigger) if skips else self._if_repeated(trigger)
        return f"{self._subject()} {fact} on this day. By the rule “{rule}” {result}."

    def _subject(self) -> str:
        names = [f"{time:%H:%M}" for time in self.times]
        if len(names) > _MOST_LISTED:
            return f"{len(names)} times from {names[0]} to {names[-1]}"
        return listed(names)

    def _if_skipped(self, trigger: CronTrigger) -> tuple[str, str]:
        one = len(self.times) == 1
        fact = "does not exist" if one else "do not exist"
        if not trigger.shifts:
            return fact, "it does not run" if one else "they do not run"
        at = f"at {self.transition.after:%H:%M}, right after the change"
        return fact, f"it runs {at}" if one else f"they run once, {at}"

    def _if_repeated(self, trigger: CronTrigger) -> tuple[str, str]:
        one = len(self.times) == 1
        number = {
            RepeatedTime.FIRST: "once, the first time",
            RepeatedTime.SECOND: "once, the second time",
            RepeatedTime.BOTH: "twice",
        }[trigger.repeats]
        return "occurs twice" if one else "occur twice", f"{'it' if one else 'each'} runs {number}"


def _effects(trigger: CronTrigger, after: datetime, until: datetime) -> Iterator[_ClockEffect]:
    """Yield the changes of the clocks that skip or repeat a time of the expression."""
    for transition in transitions(trigger.zone, after, until):
        low, high = sorted((transition.before, transition.after))
        times = []
        for local in trigger.local_times(low - timedelta(seconds=1)):
            if local >= high:
                break
            times.append(local)
        if times:
            yield _ClockEffect(transition, tuple(times))
