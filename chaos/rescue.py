"""How long the tasks that a fault met waited until they were taken back.

For a fault of a worker, what it ran: from the fault to the row's way out of `started` to pending
or failed. For one of a coordinator, what it held: to the way out of `picked`. For PostgreSQL and
its connections: from its return to the first change of any task. Tasks that fail by themselves
are left out, and so are those that ended undisturbed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from chaos import roster
from chaos.faults import Injected
from chaos.load import Plan, Submission
from chaos.records import Change, Row
from chaos.schedule import Kind
from tasks.lifecycle import Status

_WORKERS = frozenset(worker.name for worker in roster.WORKERS)
_COORDINATORS = frozenset(coordinator.name for coordinator in roster.COORDINATORS)
_TAKEN_BACK = frozenset({Status.PENDING.value, Status.FAILED.value})
#: A fault that ended so shortly before may still show.
_AFTERMATH_S = 5.0


@dataclass(frozen=True, slots=True)
class Rescue:
    """The slowest one of a kind of fault, in seconds; `undisturbed` has no other fault near."""

    worst_s: float
    undisturbed_s: float | None
    count: int


def rescues(
    submissions: Mapping[str, Submission],
    rows: Iterable[Row],
    history: Mapping[int, Sequence[Change]],
    faults: Sequence[Injected],
) -> dict[Kind, Rescue]:
    """Kind → its rescues; kinds that needed none are absent."""
    watched = [
        history.get(row.id, ())
        for row in rows
        if row.key in submissions and submissions[row.key].plan == Plan.COMPLETES
    ]
    moments = sorted(change.at for changes in history.values() for change in changes)
    found: dict[Kind, list[tuple[float, bool]]] = {}
    for fault in faults:
        for seconds in _waits(fault, watched, moments):
            alone = not any(_near(fault, seconds, other) for other in faults if other != fault)
            found.setdefault(fault.kind, []).append((seconds, alone))
    return {kind: _worst(waits) for kind, waits in found.items()}


def _worst(waits: Sequence[tuple[float, bool]]) -> Rescue:
    alone = [seconds for seconds, undisturbed in waits if undisturbed]
    worst = max(seconds for seconds, _ in waits)
    return Rescue(round(worst, 2), round(max(alone), 2) if alone else None, len(waits))


def _waits(
    fault: Injected, watched: Iterable[Sequence[Change]], moments: Sequence[float]
) -> list[float]:
    if roster.POSTGRES in fault.touched:
        return [at - fault.ended for at in moments if at > fault.ended][:1]
    found = []
    for changes in watched:
        before = [change for change in changes if change.at <= fault.began]
        if not before or not _met(fault, before[-1]):
            continue
        after = next((change for change in changes if _moves(change, fault.began)), None)
        if after is not None and after.new_status in _TAKEN_BACK:
            found.append(after.at - fault.began)
    return found


def _moves(change: Change, since: float) -> bool:
    return change.at > since and change.new_status != change.old_status


def _met(fault: Injected, last: Change) -> bool:
    """Whether the task was with whom the fault met."""
    if fault.touched & _COORDINATORS:
        return last.new_status == Status.PICKED and last.coordinator in fault.touched
    return last.new_status == Status.STARTED and last.worker in fault.touched & _WORKERS


def _near(fault: Injected, seconds: float, other: Injected) -> bool:
    """Whether another fault may have had its part: one of the same part, or of those who rescue."""
    those = fault.touched | _COORDINATORS | {roster.POSTGRES}
    meets = other.began <= fault.began + seconds and other.ended + _AFTERMATH_S >= fault.began
    return meets and bool(other.touched & those)
