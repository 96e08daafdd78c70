"""Workers and their pools in the admin."""

from workers.admin.pool import PoolAdmin
from workers.admin.worker import WorkerAdmin

__all__ = ["PoolAdmin", "WorkerAdmin"]
