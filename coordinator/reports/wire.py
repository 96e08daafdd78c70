"""Validate the updates of workers and convert them from protobuf to the domain's reports."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence, Set
from typing import Any, NamedTuple

from taskmaster.coordinator.reports.batch import ReportBatch, ReportEntry
from taskmaster.proto import taskmaster_pb2 as pb
from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.json_rules import fault
from taskmaster.tasks.messages import (
    ClaimedTask,
    Completion,
    Failure,
    Lease,
    OutputChunk,
    Release,
    Start,
)
from taskmaster.tasks.options import MAX_PAUSE_S

#: Values of `class` in the entries of a task's `errors`, by the exit class in the protocol.
EXIT_CLASS = {
    pb.EXIT_CLASS_UNSPECIFIED: "raised",
    pb.EXIT_CLASS_RAISED: "raised",
    pb.EXIT_CLASS_EXIT_CODE: "exit_code",
    pb.EXIT_CLASS_TIMEOUT: "timeout",
    pb.EXIT_CLASS_SIGNAL: "signal",
    pb.EXIT_CLASS_OUT_OF_MEMORY: "out_of_memory",
    pb.EXIT_CLASS_CANCELLED: "cancelled",
    pb.EXIT_CLASS_LOST: "lost",
}
#: Largest value of PostgreSQL's `integer`.
_INT_MAX = 2**31 - 1
#: Longest age of a report in seconds: ten years. A larger age means that the worker's clock is
#: wrong.
_OLDEST_S = 10 * 365 * 86_400.0
_STREAMS = frozenset({"stdout", "stderr", "log"})
_KINDS = ("started", "completed", "failed", "output", "declined")
#: Most reports in one update. A worker sends 500 of a kind. Far larger updates would delay the
#: other workers.
REPORTS_MAX = 10_000
#: Longest texts in an entry of `errors`, in characters. A worker sends no more. The limits keep the
#: rows small.
_MESSAGE_MAX = 1_000
_EXCEPTION_MAX = 500
_TRACEBACK_MAX = 16_384


class ReportHead(NamedTuple):
    """Identify the execution that a report names.

    `attempt` is None for a hand-back, which carries no attempt.
    """

    lease: Lease
    attempt: int | None
    #: The token of the offer, as the worker names it.
    token: bytes


def validate_update(update: pb.StatusUpdate) -> None:
    """Raise InvalidField if a report of the update cannot be stored."""
    if sum(len(getattr(update, kind)) for kind in _KINDS) > REPORTS_MAX:
        raise InvalidField("reports", f"must be at most {REPORTS_MAX:,} in a message.")
    for kind in (update.started, update.completed, update.failed, update.output):
        if (
            kind
            and not 1 <= min(x.attempt for x in kind) <= max(x.attempt for x in kind) <= _INT_MAX
        ):
            raise InvalidField("attempt", f"must be from 1 to {_INT_MAX}.")
    if update.output:
        if max(chunk.seq for chunk in update.output) > _INT_MAX:
            raise InvalidField("output.seq", f"must be at most {_INT_MAX}.")
        if not _STREAMS.issuperset(chunk.stream for chunk in update.output):
            raise InvalidField("output.stream", f"must be one of {', '.join(sorted(_STREAMS))}.")
    validate_leases(reported_leases(update))


def validate_leases(leases: Iterable[Lease]) -> None:
    """Raise InvalidField if a lease cannot exist."""
    if any(lease.task_id < 1 or lease.lease < 1 for lease in leases):
        raise InvalidField("task_id, lease", "must be positive.")


def reported_leases(update: pb.StatusUpdate) -> Iterator[Lease]:
    """Yield the lease of every report in the update."""
    for kind in _KINDS:
        for report in getattr(update, kind):
            yield Lease(report.task_id, report.lease)


def report_heads(update: pb.StatusUpdate) -> Iterator[ReportHead]:
    """Yield the execution that each report in the update names."""
    for kind in _KINDS:
        for report in getattr(update, kind):
            yield _head(report)


def _head(report: Any) -> ReportHead:
    lease = Lease(report.task_id, report.lease)
    attempt = None if isinstance(report, pb.Execution) else report.attempt
    return ReportHead(lease, attempt, report.token)


def without_reports(update: pb.StatusUpdate, refused: Set[ReportHead]) -> pb.StatusUpdate:
    """Return a copy of the update without the refused reports."""
    kept = pb.StatusUpdate(worker_id=update.worker_id, now_us=update.now_us)
    for kind in _KINDS:
        getattr(kept, kind).extend(
            report for report in getattr(update, kind) if _head(report) not in refused
        )
    return kept


def append_reports(
    batch: ReportBatch, entry: ReportEntry, waited_s: float, *, result_max: int
) -> None:
    """Convert the reports of an update and append them to a batch.

    Times become ages in seconds, so that the worker's clock need not agree with the database's.
    `waited_s` is the time since the update arrived and is added to each age. A completion whose
    result exceeds `result_max` bytes, or cannot be shown, becomes a final failure.
    """
    update, worker, worker_id = entry.update, entry.worker, entry.worker_id
    now_us = update.now_us

    def age_s(at_us: int) -> float:
        return min(_OLDEST_S, max(0.0, (now_us - at_us) / 1e6)) + waited_s

    batch.starts.extend(
        [
            Start(x.task_id, x.lease, x.attempt, age_s(x.started_at_us), worker, worker_id)
            for x in update.started
        ]
    )
    for x in update.completed:
        completion = Completion(
            x.task_id,
            x.lease,
            x.attempt,
            age_s(x.started_at_us),
            age_s(x.finished_at_us),
            worker,
            worker_id,
            x.result or None,
        )
        reason = fault(x.result, result_max) if x.result else None
        if reason is None:
            batch.completions.append(completion)
        else:
            batch.failures.append(refused_result(completion, f"the result {reason}"))
    batch.failures.extend(
        [
            Failure(
                x.task_id,
                x.lease,
                x.attempt,
                age_s(x.started_at_us),
                age_s(x.finished_at_us),
                worker,
                worker_id,
                _error(x, worker),
                x.final,
                _pause_s(x),
            )
            for x in update.failed
        ]
    )
    batch.chunks.extend(
        [
            OutputChunk(
                x.task_id, x.lease, x.attempt, x.seq, x.stream, _storable(x.text), worker_id
            )
            for x in update.output
        ]
    )
    batch.releases.extend(
        [Release(x.task_id, x.lease, handed_back=True, unused=True) for x in update.declined]
    )


def _pause_s(report: pb.Failed) -> float | None:
    """Return the pause in seconds that the task asked for, None if absent or out of range."""
    valid = report.HasField("retry_after_s") and 0 <= report.retry_after_s <= MAX_PAUSE_S
    return report.retry_after_s if valid else None


def _error(report: pb.Failed, worker: str) -> str:
    """Return the JSON text of the failure's entry in the task's `errors`.

    Its texts are cut to their limits. A traceback keeps its end, which names the error.
    """
    entry = {
        "attempt": report.attempt,
        "worker": worker,
        "class": EXIT_CLASS.get(report.exit_class, "raised"),
        "message": _storable(report.message[:_MESSAGE_MAX]),
    }
    if report.exception:
        entry["exception"] = _storable(report.exception[:_EXCEPTION_MAX])
    if report.traceback:
        entry["traceback"] = _storable(report.traceback[-_TRACEBACK_MAX:])
    if report.exit_class in (pb.EXIT_CLASS_EXIT_CODE, pb.EXIT_CLASS_SIGNAL):
        entry["code"] = report.code
    return json.dumps(entry, ensure_ascii=False)


def _storable(text: str) -> str:
    """Replace NUL characters, which PostgreSQL cannot store in text."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def lost_update(attempts: Sequence[tuple[Lease, int]]) -> pb.StatusUpdate:
    """Build an update that reports attempts as lost. `attempts` has their leases and numbers."""
    update = pb.StatusUpdate()
    for lease, attempt in attempts:
        update.failed.add(
            task_id=lease.task_id,
            lease=lease.lease,
            attempt=attempt,
            exit_class=pb.EXIT_CLASS_LOST,
            message="the worker stopped listing this execution in its heartbeats",
        )
    return update


def refused_offer(task: ClaimedTask, reason: str) -> pb.StatusUpdate:
    """Build an update that fails a task that no worker can receive. It uses one attempt."""
    now_us = time.time_ns() // 1_000
    update = pb.StatusUpdate(now_us=now_us)
    update.failed.add(
        task_id=task.task_id,
        lease=task.lease,
        attempt=task.attempt + 1,
        started_at_us=now_us,
        finished_at_us=now_us,
        message=f"no worker can receive the task: {reason}",
        final=True,
    )
    return update


def refused_result(completion: Completion, reason: str) -> Failure:
    """Build the final failure that replaces a completion whose result cannot be stored."""
    entry = {
        "attempt": completion.attempt,
        "worker": completion.worker,
        "class": EXIT_CLASS[pb.EXIT_CLASS_RAISED],
        "message": reason,
    }
    return Failure(
        completion.task_id,
        completion.lease,
        completion.attempt,
        completion.started_age_s,
        completion.finished_age_s,
        completion.worker,
        completion.worker_id,
        error=json.dumps(entry, ensure_ascii=False),
        final=True,
        pause_s=None,
    )
