"""The admin of tasks, one file a model."""

from tasks.admin.task import TaskAdmin

__all__ = ["TaskAdmin"]
