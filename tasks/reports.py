"""What travels between the parts: tasks that were claimed, and what workers report of them.

Named tuples, since twenty thousand a second are made and turned into columns.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID


class Lease(NamedTuple):
    """The fencing pair: one claim of one task."""

    task_id: int
    lease: int


class Pair(NamedTuple):
    """A queue and priority with pending tasks; `due_in_s` is negative when the first is due."""

    queue: str
    priority: int
    first_at: datetime
    due_in_s: float


class Claimed(NamedTuple):
    """A task that this coordinator holds. `args` and `kwargs` are JSON text."""

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
    #: `continue` or `stop`.
    on_lost_contact: str


class Capacity(NamedTuple):
    """What a coordinator's workers can take of a queue; '' is any queue that has no other entry."""

    queue: str
    #: Those that take tasks at all.
    workers: int
    slots: int
    free: int


class Adopted(NamedTuple):
    """A running execution whose worker came to this coordinator."""

    task_id: int
    attempt: int
    max_attempts: int
    queue: str


class Written(NamedTuple):
    """A task whose start or result was written, and how long it had waited since it was due."""

    task_id: int
    name: str
    queue: str
    wait_s: float


class Changed(NamedTuple):
    """A task that failed or went back, as it is now."""

    task_id: int
    name: str
    queue: str
    status: str
    attempt: int
    max_attempts: int
    #: Of the newest attempt.
    worker: str
    worker_id: UUID | None
    #: Until it is due again.
    due_in_s: float


class Named(NamedTuple):
    """An execution that a worker named: whether it is the worker's own, and whether it is live."""

    lease: Lease
    #: As the worker said it, None when it did not.
    attempt: int | None
    own: bool
    live: bool


class Start(NamedTuple):
    """An attempt began. Ages are seconds before the report is written."""

    task_id: int
    lease: int
    attempt: int
    started_age_s: float
    worker: str
    worker_id: UUID


class Completion(NamedTuple):
    """An attempt returned. `result` is JSON text, None for null."""

    task_id: int
    lease: int
    attempt: int
    started_age_s: float
    finished_age_s: float
    worker: str
    worker_id: UUID
    result: str | None


class Failure(NamedTuple):
    """An attempt did not return. `error` is the JSON text of its entry in `errors`."""

    task_id: int
    lease: int
    attempt: int
    started_age_s: float
    finished_age_s: float
    worker: str
    worker_id: UUID
    error: str
    #: Failed for good whatever attempts are left.
    final: bool
    #: The pause before the next attempt; None: the task's own.
    pause_s: float | None


class Release(NamedTuple):
    """A task that goes back. `begun`: its worker, which may run it already, hands it back."""

    task_id: int
    lease: int
    begun: bool


class Chunk(NamedTuple):
    """A piece of an attempt's output."""

    task_id: int
    lease: int
    attempt: int
    seq: int
    stream: str
    text: str
    worker_id: UUID
