"""Define the messages between the parts: submissions, claimed tasks, reports, and store results.

They are named tuples because twenty thousand a second are created and converted to columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from taskmaster.tasks.lifecycle import Status


@dataclass(frozen=True, slots=True)
class NewTask:
    """Hold a valid submission.

    `args` and `kwargs` are JSON text. A `scheduled_at` of None means now.
    """

    name: str
    args: str = "[]"
    kwargs: str = "{}"
    queue: str = "default"
    priority: int = 0
    scheduled_at: datetime | None = None
    max_attempts: int = 3
    timeout_s: float = 3600.0
    retry_base_s: float = 1.0
    retry_cap_s: float = 600.0
    #: Either `continue` or `stop`.
    on_lost_contact: str = "continue"
    tags: tuple[str, ...] = ()
    #: Whether only workers know the name. Then the arguments were not checked, and the options that
    #: the task declares do not apply.
    unchecked: bool = False

    @property
    def notice(self) -> str:
        """Return what a submitter must know about an unchecked task. Empty for any other task."""
        if not self.unchecked:
            return ""
        return (
            f"Only workers know {self.name}, and this process does not: its arguments were not "
            "checked, and the options that it declares do not apply."
        )


def list_notices(tasks: Iterable[NewTask]) -> list[str]:
    """Return the notice of each name that only workers know."""
    return list(dict.fromkeys(task.notice for task in tasks if task.unchecked))


class Lease(NamedTuple):
    """Identify one claim of one task. The pair is the fencing token."""

    task_id: int
    lease: int


class QueuePriority(NamedTuple):
    """Describe a queue and priority with pending tasks.

    `due_in_s` is the time until the first of them is due, and negative once it is due.
    """

    queue: str
    priority: int
    first_at: datetime
    due_in_s: float


class QueueName(NamedTuple):
    """Name a queue and a task of it."""

    queue: str
    name: str


class KnownByWorkers(NamedTuple):
    """State the names that workers with the same queues know.

    `queues` is None for every queue. `names` is None if the workers announced none: they take every
    task.
    """

    queues: frozenset[str] | None
    names: frozenset[str] | None


class ClaimedTask(NamedTuple):
    """Describe a task that this coordinator has claimed. `args` and `kwargs` are JSON text."""

    task_id: int
    lease: int
    attempt: int
    max_attempts: int
    name: str
    args: str
    kwargs: str
    queue: str
    priority: int
    timeout_s: float
    scheduled_at: datetime
    due_in_s: float
    created_at: datetime
    #: Either `continue` or `stop`.
    on_lost_contact: str
    #: Number of leases under which no attempt can have run.
    unused_leases: int = 0
    #: Due time of the schedule that submitted the task, if one did.
    scheduled_for: datetime | None = None


class QueueCapacity(NamedTuple):
    """State the capacity of a coordinator's workers for a queue.

    The queue '' represents all queues without an entry of their own.
    """

    queue: str
    #: Number of workers that accept tasks. Draining workers are not counted.
    workers: int
    slots: int
    free: int


class AdoptedAttempt(NamedTuple):
    """Describe a running execution that a coordinator took over with its worker."""

    task_id: int
    attempt: int
    max_attempts: int
    queue: str


class RecordedAttempt(NamedTuple):
    """Identify a task whose start or result was written. `wait_s` is the time from due to start."""

    task_id: int
    name: str
    queue: str
    wait_s: float


class TaskChange(NamedTuple):
    """Describe a task after it failed, was released or was rescued."""

    task_id: int
    name: str
    queue: str
    status: str
    attempt: int
    max_attempts: int
    #: Name of the worker of the newest attempt.
    worker: str
    worker_id: UUID | None
    #: Time until the task is due.
    due_in_s: float


class ReportedExecution(NamedTuple):
    """State the ownership of an execution that a worker named.

    `own` is true if it belongs to that worker, `live` if it is in flight.
    """

    lease: Lease
    #: The attempt number from the worker's report, or None.
    attempt: int | None
    own: bool
    live: bool


class Start(NamedTuple):
    """Report a started attempt. Ages are seconds before the report is written."""

    task_id: int
    lease: int
    attempt: int
    started_age_s: float
    worker: str
    worker_id: UUID


class Completion(NamedTuple):
    """Report a completed attempt. `result` is JSON text, or None for null."""

    task_id: int
    lease: int
    attempt: int
    started_age_s: float
    finished_age_s: float
    worker: str
    worker_id: UUID
    result: str | None


class Failure(NamedTuple):
    """Report a failed attempt. `error` is the JSON text of its entry in `errors`."""

    task_id: int
    lease: int
    attempt: int
    started_age_s: float
    finished_age_s: float
    worker: str
    worker_id: UUID
    error: str
    #: Whether the task fails even if attempts are left.
    final: bool
    #: Pause before the next attempt. None: the pause from the task's retry policy.
    pause_s: float | None


class Release(NamedTuple):
    """Report a task to release.

    `handed_back` is true if the worker hands the task back. The attempt may have started then.
    `unused` is true if no worker can run the task under this lease.
    """

    task_id: int
    lease: int
    handed_back: bool
    unused: bool


class OutputChunk(NamedTuple):
    """Hold a piece of an attempt's output."""

    task_id: int
    lease: int
    attempt: int
    seq: int
    stream: str
    text: str
    worker_id: UUID


