"""Find the tasks that ran more often than planned, and attribute each repetition to a fault.

The fault is the nearest one that affected the worker, a coordinator that held the task, or
PostgreSQL. Among equally near faults, the worker's own comes first.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from chaos import roster
from chaos.faults import InjectedFault
from chaos.ledger import Execution
from chaos.load import Submission
from chaos.records import TaskRow, TaskTransition
from chaos.schedule import FaultKind
from taskmaster.tasks.lifecycle import FINISHED

#: How long a fault has effects after its end: the lease of 15 s, one liveness check, and
#: reconnecting.
AFTERMATH_S = 25.0


@dataclass(frozen=True, slots=True)
class Repeat:
    """Hold one unplanned execution. `kind` is that of the responsible fault, None without one."""

    task_id: int
    key: str
    kind: str | None
    #: It started after the task had ended: the worker accepted the offer too late.
    late: bool
    description: str


@dataclass(slots=True)
class Repeats:
    """Hold the unplanned executions."""

    explained: list[Repeat] = field(default_factory=list)
    unexplained: list[Repeat] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Return the number of unplanned executions."""
        return len(self.explained) + len(self.unexplained)

    @property
    def late(self) -> int:
        """Return the number of executions that started after the task had ended."""
        return sum(each.late for each in (*self.explained, *self.unexplained))

    @property
    def by_fault(self) -> Counter[str]:
        """Return the number of unplanned executions per kind of fault."""
        return Counter(each.kind for each in self.explained if each.kind is not None)


def explain(
    submissions: Mapping[str, Submission],
    rows: Iterable[TaskRow],
    history: Mapping[int, Sequence[TaskTransition]],
    executions: Iterable[Execution],
    faults: Sequence[InjectedFault],
) -> Repeats:
    """Find for each repeated execution the fault that affected the one before it."""
    repeats = Repeats()
    ids = {row.key: row.id for row in rows}
    ran: dict[str, list[Execution]] = defaultdict(list)
    for execution in executions:
        ran[execution.key].append(execution)
    for key, own in ran.items():
        extra = len(own) - submissions[key].attempts
        if extra <= 0:
            continue
        changes = history.get(ids.get(key, 0), ())
        found = [
            _repeat(ids.get(key, 0), first, second, changes, faults)
            for first, second in itertools.pairwise(own)
        ]
        known = [each for each in found if each.kind is not None][:extra]
        repeats.explained += known
        unknown = [each for each in found if each.kind is None]
        repeats.unexplained += unknown[: extra - len(known)]
    return repeats


def _repeat(
    task_id: int,
    first: Execution,
    second: Execution,
    changes: Sequence[TaskTransition],
    faults: Sequence[InjectedFault],
) -> Repeat:
    late = any(each.new_status in FINISHED and each.at < second.began for each in changes)
    # A late execution was delayed on its own worker; otherwise the one before it was lost.
    worker = second.worker if late else first.worker
    ranks = dict.fromkeys(_holders(changes, first.began, second.began), 1)
    ranks |= {roster.POSTGRES: 2, worker: 0}
    met = [
        (_distance(fault, first, second, late=late), min(ranks[name] for name in names), fault.kind)
        for fault in faults
        if (names := fault.touched & ranks.keys()) and _can_cause(fault, first, second)
    ]
    kind = min(met)[2].value if met else None
    return Repeat(task_id, first.key, kind, late, _describe(first, second))


def _can_cause(fault: InjectedFault, first: Execution, second: Execution) -> bool:
    """Return whether the fault came at a time at which it could cause the repetition."""
    if fault.kind == FaultKind.KILL_CHILD:
        # It ends only what runs at this moment.
        return first.began <= fault.ended and first.ended is None and fault.began <= second.began
    return fault.began <= second.began and fault.ended + AFTERMATH_S >= first.began


def _distance(fault: InjectedFault, first: Execution, second: Execution, *, late: bool) -> float:
    """Return the seconds between the fault and the moment of the failure.

    The failure happened when the second execution started too late, or when the first one ended
    without its report arriving. If the first one did not end, it is any time between the two
    starts.
    """
    since, until = first.began, second.began
    if late:
        since = until
    elif first.ended is not None:
        since = until = min(first.ended, until)
    return max(0.0, since - fault.ended, fault.began - until)


def _holders(changes: Sequence[TaskTransition], since: float, until: float) -> frozenset[str]:
    """Return the coordinators that held the task in this period."""
    names = {change.coordinator for change in changes if since <= change.at <= until}
    before = [change.coordinator for change in changes if change.at < since]
    return frozenset(names | set(before[-1:])) - {""}


def _describe(first: Execution, second: Execution) -> str:
    end = "never ended" if first.ended is None else f"ended after {first.ended - first.began:.2f} s"
    return (
        f"attempt {first.attempt or '?'} on {first.worker} {end}; "
        f"attempt {second.attempt or '?'} on {second.worker} "
        f"started {second.began - first.began:.2f} s after it"
    )
