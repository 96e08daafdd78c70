"""The tables of who executes."""

from workers.models.worker import Worker, WorkerStatus

__all__ = ["Worker", "WorkerStatus"]
