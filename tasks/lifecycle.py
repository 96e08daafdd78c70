"""The life of a task on one page: its statuses and every legal change between them.

    waiting ─► pending ─claim─► picked ─start─► started ─► complete | failed
                 ▲  └─► cancelled ◄──┴─────────────┤
                 └───── release · decline · retry ◄┘

Each transition is one statement in `tasks/sql/`, whose WHERE clause carries its guard: asked for
in the wrong status it changes no row. `start` has a second one, adopt.sql, for what a worker
announces when it comes back. `tasks.store` runs them; nothing else writes `status`.
"""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """Where a task stands. The names are the values of the text column."""

    WAITING = "waiting"
    PENDING = "pending"
    PICKED = "picked"
    STARTED = "started"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        """Nothing but a retry by hand changes it any more."""
        return self in FINISHED


class Transition(StrEnum):
    """What moves a task. Each name but `insert` is a statement in `tasks/sql/`."""

    CLAIM = "claim"
    RELEASE = "release"
    RELEASE_HELD = "release_held"
    START = "start"
    COMPLETE = "complete"
    FAIL = "fail"
    RESCUE = "rescue"
    CANCEL = "cancel"
    RETRY = "retry"
    MOVE = "move"
    REQUEUE = "requeue"


FINISHED = frozenset({Status.COMPLETE, Status.FAILED, Status.CANCELLED})
#: A coordinator or a worker holds the task under its lease.
IN_FLIGHT = frozenset({Status.PICKED, Status.STARTED})

#: {from: {transition: where it may lead}}. `fail` and `rescue` lead back to pending while
#: attempts are left.
LEGAL: dict[Status, dict[Transition, frozenset[Status]]] = {
    Status.WAITING: {
        Transition.CANCEL: frozenset({Status.CANCELLED}),
        Transition.REQUEUE: frozenset({Status.WAITING}),
    },
    Status.PENDING: {
        Transition.CLAIM: frozenset({Status.PICKED}),
        Transition.CANCEL: frozenset({Status.CANCELLED}),
        Transition.MOVE: frozenset({Status.PENDING}),
        Transition.REQUEUE: frozenset({Status.PENDING}),
    },
    Status.PICKED: {
        Transition.START: frozenset({Status.STARTED}),
        # A start and an end that meet in one flush are one write.
        Transition.COMPLETE: frozenset({Status.COMPLETE}),
        Transition.FAIL: frozenset({Status.PENDING, Status.FAILED}),
        Transition.RELEASE: frozenset({Status.PENDING}),
        Transition.RELEASE_HELD: frozenset({Status.PENDING}),
        Transition.CANCEL: frozenset({Status.CANCELLED}),
        Transition.MOVE: frozenset({Status.PENDING}),
        Transition.REQUEUE: frozenset({Status.PENDING}),
    },
    Status.STARTED: {
        # The report of a start, received twice.
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
    """Whether a task in this status may go through this transition."""
    return transition in LEGAL[status]


def sources(transition: Transition) -> frozenset[Status]:
    """The statuses from which a transition is legal."""
    return frozenset(status for status, ways in LEGAL.items() if transition in ways)
