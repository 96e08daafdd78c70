"""Register workers, pools and join tokens in the admin."""

from taskmaster.workers.admin.pool import PoolAdmin
from taskmaster.workers.admin.worker import WorkerAdmin

__all__ = ["PoolAdmin", "WorkerAdmin"]
