"""Register the admin of tasks, bulk operations, pauses, schedules and events."""

from taskmaster.tasks.admin.event import EventAdmin
from taskmaster.tasks.admin.operation import OperationAdmin
from taskmaster.tasks.admin.pause import PauseAdmin
from taskmaster.tasks.admin.schedule import ScheduleAdmin
from taskmaster.tasks.admin.task import TaskAdmin

__all__ = ["EventAdmin", "OperationAdmin", "PauseAdmin", "ScheduleAdmin", "TaskAdmin"]
