"""An event that is about to be published."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Kind(StrEnum):
    """What happened."""

    SUBMITTED = "submitted"
    PICKED = "picked"
    STARTED = "started"
    COMPLETE = "complete"
    FAILED = "failed"
    RETRIED = "retried"
    RESCUED = "rescued"
    RELEASED = "released"
    CANCELLED = "cancelled"
    ONLINE = "online"
    DRAINING = "draining"
    OFFLINE = "offline"
    #: Somebody did something with many tasks or with a worker.
    OPERATOR = "operator"


#: Kinds of which nobody needs the single line when many come together.
ORDINARY = frozenset(
    {Kind.SUBMITTED, Kind.PICKED, Kind.STARTED, Kind.COMPLETE, Kind.RELEASED, Kind.CANCELLED}
)


@dataclass(frozen=True, slots=True)
class NewEvent:
    """`text` says what happened, without the task's id and name, which are shown before it."""

    kind: Kind
    text: str
    task_id: int | None = None
    task: str = ""
    queue: str = ""
    worker: str = ""
    worker_id: UUID | None = None
    user: str = ""
    count: int = 1
