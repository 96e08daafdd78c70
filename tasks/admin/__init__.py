"""The admin of tasks, one file a model."""

from tasks.admin.event import EventAdmin
from tasks.admin.operation import OperationAdmin
from tasks.admin.task import TaskAdmin

__all__ = ["EventAdmin", "OperationAdmin", "TaskAdmin"]
