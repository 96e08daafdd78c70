"""Register the admin of tasks, bulk operations, schedules and events."""

from taskmaster.tasks.admin.event import EventAdmin
from taskmaster.tasks.admin.operation import OperationAdmin
from taskmaster.tasks.admin.schedule import ScheduleAdmin
from taskmaster.tasks.admin.task import TaskAdmin

__all__ = ["EventAdmin", "OperationAdmin", "ScheduleAdmin", "TaskAdmin"]
