"""Measure how long the tasks that a fault affected waited until they were rescued.

For a worker fault: from the fault until the tasks that the worker ran leave `started` for pending
or failed. For a coordinator fault: until the tasks that it held leave `picked`. For PostgreSQL and
its connections: from its return until the first change of any task. Tasks that fail as planned and
tasks that ended undisturbed are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from chaos import roster
from chaos.faults import InjectedFault
from chaos.load import PlannedOutcome, Submission
from chaos.records import TaskRow, TaskTransition
from chaos.schedule import FaultKind
from taskmaster.tasks.lifecycle import Status

_WORKERS = frozenset(worker.name for worker in roster.WORKERS)
_COORDINATORS = frozenset(coordinator.name for coordinator in roster.COORDINATORS)
_TAKEN_BACK = frozenset({Status.PENDING.value, Status.FAILED.value})
#: A fault that ended this long before can still have effects.
_AFTERMATH_S = 5.0


@dataclass(frozen=True, slots=True)
class Rescue:
    """Hold the slowest rescue of a kind of fault, in seconds.

    `undisturbed_s` is the slowest one that had no other fault near.
    """

    worst_s: float
    undisturbed_s: float | None
    count: int


def rescues(
    submissions: Mapping[str, Submission],
    rows: Iterable[TaskRow],
    history: Mapping[int, Sequence[TaskTransition]],
    faults: Sequence[InjectedFault],
) -> dict[FaultKind, Rescue]:
    """Return the rescues by kind; kinds without rescues are absent."""
    watched = [
        history.get(row.id, ())
        for row in rows
        if row.key in submissions and submissions[row.key].plan == PlannedOutcome.COMPLETES
    ]
    moments = sorted(change.at for changes in history.values() for change in changes)
    found: dict[FaultKind, list[tuple[float, bool]]] = {}
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
    fault: InjectedFault, watched: Iterable[Sequence[TaskTransition]], moments: Sequence[float]
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


def _moves(change: TaskTransition, since: float) -> bool:
    return change.at > since and change.new_status != change.old_status


def _met(fault: InjectedFault, last: TaskTransition) -> bool:
    """Return whether the affected part held the task."""
    if fault.touched & _COORDINATORS:
        return last.new_status == Status.PICKED and last.coordinator in fault.touched
    return last.new_status == Status.STARTED and last.worker in fault.touched & _WORKERS


def _near(fault: InjectedFault, seconds: float, other: InjectedFault) -> bool:
    """Return whether another fault of the same part, or of a rescuer, can have contributed."""
    relevant = fault.touched | _COORDINATORS | {roster.POSTGRES}
    meets = other.began <= fault.began + seconds and other.ended + _AFTERMATH_S >= fault.began
    return meets and bool(other.touched & relevant)
