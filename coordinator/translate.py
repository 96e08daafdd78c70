"""Between the wire and the domain: updates of workers become reports, tasks become messages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence, Set
from typing import TYPE_CHECKING, Any, NamedTuple

from proto import taskmaster_pb2 as pb
from tasks.reports import Chunk, Completion, Failure, Lease, Release, Start
from tasks.submission import MAX_PAUSE_S

if TYPE_CHECKING:
    from coordinator.batch import Batch, Entry

#: How an attempt ended, as its entry in `errors` says it.
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
#: The largest number of PostgreSQL's integer.
_INT_MAX = 2**31 - 1
#: Ten years: whatever claims to be older is a broken clock.
_OLDEST_S = 10 * 365 * 86_400.0
_STREAMS = frozenset({"stdout", "stderr", "log"})
_KINDS = ("started", "completed", "failed", "output", "declined")
#: A worker sends 500 of a kind; with many more nobody else would be heard meanwhile.
REPORTS_MAX = 10_000
#: Characters of what an entry of `errors` says: a worker sends no more, and rows stay small.
_MESSAGE_MAX = 1_000
_EXCEPTION_MAX = 500
_TRACEBACK_MAX = 16_384


class Report(NamedTuple):
    """Which execution a report names; a hand-back (`attempt` None) names no attempt."""

    lease: Lease
    attempt: int | None


def leases(update: pb.StatusUpdate) -> Iterator[Lease]:
    """The lease of every report in the update."""
    for kind in _KINDS:
        for report in getattr(update, kind):
            yield Lease(report.task_id, report.lease)


def named(update: pb.StatusUpdate) -> Iterator[Report]:
    """The execution that each report of the update names."""
    for kind in _KINDS:
        for report in getattr(update, kind):
            yield _named(report)


def _named(report: Any) -> Report:
    lease = Lease(report.task_id, report.lease)
    return Report(lease, None if isinstance(report, pb.Execution) else report.attempt)


def add(entry: Entry, batch: Batch, waited_s: float) -> None:
    """Adds an update's reports to a batch; `waited_s` has passed since it came."""
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
    batch.completions.extend(
        [
            Completion(
                x.task_id,
                x.lease,
                x.attempt,
                age_s(x.started_at_us),
                age_s(x.finished_at_us),
                worker,
                worker_id,
                x.result or None,
            )
            for x in update.completed
        ]
    )
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
            Chunk(x.task_id, x.lease, x.attempt, x.seq, x.stream, _storable(x.text), worker_id)
            for x in update.output
        ]
    )
    batch.releases.extend([Release(x.task_id, x.lease, begun=True) for x in update.declined])


def _pause_s(report: pb.Failed) -> float | None:
    """What the task asked for, if it can be meant."""
    asked = report.HasField("retry_after_s") and 0 <= report.retry_after_s <= MAX_PAUSE_S
    return report.retry_after_s if asked else None


def _error(report: pb.Failed, worker: str) -> str:
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
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def lost(attempts: Sequence[tuple[Lease, int]]) -> pb.StatusUpdate:
    """The report of attempts that nobody will ever report."""
    update = pb.StatusUpdate()
    for lease, attempt in attempts:
        update.failed.add(
            task_id=lease.task_id,
            lease=lease.lease,
            attempt=attempt,
            exit_class=pb.EXIT_CLASS_LOST,
            message="the worker does not know this execution any more",
        )
    return update


def without(update: pb.StatusUpdate, refused: Set[Report]) -> pb.StatusUpdate:
    """The update less these reports."""
    kept = pb.StatusUpdate(worker_id=update.worker_id, now_us=update.now_us)
    for kind in _KINDS:
        getattr(kept, kind).extend(
            report for report in getattr(update, kind) if _named(report) not in refused
        )
    return kept


def absurd(update: pb.StatusUpdate) -> str | None:
    """What no worker can mean, named with its rule; None when all can be stored."""
    if sum(len(getattr(update, kind)) for kind in _KINDS) > REPORTS_MAX:
        return f"reports: must be at most {REPORTS_MAX:,} in a message."
    for kind in (update.started, update.completed, update.failed, update.output):
        if (
            kind
            and not 1 <= min(x.attempt for x in kind) <= max(x.attempt for x in kind) <= _INT_MAX
        ):
            return f"attempt: must be from 1 to {_INT_MAX}."
    if update.output:
        if max(chunk.seq for chunk in update.output) > _INT_MAX:
            return f"output.seq: must be at most {_INT_MAX}."
        if not _STREAMS.issuperset(chunk.stream for chunk in update.output):
            return f"output.stream: must be one of {', '.join(sorted(_STREAMS))}."
    return absurd_leases(leases(update))


def absurd_leases(named: Iterable[Lease]) -> str | None:
    """The rule that some of these leases break, None when all can have been given."""
    if any(lease.task_id < 1 or lease.lease < 1 for lease in named):
        return "task_id, lease: must be positive."
    return None


def unusable(done: Completion) -> Failure:
    """What stands in for a completion whose result the database refuses."""
    entry = {
        "attempt": done.attempt,
        "worker": done.worker,
        "class": EXIT_CLASS[pb.EXIT_CLASS_RAISED],
        "message": "the result is no JSON that PostgreSQL can store",
    }
    return Failure(
        done.task_id,
        done.lease,
        done.attempt,
        done.started_age_s,
        done.finished_age_s,
        done.worker,
        done.worker_id,
        error=json.dumps(entry, ensure_ascii=False),
        final=True,
        pause_s=None,
    )
