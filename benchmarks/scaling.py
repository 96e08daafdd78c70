"""Measure how fast a pool grows and shrinks under load, and what idle workers cost.

The pool is local, beside the coordinator. A client submits to a web process during the whole
measurement. Every confirmed task must be executed exactly once.
"""

from __future__ import annotations

import json
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from django.db import connection
from django.db.models import QuerySet
from rest_framework.authtoken.models import Token

from benchmarks import fleet
from benchmarks.report import Figure
from benchmarks.tasks import nap
from taskmaster.tasks.enqueue import bulk, new
from taskmaster.tasks.models import Task
from taskmaster.workers.models import PoolMember, Worker, WorkerPool
from taskmaster.workers.pools import operations, processes

_POOL = "bench"
_SLOTS = 2
_NAP_S = 0.05
#: Interval between submissions. Every tenth one is a bulk, larger than the slots of the smallest
#: pool.
_EVERY_S = 0.02
_BURST = 40
#: How long the coordinator of idle workers is observed.
_IDLE_S = 30.0


def measure() -> list[Figure]:
    """Grow 1 → 50 and 3 → 10, shrink 50 → 1 under load, and measure 50 idle workers."""
    # The browser benchmark ends with a backlog, and every task counts here.
    Task.objects.all().delete()
    operations.create({"name": _POOL, "executor": "thread", "concurrency": _SLOTS, "desired": 1})
    with fleet.running(0) as pids, _ended():
        fleet.wait_until(lambda: _is_scaled(1), "the first worker")
        with fleet.web() as (address, _):
            figures = _load(address)
        figures += _idle(psutil.Process(pids.coordinator))
    return figures


@contextmanager
def _ended() -> Iterator[None]:
    """Stop the workers afterwards, because they would outlive a failed measurement."""
    try:
        yield
    finally:
        operations.scale(_POOL, 0)
        try:
            fleet.wait_until(lambda: not _members(), "the end of the workers", 15)
        except TimeoutError:
            for pid, born in _members():
                processes.send_signal(pid, born, signal.SIGKILL)


def _members() -> list[tuple[int, int]]:
    """Return the pids of the running members, and their start times."""
    pairs = PoolMember.objects.filter(pool=_POOL).values_list("pid", "born")
    return [(pid, born) for pid, born in pairs if pid and born]


def _load(address: str) -> list[Figure]:
    with Client(address) as client:
        figures = [_grow(client, 3, 10, 5.0), _grow(client, 1, 50, 15.0)]
        client.stored += bulk([new(nap, 1.0)] * (50 * _SLOTS))
        fleet.wait_until(_all_busy, "a task on each", every_s=0.05)
        began = time.monotonic()
        _scale(1)
        shrunk_s = time.monotonic() - began
    fleet.wait_until(_all_finished, "the last task")
    ended = Task.objects.filter(status="complete", attempt=1)
    odd = abs(Task.objects.count() - ended.count()) + abs(len(client.stored) - ended.count())
    stored, asked = f"of {len(client.stored):,}", f"of {client.requests:,} submissions"
    running = "each with tasks of 1 s"
    return [
        *figures,
        Figure("a pool shrinks from 50 to 1 worker", shrunk_s, "s", running),
        _at_most("tasks lost, repeated or tried twice", odd, 0, stored),
        _at_most("failed requests while scaling", client.failed, 0, asked),
    ]


def _grow(client: Client, first: int, last: int, most_s: float) -> Figure:
    """Measure until all workers are registered and each has started a task since."""
    _scale(first)
    before = set(Worker.objects.filter(pool=_POOL).values_list("pk", flat=True))
    began = time.monotonic()
    operations.scale(_POOL, last)
    fleet.wait_until(lambda: _is_scaled(last), f"{last} workers", every_s=0.02)
    registered_s = time.monotonic() - began
    fresh = set(_online().exclude(pk__in=before).values_list("pk", flat=True))

    # More tasks than slots.
    client.stored += bulk([new(nap, 10 * _NAP_S)] * (last * _SLOTS))

    def work() -> bool:
        busy = Task.objects.filter(worker_id__in=fresh).values_list("worker_id", flat=True)
        return fresh <= set(busy.distinct())

    fleet.wait_until(work, "a task on each", every_s=0.05)
    working_s = time.monotonic() - began
    return Figure(
        f"a pool grows from {first} to {last} workers, each with a task",
        working_s,
        "s",
        f"under load; registered after {registered_s:.1f} s",
        target=f"< {most_s:g} s",
        passed=working_s < most_s,
    )


