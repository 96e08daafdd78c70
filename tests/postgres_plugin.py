"""Start a PostgreSQL for this run of the suite, unless DATABASE_URL names one.

Loaded before pytest-django reads the settings (`-p` in pyproject.toml).
"""

from __future__ import annotations

import atexit
import hashlib
import os
import sys
from pathlib import Path

from taskmaster.taskmaster_site.embedded_postgres.server import EmbeddedPostgres

ROOT = Path(__file__).resolve().parent.parent
_PREFIX = "test-postgres-"


def _alive(pid: str) -> bool:
    return pid.isdigit() and Path(f"/proc/{pid}").exists()


def _remove_leftovers() -> None:
    """Remove the data of killed runs."""
    for home in (ROOT / ".data").glob(f"{_PREFIX}*"):
        pid = home.name.removeprefix(_PREFIX).partition(".")[0]
        if _alive(pid):
            continue
        if home.is_dir():
            EmbeddedPostgres(home).remove()
        else:
            home.unlink(missing_ok=True)


def _start() -> None:
    _remove_leftovers()
    cluster = EmbeddedPostgres(ROOT / ".data" / f"{_PREFIX}{os.getpid()}")
    atexit.register(_remove, cluster, os.getpid())
    # Tests kill processes, never the machine, so nothing has to be flushed to disk.
    os.environ["DATABASE_URL"] = cluster.start(["fsync=off", "max_connections=200"])


def _remove(cluster: EmbeddedPostgres, owner: int) -> None:
    if os.getpid() == owner:
        cluster.remove()
        for left in (ROOT / ".data").glob(f"{_PREFIX}{owner}.*"):
            left.unlink(missing_ok=True)


# The suite's own processes use gRPC, and starting a program as another user forks them. The fork
# handlers of gRPC can crash the child before it executes the program. Read when gRPC is imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
if not os.environ.get("DATABASE_URL"):
    _start()
# The tests start hundreds of processes. Each takes up to 0.4 s longer if it must compile all
# modules, as the environment of containers often demands.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# The tests submit shell commands and the example tasks, which are off outside the demo, and start
# pools with these variables.
os.environ.update(
    TASKMASTER_SHELL_TASKS="on",
    TASKMASTER_TASK_MODULES="examples.tasks",
    TASKMASTER_POOL_ENVIRONMENT="API_TOKEN,TASKMASTER_TASK_MODULES,TZ",
)
# Two checkouts can test on one server.
os.environ["TASKMASTER_TEST_DATABASE"] = (
    "test_taskmaster_" + hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]
)
