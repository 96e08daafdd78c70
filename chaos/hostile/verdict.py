"""Judge whether a task noticed what a hostile task before it has left: pure functions."""

from __future__ import annotations

import json
import signal
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from chaos import roster
from chaos.faults import InjectedFault
from chaos.hostile.load import HostileSubmission
from chaos.records import TaskRow
from chaos.verdict import Violation
from taskmaster.tasks.lifecycle import FINISHED, Status

#: A statement can fail this long after a fault of PostgreSQL. Later, the slot has kept a broken
#: connection.
_AFTER_S = 3.0
_DATABASE_ERRORS = ("django.db.", "psycopg.")


@dataclass(slots=True)
class HostileVerdict:
    """Hold the counts and the violations. Each list must be empty."""

    #: Number of hostile tasks that ran and ended, by executor.
    run: Counter[str] = field(default_factory=Counter)
    #: Number of well-behaved tasks that ran after the first hostile task.
    later: int = 0
    not_run: list[Violation] = field(default_factory=list)
    affected: list[Violation] = field(default_factory=list)


def judge_hostile(
    submissions: Mapping[str, HostileSubmission],
    rows: Iterable[TaskRow],
    faults: Sequence[InjectedFault],
) -> HostileVerdict:
    """Compare each witness with the one that ran in the same executor before all hostile tasks."""
    verdict = HostileVerdict()
    stored = {row.key: row for row in rows}
    references: dict[tuple[str, str], Any] = defaultdict(dict)
    for key, submission in submissions.items():
        if submission.is_reference and key in stored:
            references[submission.executor, submission.name] = _result(stored[key])
    for key, submission in submissions.items():
        row = stored.get(key)
        if row is None:
            if submission.acknowledged:
                verdict.not_run.append(Violation(0, key, "acknowledged but not stored"))
        elif Status(row.status) not in FINISHED or not row.attempt:
            what = f"{submission.name} is {row.status} after {row.attempt} attempts"
            verdict.not_run.append(Violation(row.id, key, what))
        elif not submission.is_witness:
            verdict.run[submission.executor] += 1
        elif not submission.is_reference:
            verdict.later += 1
            expected = references[submission.executor, submission.name]
            if what := _damage(row, expected, faults):
                what = f"{submission.name} in the executor {submission.executor}: {what}"
                verdict.affected.append(Violation(row.id, key, what))
    return verdict


def _damage(row: TaskRow, expected: dict[str, Any], faults: Sequence[InjectedFault]) -> str:
    """Return what the task noticed; empty for nothing."""
    for error in row.errors:
        if not _is_by_fault(error, faults):
            return f"attempt {error.get('attempt')} failed: {error.get('message')}"
    if row.status != Status.COMPLETE:
        return f"{row.status} after {row.attempt} attempts"
    found = _result(row)
    changed = sorted(key for key in found | expected if found.get(key) != expected.get(key))
    return ", ".join(f"{key} is {found.get(key)}, not {expected.get(key)}" for key in changed)


def _is_by_fault(error: Mapping[str, Any], faults: Sequence[InjectedFault]) -> bool:
    """Return whether a fault of the run explains the failed attempt."""
    if error["class"] == "lost":
        return True
    if error["class"] == "signal":
        return bool(error["code"] == signal.SIGKILL)
    at = datetime.fromisoformat(error["at"]).timestamp()
    return str(error.get("exception", "")).startswith(_DATABASE_ERRORS) and any(
        roster.POSTGRES in fault.touched and fault.began <= at <= fault.ended + _AFTER_S
        for fault in faults
    )


def _result(row: TaskRow) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(row.result or "{}")
    return found