def _idle(coordinator: psutil.Process) -> list[Figure]:
    """Measure what 50 idle workers cost the coordinator, compared with none."""
    _scale(0)
    alone, connections = _cpu_share(coordinator), _connections()
    _scale(50)
    share, more = _cpu_share(coordinator), max(0, _connections() - connections)
    conditions = f"over {_IDLE_S:g} s; without workers {alone:.1f} %"
    memory = _memory_mb()
    return [
        _at_most("coordinator's CPU with 50 idle workers", share, 5, conditions, "% of a core"),
        _at_most("database connections for 50 workers", more, 0, "beside those without workers"),
        Figure("memory of 50 idle workers", memory, "MB", "shared pages counted once (PSS)"),
    ]


def _cpu_share(process: psutil.Process) -> float:
    # Processes that have just started or exited still cause load.
    time.sleep(5)
    before, began = sum(process.cpu_times()[:2]), time.monotonic()
    time.sleep(_IDLE_S)
    return 100 * (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - began)


def _connections() -> int:
    """Count the connections of other processes."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def _memory_mb() -> float:
    total = 0
    for pid in PoolMember.objects.exclude(pid=None).values_list("pid", flat=True):
        worker = psutil.Process(pid)
        for process in (worker, *worker.children(recursive=True)):
            for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total / 1024


def _scale(count: int) -> None:
    operations.scale(_POOL, count)
    fleet.wait_until(lambda: _is_scaled(count), f"{count} workers", 120, every_s=0.05)


def _is_scaled(count: int) -> bool:
    pool = WorkerPool.objects.get(name=_POOL)
    if count < pool.actual or _online().count() != count:
        return False
    return PoolMember.objects.filter(pool=_POOL).count() == count


def _online() -> QuerySet[Worker]:
    return Worker.objects.filter(pool=_POOL, status="online")


def _all_busy() -> bool:
    busy = Task.objects.filter(status="started").values("worker_id").distinct().count()
    return busy == 50


def _all_finished() -> bool:
    return not Task.objects.exclude(status__in=("complete", "failed", "cancelled")).exists()


def _at_most(name: str, value: float, most: float, conditions: str, unit: str = "") -> Figure:
    target = f"< {most:g} {unit}".rstrip() if most else "0"
    return Figure(name, value, unit, conditions, target=target, passed=value <= most)


class Client:
    """Submit by REST in a thread until the context ends; count the failures."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._token = _token()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="client")
        self.stored: list[int] = []
        self.requests = self.failed = 0

    def __enter__(self) -> Client:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        task = {"name": "benchmarks.tasks.nap", "args": [_NAP_S], "max_attempts": 3}
        while not self._stop.wait(_EVERY_S):
            self.requests += 1
            many = self.requests % 10 == 0
            path = "/api/tasks/bulk/" if many else "/api/tasks/"
            body: object = {"tasks": [task] * _BURST} if many else task
            try:
                answer = self._post(path, body)
            except OSError:
                self.failed += 1
            else:
                self.stored += answer["ids"] if many else [answer["id"]]

    def _post(self, path: str, body: object) -> dict:  # type: ignore[type-arg]
        request = urllib.request.Request(
            self._address + path,
            json.dumps(body).encode(),
            {"Authorization": f"Token {self._token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)  # type: ignore[no-any-return]


def _token() -> str:
    from django.contrib.auth import get_user_model

    user = get_user_model().objects.create_superuser("bench-scaling")
    return str(Token.objects.create(user=user).key)
