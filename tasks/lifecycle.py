"""Define the statuses of a task and every legal transition between them.

    waiting ─► pending ─claim─► picked ─start─► started ─► complete | failed
       ▲         ▲  └─► cancelled ◄──┼─────────────┤
       │         └───── release · decline · retry ◄┤
       └──────────────────────park───┘

Each transition is one statement in `tasks/sql/`. Its WHERE clause carries the guard: in a wrong
status the statement changes no row. `START` has a second statement, adopt_attempts.sql, for
executions that a reconnecting worker announces. Only `taskmaster.tasks.store` runs these
statements: its half `async_store` for coordinators, its half `sync_store` for users and programs.

A waiting task is parked: it is due, but cannot run for a reason that time does not remove. It has
no position in its queue, so no claim reads it. `WaitingReason` lists the reasons. What removes the
reason moves the task back to `pending`, with a new position.
"""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """List the statuses of a task. The values are those of the text column `status`."""

    WAITING = "waiting"
    PENDING = "pending"
    PICKED = "picked"
    STARTED = "started"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        """Return whether the task has ended. Only a retry by a user can change it now."""
        return self in FINISHED


class WaitingReason(StrEnum):
    """List the reasons why a task is parked. The values are those of `waiting_reason`."""

    #: No connected worker knows the name of the task, which is in `waiting_for`.
    UNKNOWN_NAME = "unknown_name"


class Transition(StrEnum):
    """List the transitions. Each value is the name of a statement in `tasks/sql/`."""

    CLAIM = "claim_tasks"
    RELEASE = "release_tasks"
    RELEASE_HELD = "release_held_tasks"
    RELEASE_PAUSED = "release_paused_tasks"
    PARK = "park_tasks"
    PARK_DUE = "park_due_tasks"
    UNPARK = "unpark_tasks"
    START = "start_attempts"
    COMPLETE = "complete_attempts"
    FAIL = "fail_attempts"
    RESCUE = "rescue_orphans"
    CANCEL = "cancel_tasks"
    RETRY = "retry_tasks"
    RESCHEDULE = "reschedule_tasks"
    REQUEUE = "requeue_tasks"


FINISHED = frozenset({Status.COMPLETE, Status.FAILED, Status.CANCELLED})
#: Statuses in which a coordinator or a worker holds the task under its lease.
IN_FLIGHT = frozenset({Status.PICKED, Status.STARTED})

#: The legal transitions as {status: {transition: possible new statuses}}. `fail` and `rescue`
#: lead back to `pending` while attempts are left.
LEGAL: dict[Status, dict[Transition, frozenset[Status]]] = {
    Status.WAITING: {
        Transition.UNPARK: frozenset({Status.PENDING}),
        Transition.CANCEL: frozenset({Status.CANCELLED}),
        # Another time or queue is a new chance. The task is parked again if it cannot run.
        Transition.RESCHEDULE: frozenset({Status.PENDING}),
        Transition.REQUEUE: frozenset({Status.WAITING, Status.PENDING}),
    },
    Status.PENDING: {
        Transition.CLAIM: frozenset({Status.PICKED}),
        Transition.PARK_DUE: frozenset({Status.WAITING}),
        Transition.CANCEL: frozenset({Status.CANCELLED}),
        Transition.RESCHEDULE: frozenset({Status.PENDING}),
        Transition.REQUEUE: frozenset({Status.PENDING}),
    },
    Status.PICKED: {
        Transition.START: frozenset({Status.STARTED}),
        # A start and an end in the same flush are written as one row update.
        Transition.COMPLETE: frozenset({Status.COMPLETE}),
        Transition.FAIL: frozenset({Status.PENDING, Status.FAILED}),
        Transition.RELEASE: frozenset({Status.PENDING}),
        Transition.RELEASE_HELD: frozenset({Status.PENDING}),
        Transition.RELEASE_PAUSED: frozenset({Status.PENDING}),
        Transition.PARK: frozenset({Status.WAITING}),
        Transition.CANCEL: frozenset({Status.CANCELLED}),
        Transition.RESCHEDULE: frozenset({Status.PENDING}),
        Transition.REQUEUE: frozenset({Status.PENDING}),
    },
    Status.STARTED: {
        # A start may be reported twice.
        Transition.START: frozenset({Status.STARTED}),
        Transition.COMPLETE: frozenset({Status.COMPLETE}),
        Transition.FAIL: frozenset({Status.PENDING, Status.FAILED}),
        Transition.RELEASE: frozenset({Status.PENDING}),
        Transition.RESCUE: frozenset({Status.PENDING, Status.FAILED}),
        Transition.CANCEL: frozenset({Status.CANCELLED}),
    },
    Status.COMPLETE: {},
    Status.FAILED: {Transition.RETRY: frozenset({Status.PENDING})},
    Status.CANCELLED: {Transition.RETRY: frozenset({Status.PENDING})},
}


def allows(status: Status, transition: Transition) -> bool:
    """Return whether `transition` is legal for a task in `status`."""
    return transition in LEGAL[status]


def sources(transition: Transition) -> frozenset[Status]:
    """Return the statuses from which `transition` is legal."""
    return frozenset(status for status, ways in LEGAL.items() if transition in ways)