class ChangedTask(NamedTuple):
    """Identify a task that a user or a program has changed."""

    task_id: int
    name: str
    queue: str
    #: Status before the change; empty unless the statement returns it.
    before: str = ""
    worker: str = ""
    worker_id: UUID | None = None


class ListedSchedule(NamedTuple):
    """Hold a schedule of a list, with its state."""

    schedule_id: int
    name: str
    #: `ended`, `paused`, `late`, `running`, `failed` or `on time`.
    state: str


class ListedRun(NamedTuple):
    """Hold a run of a schedule with the state of its task, if that is still stored."""

    schedule_id: int
    run_id: int
    kind: str
    state: str
    due_at: datetime
    last_due_at: datetime | None
    #: Number of due times that the row stands for.
    times: int
    run_at: datetime
    reason: str
    user: str
    task_id: int | None
    status: str | None
    attempt: int | None
    error: str | None
    scheduled_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None


class QueueOutlook(NamedTuple):
    """Hold the outlook of a task: its due time and the capacity of live coordinators."""

    #: Time until the task is due, and negative once it is due.
    due_in_s: float
    coordinators: int
    #: Number of workers that serve the queue and accept tasks. `slots` and `free` are theirs.
    workers: int
    slots: int
    free: int
    #: Whether the coordinator that holds the task is alive.
    holder_lives: bool


class OutputRow(NamedTuple):
    """Hold a stored output chunk, without its first `skipped` characters."""

    lease: int
    seq: int
    stream: str
    skipped: int
    piece: str


class EndedTasks(NamedTuple):
    """Hold the number of tasks that ended, by status, for the statistics.

    A number is negative if tasks left the status. `wait` and `run` are histograms of the times of
    complete tasks; they are empty if there are none.
    """

    complete: int = 0
    failed: int = 0
    cancelled: int = 0
    retried: int = 0
    wait: Sequence[int] = ()
    run: Sequence[int] = ()

    def __bool__(self) -> bool:
        """Return whether any number is not zero."""
        return any(self[:4])


def count_failures(changes: Sequence[TaskChange]) -> EndedTasks:
    """Count rescued tasks or failed attempts, as failed or retried."""
    failed = sum(task.status == Status.FAILED for task in changes)
    return EndedTasks(failed=failed, retried=len(changes) - failed)


class StatusCounts(NamedTuple):
    """Hold the number of tasks by status. All numbers are of one snapshot of the database."""

    pending: int
    due: int
    oldest_due: datetime | None
    held: int
    running: int
    #: Parked tasks.
    waiting: int
    complete: int
    failed: int
    cancelled: int


class MissingTask(NamedTuple):
    """Hold what is known about an id that no task has."""

    #: Whether the id was given to a submission.
    assigned: bool
    #: Number of seconds since the existing task with the next lower id was created. None: there is
    #: no such task.
    predecessor_s: float | None


class TaskTotals(NamedTuple):
    """Hold the last count of the tasks, and the newest rates."""

    counts: StatusCounts
    complete_per_s: float
    failed_per_s: float
    #: When the tasks were counted, and how long that took. None: they were never counted.
    counted_at: datetime | None
    took_s: float | None
