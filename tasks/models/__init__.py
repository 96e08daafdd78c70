"""Define the tables of the domain, one module for each subject."""

from taskmaster.tasks.models.coordination import (
    IdleCoordinator,
    KnownNames,
    QueueState,
    TaskSubscription,
)
from taskmaster.tasks.models.event import Event
from taskmaster.tasks.models.idempotency import IdempotencyKey
from taskmaster.tasks.models.login import LoginAttempt
from taskmaster.tasks.models.operation import Operation
from taskmaster.tasks.models.output import TaskOutput
from taskmaster.tasks.models.pause import Pause
from taskmaster.tasks.models.schedule import Schedule, SchedulerState, ScheduleRun
from taskmaster.tasks.models.statistic import DepthSnapshot, QueueDepth, Statistic
from taskmaster.tasks.models.task import Task

__all__ = [
    "DepthSnapshot",
    "Event",
    "IdempotencyKey",
    "IdleCoordinator",
    "KnownNames",
    "LoginAttempt",
    "Operation",
    "Pause",
    "QueueDepth",
    "QueueState",
    "Schedule",
    "ScheduleRun",
    "SchedulerState",
    "Statistic",
    "Task",
    "TaskOutput",
    "TaskSubscription",
]
