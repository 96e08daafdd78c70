"""Define the tables of workers, pools and join tokens."""

from taskmaster.workers.models.join_token import JoinToken
from taskmaster.workers.models.pool import PoolMember, WorkerPool
from taskmaster.workers.models.worker import Worker, WorkerEnd, WorkerStatus

__all__ = ["JoinToken", "PoolMember", "Worker", "WorkerEnd", "WorkerPool", "WorkerStatus"]
