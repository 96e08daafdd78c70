"""The tables of who executes."""

from workers.models.join_token import JoinToken
from workers.models.pool import PoolMember, WorkerPool
from workers.models.worker import Worker, WorkerStatus

__all__ = ["JoinToken", "PoolMember", "Worker", "WorkerPool", "WorkerStatus"]
