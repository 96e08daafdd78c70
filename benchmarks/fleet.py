"""A database, a coordinator and workers for the benchmarks alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from taskmaster_site.postgres import Cluster, free_port

ROOT = Path(__file__).resolve().parent.parent
#: Durable, with memory for its pages.
_OPTIONS = ("shared_buffers=1GB", "max_wal_size=4GB")


@contextmanager
def database() -> Iterator[None]:
    """A new PostgreSQL, migrated; gone afterwards."""
    cluster = Cluster(ROOT / ".data" / "bench-postgres")
    cluster.remove()
    os.environ["DATABASE_URL"] = cluster.start(_OPTIONS)
    os.environ["TASKMASTER_TASK_MODULES"] = "benchmarks.tasks"
    os.environ["TASKMASTER_LOG_LEVEL"] = "WARNING"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "taskmaster_site.settings")
    try:
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        yield
    finally:
        from django.db import connections

        for connection in connections.all(initialized_only=True):
            connection.close()
            connection.close_pool()  # type: ignore[attr-defined]
        cluster.remove()


class Pids(NamedTuple):
    """What runs; of a worker it is the supervisor's."""

    coordinator: int
    workers: list[int]


@contextmanager
def running(
    workers: int = 2, *, pool: str = "threads", concurrency: int = 8, log: Path | None = None
) -> Iterator[Pids]:
    """One coordinator and so many workers, all online. `log`: what the coordinator says."""
    port = free_port()
    processes = [_manage("runcoordinator", "--port", str(port), log=log)]
    try:
        wait_until(lambda: _serves(port), "the coordinator")
        processes += [
            _manage(
                "runworker",
                f"--name=bench-{number}",
                f"--coordinator=127.0.0.1:{port}",
                f"--pool={pool}",
                f"--concurrency={concurrency}",
            )
            for number in range(1, workers + 1)
        ]
        wait_until(lambda: _online_workers() >= workers, "the workers")
        yield Pids(processes[0].pid, [process.pid for process in processes[1:]])
    finally:
        # The workers first: their leave is the coordinator's to write.
        for stage in (processes[1:], processes[:1]):
            for process in stage:
                process.send_signal(signal.SIGTERM)
            for process in stage:
                process.wait(timeout=40)


@contextmanager
def web() -> Iterator[tuple[str, int]]:
    """A web process that answers: its address and pid."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    endpoint = f"tcp:port={port}:interface=127.0.0.1:backlog=2048"
    daphne = ["-m", "daphne", "-v", "0", "-e", endpoint, "taskmaster_site.asgi:application"]
    process = subprocess.Popen([sys.executable, *daphne], cwd=ROOT, start_new_session=True)
    try:
        wait_until(lambda: _answers(f"{address}/healthz"), "the web process")
        yield address, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=40)


def _answers(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(url, timeout=5):
        return True
    return False


def wait_until(
    holds: Callable[[], bool], what: str, deadline_s: float = 60.0, *, every_s: float = 0.25
) -> None:
    """Waits for a condition. Raises TimeoutError that says what was waited for."""
    end = time.monotonic() + deadline_s
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {deadline_s:.0f} s")
        time.sleep(every_s)


def _manage(*arguments: str, log: Path | None = None) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    if log is None:
        return subprocess.Popen(command, start_new_session=True)
    with log.open("wb") as said:
        environment = {**os.environ, "TASKMASTER_LOG_LEVEL": "INFO"}
        return subprocess.Popen(command, start_new_session=True, env=environment, stderr=said)


def _serves(port: int) -> bool:
    from coordinator.models import Coordinator

    return Coordinator.objects.filter(online=True, address=f"127.0.0.1:{port}").exists()


def _online_workers() -> int:
    from workers.models import Worker

    return Worker.objects.filter(status="online").count()
