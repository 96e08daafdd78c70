"""The tables of the domain, one noun a file."""

from tasks.models.event import Event
from tasks.models.idempotency import IdempotencyKey
from tasks.models.operation import Operation
from tasks.models.output import TaskOutput
from tasks.models.queue_state import QueueState
from tasks.models.sleeper import Sleeper
from tasks.models.statistic import Census, Depth, Statistic
from tasks.models.task import Task
from tasks.models.watch import Watch

__all__ = [
    "Census",
    "Depth",
    "Event",
    "IdempotencyKey",
    "Operation",
    "QueueState",
    "Sleeper",
    "Statistic",
    "Task",
    "TaskOutput",
    "Watch",
]
