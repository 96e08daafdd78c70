"""Which tasks ran more often than planned, and which fault is to blame for each time."""

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

#: What a fault has done shows for so long after it: the lease of 15 s, a round of the watch, and
#: the connections that are made again.
AFTERMATH_S = 25.0


@dataclass(slots=True)
class Repeats:
    """How many executions came on top of those planned."""

    count: int = 0
    #: Kind of fault → executions that it has cost.
    by_fault: Counter[str] = field(default_factory=Counter)
    #: What a fault explains, and what none does, in words.
    explained: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)


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
        repeats.count += extra
        changes = history.get(ids.get(key, 0), ())
        known, unknown = [], []
        for one, other in itertools.pairwise(mine):
            cause, words = _cause(one, other, changes, faults), _words(ids.get(key, 0), one, other)
            if cause is None:
                unknown.append(words)
            else:
                known.append((cause.kind.value, words))
        repeats.by_fault.update(kind for kind, _ in known[:extra])
        repeats.explained += [f"{kind}: {words}" for kind, words in known[:extra]]
        repeats.unexplained += unknown[: extra - len(known[:extra])]
    return repeats


def _cause(
    one: Execution, other: Execution, changes: Sequence[Change], faults: Sequence[Injected]
) -> Injected | None:
    """The fault that met `one`, its worker, its coordinators or the database, before `other`."""
    holders = _holders(changes, one.began, other.began)
    for whose in (frozenset({one.worker}), holders, frozenset({roster.POSTGRES})):
        met = [
            fault
            for fault in faults
            if fault.touched & whose
            and fault.began <= other.began
            and fault.ended + AFTERMATH_S >= one.began
        ]
        if met:
            return min(met, key=lambda fault: _distance(fault, one, other))
    return None


def _distance(fault: Injected, one: Execution, other: Execution) -> float:
    """Seconds between the fault and the time in which the execution was lost."""
    return max(0.0, one.began - fault.ended, fault.began - other.began)


def _holders(changes: Sequence[Change], since: float, until: float) -> frozenset[str]:
    """The coordinators that had the task in this time."""
    names = {change.coordinator for change in changes if since <= change.at <= until}
    before = [change.coordinator for change in changes if change.at < since]
    return frozenset(names | set(before[-1:])) - {""}


def _words(task_id: int, one: Execution, other: Execution) -> str:
    end = "never ended" if one.ended is None else f"ended after {one.ended - one.began:.2f} s"
    return (
        f"task {task_id} ({one.key}): attempt {one.attempt or '?'} on {one.worker} {end}; "
        f"attempt {other.attempt or '?'} on {other.worker} began {other.began - one.began:.2f} s "
        "after it"
    )
