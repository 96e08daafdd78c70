"""Gives this run of the suite a PostgreSQL of its own, unless DATABASE_URL names one.

Loaded before pytest-django reads the settings (`-p` in pyproject.toml).
"""

from __future__ import annotations

import atexit
import hashlib
import os
from pathlib import Path

from taskmaster_site.postgres import Cluster

ROOT = Path(__file__).resolve().parent.parent
_PREFIX = "test-postgres-"


def _alive(pid: str) -> bool:
    return pid.isdigit() and Path(f"/proc/{pid}").exists()


def _remove_leftovers() -> None:
    """A run that was killed could not clean up after itself."""
    for home in (ROOT / ".data").glob(f"{_PREFIX}*"):
        pid = home.name.removeprefix(_PREFIX).partition(".")[0]
        if _alive(pid):
            continue
        if home.is_dir():
            Cluster(home).remove()
        else:
            home.unlink(missing_ok=True)


def _start() -> None:
    _remove_leftovers()
    cluster = Cluster(ROOT / ".data" / f"{_PREFIX}{os.getpid()}")
    atexit.register(_remove, cluster, os.getpid())
    # What a test kills is a process, never the machine: nothing needs to reach the disk.
    os.environ["DATABASE_URL"] = cluster.start(["fsync=off", "max_connections=200"])


def _remove(cluster: Cluster, owner: int) -> None:
    if os.getpid() == owner:
        cluster.remove()
        for left in (ROOT / ".data").glob(f"{_PREFIX}{owner}.*"):
            left.unlink(missing_ok=True)


if not os.environ.get("DATABASE_URL"):
    _start()
# Two checkouts may test on one server.
os.environ["TASKMASTER_TEST_DATABASE"] = (
    "test_taskmaster_" + hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]
)
