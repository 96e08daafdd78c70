"""Define the kinds of events and the event that is to be published."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class EventKind(StrEnum):
    """List the kinds of events."""

    SUBMITTED = "submitted"
    PICKED = "picked"
    STARTED = "started"
    COMPLETE = "complete"
    FAILED = "failed"
    RETRIED = "retried"
    RESCUED = "rescued"
    RELEASED = "released"
    PARKED = "parked"
    CANCELLED = "cancelled"
    ONLINE = "online"
    DRAINING = "draining"
    OFFLINE = "offline"
    #: A user action on many tasks, a worker, a worker pool or a join token; or autoscaling.
    OPERATOR = "operator"
    #: A recurring schedule: a change by a user, or a due time that was missed or refused. The text
    #: names the schedule.
    SCHEDULE = "schedule"


#: Kinds that may be aggregated into counts under load. The other kinds are rare, and get the single
#: lines first.
ORDINARY = frozenset(
    {
        EventKind.SUBMITTED,
        EventKind.PICKED,
        EventKind.STARTED,
        EventKind.COMPLETE,
        EventKind.RELEASED,
        EventKind.PARKED,
        EventKind.CANCELLED,
    }
)


@dataclass(frozen=True, slots=True)
class NewEvent:
    """Hold an event that is to be published.

    `text` describes the change. It omits the id and the name of the task, which are shown before
    it.
    """

    kind: EventKind
    text: str
    task_id: int | None = None
    task: str = ""
    queue: str = ""
    worker: str = ""
    worker_id: UUID | None = None
    user: str = ""
    count: int = 1
