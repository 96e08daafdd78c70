"""Measure how many commands run per second, against a bare loop that starts the same command.

The reference starts `/bin/true` with `posix_spawn` and waits for it, with as many commands at a
time in as many processes: no task, no database, no output.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from statistics import median

from django.db import connection, transaction

from benchmarks import drain, fleet
from benchmarks.report import Figure
from taskmaster.tasks.enqueue import bulk, new

_COMMAND = "/bin/true"
_COMMANDS = 3_000
_WARM_UP = 200
_WORKERS = 2
#: Per worker.
_SLOTS = 4


def _loop(commands: int) -> None:
    """Run commands, with `_SLOTS` at a time."""
    running = 0
    for _ in range(commands):
        if running == _SLOTS:
            os.wait()
            running -= 1
        os.posix_spawn(_COMMAND, [_COMMAND], os.environ)
        running += 1
    for _ in range(running):
        os.wait()


def reference() -> float:
    """Return the commands per second of the bare loop."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(_WORKERS) as pool:
        pool.map(_loop, [_SLOTS] * _WORKERS)
        began = time.monotonic()
        pool.map(_loop, [_COMMANDS // _WORKERS] * _WORKERS)
        return _COMMANDS / (time.monotonic() - began)


def _submit(commands: int) -> None:
    with connection.cursor() as cursor, transaction.atomic():
        cursor.execute("TRUNCATE taskmaster_tasks_task")
        bulk([new("shell", task_kwargs={"command": [_COMMAND]})] * commands)
        cursor.execute("ANALYZE taskmaster_tasks_task")


def commands() -> float:
    """Return the commands per second of TaskMaster, from the first claim to the last completion."""
    with fleet.running(_WORKERS, executor="process", concurrency=_SLOTS):
        _submit(_WARM_UP)
        fleet.wait_until(drain.drained, "the warm-up")
        _submit(_COMMANDS)
        fleet.wait_until(drain.drained, "the commands", 120)
    return drain.rate(_COMMANDS)


def measure(rounds: int = 3) -> list[Figure]:
    """Alternate between reference and TaskMaster, so that a slower machine affects both."""
    pairs = [(reference(), commands()) for _ in range(rounds)]
    ours = median(ours for _, ours in pairs)
    return [
        Figure(
            "shell commands",
            ours,
            "tasks/s",
            f"{_COMMANDS:,} × {_COMMAND}, 1 coordinator, {_WORKERS} workers of {_SLOTS} slots, "
            f"warmed up; reference: posix_spawn in a loop, {_SLOTS} at a time in {_WORKERS} "
            f"processes; medians of {rounds}",
            reference=median(raw for raw, _ in pairs),
            target="≥ 500",
            passed=ours >= 500,
        )
    ]
