"""Transcribe the statements of `tasks/sql/`: which rows each changes, and how.

`test_conformance.py` runs the real statement on every row and call of an exploration.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tests.property.protocol.state import Row, Rules


class Call(NamedTuple):
    """One statement and its arguments."""

    name: str
    lease: int | None = None
    attempt: int | None = None
    worker: int | None = None
    coordinator: int | None = None
    stoppable: bool = False
    #: For a release: the worker itself returns the task and may have begun it.
    begun: bool = False
    #: For a release: certainly no worker runs the task under this lease.
    unused: bool = False


def transcribed(row: Row, call: Call, rules: Rules) -> Row | None:
    """Return the row after the statement, or None if its guard does not match."""
    return _STATEMENTS[call.name](row, call, rules)


def _in_flight(row: Row) -> bool:
    return row.status in ("picked", "started")


def _live(row: Row, call: Call, _: Rules) -> Row | None:
    return row if row.lease == call.lease and _in_flight(row) else None


def _fenced(row: Row, call: Call, rules: Rules) -> bool:
    """Return whether the guard of every report matches."""
    return (row.lease == call.lease or not rules.lease_guard) and (
        _in_flight(row) or not rules.status_guard
    )


def _of_worker(row: Row, call: Call, rules: Rules) -> bool:
    return _fenced(row, call, rules) and row.worker in (None, call.worker)


def _claim(row: Row, call: Call, _: Rules) -> Row | None:
    if row.status != "pending":
        return None
    return row._replace(
        status="picked", lease=row.lease + 1, coordinator=call.coordinator, worker=None
    )


def _start(row: Row, call: Call, rules: Rules) -> Row | None:
    if not _of_worker(row, call, rules):
        return None
    return row._replace(status="started", attempt=call.attempt, worker=call.worker)


def _complete(row: Row, call: Call, rules: Rules) -> Row | None:
    if not _of_worker(row, call, rules):
        return None
    return row._replace(
        status="complete", attempt=call.attempt, worker=call.worker, result=call.lease
    )


def _fail(row: Row, call: Call, rules: Rules) -> Row | None:
    if not _of_worker(row, call, rules):
        return None
    attempt = call.attempt or 0
    status = "failed" if attempt >= row.max_attempts else "pending"
    return row._replace(status=status, attempt=attempt, worker=call.worker)


def _release(row: Row, call: Call, rules: Rules) -> Row | None:
    if row.lease != call.lease and rules.lease_guard:
        return None
    if row.status != "picked" and not (call.begun and row.status == "started"):
        return None
    unguarded = call.begun and not rules.hand_back_guard
    if row.coordinator != call.coordinator and not unguarded:
        return None
    counted = 1 if row.status == "started" else 0
    return row._replace(
        status="pending",
        attempt=row.attempt - counted,
        coordinator=None,
        unused=row.unused + call.unused,
    )


def _release_held(row: Row, call: Call, _: Rules) -> Row | None:
    if row.coordinator != call.coordinator or row.status != "picked":
        return None
    return row._replace(status="pending", coordinator=None)


def _rescue(row: Row, call: Call, _: Rules) -> Row | None:
    if row.coordinator != call.coordinator or row.status != "started":
        return None
    if call.worker not in (None, row.worker) or (row.stop and not call.stoppable):
        return None
    return row._replace(status="failed" if row.attempt >= row.max_attempts else "pending")


def _adopt(row: Row, call: Call, rules: Rules) -> Row | None:
    if _live(row, call, rules) is None or row.worker not in (None, call.worker):
        return None
    if rules.adopt_starts and row.status == "picked":
        row = row._replace(status="started", attempt=row.attempt + 1, worker=call.worker)
    return row._replace(coordinator=call.coordinator)


def _cancel(row: Row, _: Call, __: Rules) -> Row | None:
    return row._replace(status="cancelled") if row.status in _OPEN else None


def _reschedule(row: Row, _: Call, __: Rules) -> Row | None:
    if row.status not in ("waiting", "pending", "picked"):
        return None
    return row._replace(
        status="pending", lease=row.lease + 1, coordinator=None, unused=row.unused + 1
    )


def _park(row: Row, call: Call, _: Rules) -> Row | None:
    if (row.status, row.lease, row.coordinator) != ("picked", call.lease, call.coordinator):
        return None
    return row._replace(status="waiting", coordinator=None, unused=row.unused + 1)


def _unpark(row: Row, _: Call, __: Rules) -> Row | None:
    return row._replace(status="pending") if row.status == "waiting" else None


def _retry(row: Row, _: Call, __: Rules) -> Row | None:
    if row.status not in ("failed", "cancelled"):
        return None
    return row._replace(
        status="pending", max_attempts=max(row.max_attempts, row.attempt + 1), coordinator=None
    )


_OPEN = ("waiting", "pending", "picked", "started")
_STATEMENTS: dict[str, Callable[[Row, Call, Rules], Row | None]] = {
    "claim": _claim,
    "start": _start,
    "complete": _complete,
    "fail": _fail,
    "release": _release,
    "release_held": _release_held,
    "rescue": _rescue,
    "adopt": _adopt,
    "live": _live,
    "cancel": _cancel,
    "reschedule": _reschedule,
    "retry": _retry,
    "park": _park,
    "unpark": _unpark,
}
