"""Made-up histories in a line."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from chaos.faults import Injected
from chaos.ledger import Execution
from chaos.load import Plan, Submission
from chaos.records import Change, Row
from chaos.schedule import Kind

KEY, TOKEN = "k1", "t1"


def submitted(plan: Plan = Plan.COMPLETES, *, acknowledged: bool = True) -> dict[str, Submission]:
    """One submission."""
    return {KEY: Submission(KEY, plan, {}, acknowledged)}


def row(status: str = "complete", lease: int = 1, **fields: object) -> Row:
    """The task as it stands at the end."""
    given = {"result": TOKEN if status == "complete" else None, "name": "chaos.tasks.work"}
    return Row(**{  # type: ignore[arg-type]
        "id": 1, "key": KEY, "status": status, "lease": lease, "attempt": 1, "errors": [],
        **given, **fields,
    })  # fmt: skip


def went(*stations: tuple[float, str, int], worker: str = "worker-1") -> list[Change]:
    """A history from its stations (time, status, lease), from `pending` under lease 0."""
    return [
        Change(1, at, old, new, old_lease, lease, 1, worker, "coordinator-1")
        for (_, old, old_lease), (at, new, lease) in pairwise([(0.0, "pending", 0), *stations])
    ]


#: The way of a task that nothing came across.
SMOOTH = went((1.0, "picked", 1), (2.0, "started", 1), (3.0, "complete", 1))


def ran(
    began: float = 2.0, ended: float | None = 3.0, *, token: str = TOKEN, worker: str = "worker-1"
) -> Execution:
    """An execution, which returned if it ended."""
    return Execution(KEY, token, worker, 1, 77, began, ended, ended is not None)


def fault(
    kind: Kind, target: str, began: float, ended: float, touched: Sequence[str] = ()
) -> Injected:
    """A fault that happened."""
    return Injected(kind, target, began, ended, frozenset(touched or (target,)))
