"""The tables of the domain, one noun a file."""

from tasks.models.output import TaskOutput
from tasks.models.sleeper import Sleeper
from tasks.models.task import Task

__all__ = ["Sleeper", "Task", "TaskOutput"]
