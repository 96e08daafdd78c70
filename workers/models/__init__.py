"""The tables of who executes."""

from workers.models.pool import PoolMember, WorkerPool
from workers.models.worker import Worker, WorkerStatus

__all__ = ["PoolMember", "Worker", "WorkerPool", "WorkerStatus"]
