"""Define the values of policies that travel between the database, the service and coordinators."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class PauseKind(StrEnum):
    """List what can be paused. The values are those of the column `kind`."""

    #: Every task.
    EVERYTHING = "everything"
    #: The tasks of a queue.
    QUEUE = "queue"
    #: The tasks of a name.
    NAME = "name"


class ActivePause(NamedTuple):
    """Identify a pause. `target` is a queue or a task name. It is empty for everything."""

    kind: str
    target: str
