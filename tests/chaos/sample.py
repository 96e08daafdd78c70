"""Build histories, executions and faults in one line each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from chaos.faults import InjectedFault
from chaos.ledger import Execution
from chaos.load import PlannedOutcome, Submission
from chaos.records import TaskRow, TaskTransition
from chaos.schedule import FaultKind

KEY, TOKEN = "k1", "t1"


def submitted(
    plan: PlannedOutcome = PlannedOutcome.COMPLETES, *, acknowledged: bool = True
) -> dict[str, Submission]:
    """Return one submission."""
    return {KEY: Submission(KEY, plan, {}, acknowledged)}


def row(status: str = "complete", lease: int = 1, **fields: object) -> TaskRow:
    """Return the final row of the task."""
    given = {"result": TOKEN if status == "complete" else None, "name": "chaos.tasks.work"}
    return TaskRow(**{  # type: ignore[arg-type]
        "id": 1, "key": KEY, "status": status, "lease": lease, "attempt": 1, "errors": [],
        **given, **fields,
    })  # fmt: skip


def history_of(*stations: tuple[float, str, int], worker: str = "worker-1") -> list[TaskTransition]:
    """Return a history from (time, status, lease) steps, from `pending` under lease 0."""
    return [
        TaskTransition(1, at, old, new, old_lease, lease, 1, worker, "coordinator-1")
        for (_, old, old_lease), (at, new, lease) in pairwise([(0.0, "pending", 0), *stations])
    ]


#: The history of a task that no fault affected.
SMOOTH = history_of((1.0, "picked", 1), (2.0, "started", 1), (3.0, "complete", 1))


def ran(
    began: float = 2.0, ended: float | None = 3.0, *, token: str = TOKEN, worker: str = "worker-1"
) -> Execution:
    """Return an execution; it returned if it ended."""
    return Execution(KEY, token, worker, 1, 77, began, ended, ended is not None)


def fault(
    kind: FaultKind, target: str, began: float, ended: float, touched: Sequence[str] = ()
) -> InjectedFault:
    """Return a fault."""
    return InjectedFault(kind, target, began, ended, frozenset(touched or (target,)))
