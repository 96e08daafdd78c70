"""Which tasks ran more often than planned, and which fault is to blame for each time.

It is the nearest one that met the worker, a coordinator that had the task, or PostgreSQL; of
those equally near the worker's own.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from chaos import roster
from chaos.faults import Injected
from chaos.ledger import Execution
from chaos.load import Submission
from chaos.records import Change, Row
from chaos.schedule import Kind
from tasks.lifecycle import FINISHED

#: What a fault has done shows for so long after it: the lease of 15 s, a round of the watch, and
#: the connections that are made again.
AFTERMATH_S = 25.0


@dataclass(frozen=True, slots=True)
class Repeat:
    """One execution too many. `kind` is that of the fault to blame; None when there is none."""

    task_id: int
    key: str
    kind: str | None
    #: It began when the task had already ended: an offer that came too late was taken.
    late: bool
    words: str


@dataclass(slots=True)
class Repeats:
    """The executions that came on top of those planned."""

    explained: list[Repeat] = field(default_factory=list)
    unexplained: list[Repeat] = field(default_factory=list)

    @property
    def count(self) -> int:
        """All of them."""
        return len(self.explained) + len(self.unexplained)

    @property
    def late(self) -> int:
        """Those that began when the task had already ended."""
        return sum(each.late for each in (*self.explained, *self.unexplained))

    @property
    def by_fault(self) -> Counter[str]:
        """Kind of fault → executions that it has cost."""
        return Counter(each.kind for each in self.explained if each.kind is not None)


def explain(
    submissions: Mapping[str, Submission],
    rows: Iterable[Row],
    history: Mapping[int, Sequence[Change]],
    executions: Iterable[Execution],
    faults: Sequence[Injected],
) -> Repeats:
    """Finds for each repeated execution the fault that met the one before it."""
    repeats = Repeats()
    ids = {row.key: row.id for row in rows}
    ran: dict[str, list[Execution]] = defaultdict(list)
    for execution in executions:
        ran[execution.key].append(execution)
    for key, mine in ran.items():
        extra = len(mine) - submissions[key].attempts
        if extra <= 0:
            continue
        changes = history.get(ids.get(key, 0), ())
        found = [
            _repeat(ids.get(key, 0), one, other, changes, faults)
            for one, other in itertools.pairwise(mine)
        ]
        known = [each for each in found if each.kind is not None][:extra]
        repeats.explained += known
        unknown = [each for each in found if each.kind is None]
        repeats.unexplained += unknown[: extra - len(known)]
    return repeats


def _repeat(
    task_id: int,
    one: Execution,
    other: Execution,
    changes: Sequence[Change],
    faults: Sequence[Injected],
) -> Repeat:
    late = any(each.new_status in FINISHED and each.at < other.began for each in changes)
    # What began too late was held up where it ran; else the one before it was lost.
    worker = other.worker if late else one.worker
    whose = dict.fromkeys(_holders(changes, one.began, other.began), 1)
    whose |= {roster.POSTGRES: 2, worker: 0}
    met = [
        (_distance(fault, one, other, late=late), min(whose[name] for name in names), fault.kind)
        for fault in faults
        if (names := fault.touched & whose.keys()) and _may(fault, one, other)
    ]
    kind = min(met)[2].value if met else None
    return Repeat(task_id, one.key, kind, late, _words(one, other))


def _may(fault: Injected, one: Execution, other: Execution) -> bool:
    """Whether it came at a time at which it could have to do with it."""
    if fault.kind == Kind.KILL_CHILD:
        # It ends what runs in this moment, and nothing else.
        return one.began <= fault.ended and one.ended is None and fault.began <= other.began
    return fault.began <= other.began and fault.ended + AFTERMATH_S >= one.began


def _distance(fault: Injected, one: Execution, other: Execution, *, late: bool) -> float:
    """Seconds between the fault and the moment in which something must have gone wrong.

    That is when the second execution began too late, or the first one ended unheard, or any time
    between the two if the first one did not end.
    """
    since, until = one.began, other.began
    if late:
        since = until
    elif one.ended is not None:
        since = until = min(one.ended, until)
    return max(0.0, since - fault.ended, fault.began - until)


def _holders(changes: Sequence[Change], since: float, until: float) -> frozenset[str]:
    """The coordinators that had the task in this time."""
    names = {change.coordinator for change in changes if since <= change.at <= until}
    before = [change.coordinator for change in changes if change.at < since]
    return frozenset(names | set(before[-1:])) - {""}


def _words(one: Execution, other: Execution) -> str:
    end = "never ended" if one.ended is None else f"ended after {one.ended - one.began:.2f} s"
    return (
        f"attempt {one.attempt or '?'} on {one.worker} {end}; attempt {other.attempt or '?'} on "
        f"{other.worker} began {other.began - one.began:.2f} s after it"
    )
