"""Aggregate events into counts under load: "1,842 tasks"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence, Set
from dataclasses import dataclass
from operator import attrgetter
from typing import Any
from uuid import UUID

from taskmaster.tasks.event import ORDINARY, EventKind, NewEvent
from taskmaster.tasks.templatetags.taskmaster import tasks

#: Maximum number of single lines in one publication; further events are aggregated. At ten
#: publications a second, a person cannot read more.
SINGLES_MAX = 25
#: Maximum number of counts of one kind in one publication. Each is for one queue and one worker.
_GROUPS_MAX = 20

_QUEUE = attrgetter("queue")
_WORKER = attrgetter("worker", "worker_id")

#: The key of a count: kind, queue, worker name and worker id.
Group = tuple[EventKind, str, str, UUID | None]


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Hold rows of one kind of event, with their reports, until they become events or counts.

    A row has `task_id` and `queue`. A report has `task_id`, `worker` and `worker_id`. Without
    reports the rows have `worker` and `worker_id` themselves, except rows of kind PICKED.
    """

    kind: EventKind
    rows: Sequence[Any]
    #: Builds the event of a row and its report. It is called for single lines only.
    build: Callable[[Any, Any], NewEvent]
    reports: Sequence[Any] = ()

    def singles(self, only: Collection[int] | None = None) -> list[NewEvent]:
        """Build one event for each row, or for each row of the tasks in `only`."""
        rows = self.rows if only is None else [row for row in self.rows if row.task_id in only]
        by_id = {report.task_id: report for report in self.reports} if rows else {}
        return [self.build(row, by_id.get(row.task_id)) for row in rows]

    def groups(self, without: Set[int]) -> Counter[Group]:
        """Count the rows by queue and worker. Rows of the tasks in `without` are left out."""
        kind = self.kind
        rows = [row for row in self.rows if row.task_id not in without] if without else self.rows
        queues = Counter(map(_QUEUE, rows))
        if not self.reports:
            if kind is EventKind.PICKED:
                return Counter({(kind, queue, "", None): n for queue, n in queues.items()})
            return Counter((kind, row.queue, row.worker, row.worker_id) for row in rows)
        if len(queues) == 1 and len(rows) == len(self.reports):
            [queue] = queues
            workers = Counter(map(_WORKER, self.reports))
            return Counter({(kind, queue, *worker): n for worker, n in workers.items()})
        queue_of = {row.task_id: row.queue for row in rows}
        return Counter(
            (kind, queue_of[report.task_id], report.worker, report.worker_id)
            for report in self.reports
            if report.task_id in queue_of
        )


def aggregate(
    events: Sequence[NewEvent], batches: Sequence[EventBatch] = (), watched: Set[int] = frozenset()
) -> list[NewEvent]:
    """Return single events if there are at most `SINGLES_MAX`, else counts and few single events.

    Events of watched tasks always stay single, without a limit. Besides them, up to `SINGLES_MAX`
    events of kinds outside `ORDINARY` stay single. Counts come first.
    """
    if len(events) + sum(len(each.rows) for each in batches) <= SINGLES_MAX:
        return [*(event for each in batches for event in each.singles()), *events]
    groups = Counter[Group]()
    singles = list(events)
    for each in batches:
        if each.kind not in ORDINARY and len(each.rows) <= SINGLES_MAX:
            singles += each.singles()
            continue
        if watched:
            singles += each.singles(watched)
        groups.update(each.groups(watched))
    return [*_counts(groups), *_limit_singles(singles, watched)]


def _limit_singles(events: Sequence[NewEvent], watched: Set[int]) -> list[NewEvent]:
    """Return `events` unchanged if there are at most `SINGLES_MAX`, else aggregate them."""
    if len(events) <= SINGLES_MAX:
        return list(events)
    kept = {index for index, each in enumerate(events) if each.task_id in watched}
    left = SINGLES_MAX
    for index, each in enumerate(events):
        if left and index not in kept and each.kind not in ORDINARY:
            kept.add(index)
            left -= 1
    groups = Counter[Group]()
    for index, each in enumerate(events):
        if index not in kept:
            groups[each.kind, each.queue, each.worker, each.worker_id] += each.count
    return [*_counts(groups), *(events[index] for index in sorted(kept))]


def _counts(groups: Counter[Group]) -> list[NewEvent]:
    """Return one event for each group, or one for a kind that has too many groups."""
    counts: list[NewEvent] = []
    for kind in dict.fromkeys(group[0] for group in groups):
        mine = {group: count for group, count in groups.items() if group[0] == kind}
        if len(mine) > _GROUPS_MAX:
            mine = {(kind, "", "", None): sum(mine.values())}
        counts.extend(_count(group, count) for group, count in mine.items())
    return counts


def _count(group: Group, count: int) -> NewEvent:
    kind, queue, worker, worker_id = group
    parts: Iterable[str] = (
        tasks(count),
        f"of {queue}" if queue else "",
        f"on {worker}" if worker else "",
    )
    return NewEvent(
        kind,
        " ".join(part for part in parts if part),
        queue=queue,
        worker=worker,
        worker_id=worker_id,
        count=count,
    )
