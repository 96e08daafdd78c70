"""Too many events for single lines become counts: "1,842 tasks"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

from tasks.events.event import ORDINARY, Kind, NewEvent
from tasks.templatetags.taskmaster import tasks

#: Single lines in one publication; what is more is folded. Ten publications a second make more
#: lines than anybody reads.
SINGLES_MAX = 25
#: Counted lines of one kind in one publication, each for a queue and a worker.
_GROUPS_MAX = 20

#: What is counted together: kind, queue, worker and its id.
Group = tuple[Kind, str, str, UUID | None]


def fold(events: Sequence[NewEvent], watched: Collection[int] = ()) -> list[NewEvent]:
    """The same events in at most `SINGLES_MAX` single lines and some counts.

    Events of watched tasks stay single whatever their number. Rare kinds have the first claim to
    the single lines.
    """
    if len(events) <= SINGLES_MAX:
        return list(events)
    kept = {index for index, each in enumerate(events) if each.task_id in watched}
    room = SINGLES_MAX
    for index, each in enumerate(events):
        if room and index not in kept and each.kind not in ORDINARY:
            kept.add(index)
            room -= 1
    folded = Counter[Group]()
    for index, each in enumerate(events):
        if index not in kept:
            folded[each.kind, each.queue, each.worker, each.worker_id] += each.count
    return [*counted(folded), *(events[index] for index in sorted(kept))]


def counted(groups: Counter[Group]) -> list[NewEvent]:
    """One line a group, or one a kind where a kind has too many groups."""
    lines: list[NewEvent] = []
    for kind in dict.fromkeys(group[0] for group in groups):
        mine = {group: count for group, count in groups.items() if group[0] == kind}
        if len(mine) > _GROUPS_MAX:
            mine = {(kind, "", "", None): sum(mine.values())}
        lines.extend(_line(group, count) for group, count in mine.items())
    return lines


def _line(group: Group, count: int) -> NewEvent:
    kind, queue, worker, worker_id = group
    return NewEvent(
        kind,
        _sentence(count, queue, worker),
        queue=queue,
        worker=worker,
        worker_id=worker_id,
        count=count,
    )


def _sentence(count: int, queue: str, worker: str) -> str:
    parts: Iterable[str] = (
        tasks(count),
        f"of {queue}" if queue else "",
        f"on {worker}" if worker else "",
    )
    return " ".join(part for part in parts if part)
