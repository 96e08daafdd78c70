"""Start a database, a coordinator and workers for the benchmarks."""

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

from taskmaster.taskmaster_site.demo.process_group import web_command
from taskmaster.taskmaster_site.embedded_postgres.server import EmbeddedPostgres, free_port

ROOT = Path(__file__).resolve().parent.parent
#: Durable, with memory for its pages.
_OPTIONS = ("shared_buffers=1GB", "max_wal_size=4GB")


@contextmanager
def database() -> Iterator[None]:
    """Start a new, migrated PostgreSQL; remove it afterwards."""
    cluster = EmbeddedPostgres(ROOT / ".data" / "bench-postgres")
    cluster.remove()
    os.environ["DATABASE_URL"] = cluster.start(_OPTIONS)
    os.environ["TASKMASTER_TASK_MODULES"] = "benchmarks.tasks"
    os.environ["TASKMASTER_SHELL_TASKS"] = "on"
    os.environ["TASKMASTER_LOG_LEVEL"] = "WARNING"
    # The history of a benchmark is weeks old.
    os.environ.setdefault(
        "TASKMASTER_RETENTION", '{"default": {"complete": null, "failed": null, "cancelled": null}}'
    )
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "taskmaster.taskmaster_site.settings")
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
    """Hold the pids of the running processes. The pid of a worker is that of its supervisor."""

    coordinator: int
    workers: list[int]


@contextmanager
def running(
    workers: int = 2, *, executor: str = "thread", concurrency: int = 8, log: Path | None = None
) -> Iterator[Pids]:
    """Run one coordinator and the given workers, all online. `log` receives the coordinator's
    output.
    """
    port = free_port()
    processes = [_manage("runcoordinator", "--port", str(port), log=log)]
    try:
        wait_until(lambda: _serves(port), "the coordinator")
        processes += [
            _manage(
                "runworker",
                f"--name=bench-{number}",
                f"--coordinator=127.0.0.1:{port}",
                f"--executor={executor}",
                f"--concurrency={concurrency}",
            )
            for number in range(1, workers + 1)
        ]
        wait_until(lambda: _online_workers() >= workers, "the workers")
        yield Pids(processes[0].pid, [process.pid for process in processes[1:]])
    finally:
        # Workers first, so that the coordinator records their leaving.
        for stage in (processes[1:], processes[:1]):
            for process in stage:
                process.send_signal(signal.SIGTERM)
            for process in stage:
                process.wait(timeout=40)


@contextmanager
def web() -> Iterator[tuple[str, int]]:
    """Run a web process; yield its address and pid when it answers."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(web_command(port), cwd=ROOT, start_new_session=True)
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
    condition: Callable[[], bool], what: str, deadline_s: float = 60.0, *, every_s: float = 0.25
) -> None:
    """Wait for a condition. Raise TimeoutError with `what` after the deadline."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"timed out after {deadline_s:.0f} s waiting for {what}")
        time.sleep(every_s)


def _manage(*arguments: str, log: Path | None = None) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    if log is None:
        return subprocess.Popen(command, start_new_session=True)
    with log.open("wb") as output:
        environment = {**os.environ, "TASKMASTER_LOG_LEVEL": "INFO"}
        return subprocess.Popen(command, start_new_session=True, env=environment, stderr=output)


def _serves(port: int) -> bool:
    from taskmaster.coordinator.models import Coordinator

    return Coordinator.objects.filter(online=True, address=f"127.0.0.1:{port}").exists()


def _online_workers() -> int:
    from taskmaster.workers.models import Worker

    return Worker.objects.filter(status="online").count()
