"""Provide the `manage.py taskmaster` actions for workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from taskmaster.tasks.cli import arguments
from taskmaster.tasks.cli.arguments import Action
from taskmaster.tasks.cli.terminal import TerminalPrinter, ago
from taskmaster.tasks.errors import InvalidField
from taskmaster.workers import operations
from taskmaster.workers.models import Worker, WorkerStatus
from taskmaster.workers.models.worker import PRESENT_FIRST

_WORKERS_EXAMPLES = """\
examples:
  manage.py taskmaster workers
  manage.py taskmaster workers --status online,draining --pool default
  manage.py taskmaster workers --json | jq '.[] | select(.ended == "lost")'
"""
_DRAIN_EXAMPLES = """\
examples:
  manage.py taskmaster drain worker-1
  manage.py taskmaster drain 6f1c9c7e
  manage.py taskmaster drain 6f1c9c7e-0d3b-4a58-9f0e-3b1f6a1f2c55 --json
"""
_UNDRAIN_EXAMPLES = """\
examples:
  manage.py taskmaster undrain worker-1
"""
_STOP_EXAMPLES = """\
examples:
  manage.py taskmaster stop worker-1
"""
_KILL_EXAMPLES = """\
examples:
  manage.py taskmaster kill worker-1
"""


_HEAD = (
    "ID",
    "STATUS",
    "NAME",
    "POOL",
    "EXECUTOR",
    "BUSY",
    "DONE",
    "FAILED",
    "SEEN",
    "REMARK",
)


def add_actions(action: Action) -> None:
    """Add the actions workers, drain, undrain, stop and kill."""
    listing = action("workers", "list workers: online, draining, then offline", _WORKERS_EXAMPLES)
    listing.add_argument(
        "--status", metavar="STATUS[,…]", help=f"only workers that are {', '.join(WorkerStatus)}"
    )
    listing.add_argument("--pool", metavar="NAME", help="only workers of this worker pool")
    listing.add_argument(
        "--limit", metavar="N", default="20", help="number of workers (default: %(default)s)"
    )
    for parser in (
        action("drain", "let a worker finish its tasks and go offline", _DRAIN_EXAMPLES),
        action("undrain", "let a draining worker accept tasks again", _UNDRAIN_EXAMPLES),
        action("stop", "stop a worker as SIGTERM does", _STOP_EXAMPLES),
        action("kill", "kill a worker as kill -9 does; its tasks are rescued", _KILL_EXAMPLES),
    ):
        parser.add_argument("worker", metavar="WORKER", help="name, id or short id of the worker")


def workers(options: Mapping[str, Any], out: TerminalPrinter) -> None:
    """List workers: online, draining, then offline ones, each the newest first.

    Raises InvalidField.
    """
    limit = arguments.limit(options["limit"])
    found = Worker.objects.order_by(*PRESENT_FIRST)
    if options["status"] is not None:
        found = found.filter(status__in=_statuses(options["status"]))
    if options["pool"] is not None:
        found = found.filter(pool=options["pool"])
    found = found[:limit]
    if options["json"]:
        from taskmaster.workers.api.serializers import WorkerSerializer

        out.json(WorkerSerializer(found, many=True).data)
    elif rows := [_cells(worker) for worker in found]:
        out.columns(_HEAD, rows)
    else:
        filtered = options["status"] is not None or options["pool"] is not None
        out.line("No workers match." if filtered else "No workers.")


def _statuses(text: str) -> list[str]:
    statuses = text.split(",")
    for status in statuses:
        if status not in WorkerStatus:
            known = ", ".join(WorkerStatus)
            raise InvalidField("--status", f"is {status!r}; it must be one of {known}.")
    return statuses


def _cells(worker: Worker) -> tuple[str, ...]:
    return (
        worker.short_id,
        worker.status,
        worker.name,
        worker.pool or "–",
        worker.executor,
        f"{worker.busy}/{worker.slots}",
        str(worker.tasks_done),
        str(worker.tasks_failed),
        ago(worker.last_seen_at),
        worker.remark,
    )


def drain(options: Mapping[str, Any], out: TerminalPrinter) -> None:
    """Drain a worker.

    Raises WorkerNotFound, IllegalTransition, or InvalidField for an ambiguous name.
    """
    _change(
        operations.drain,
        "is draining: it accepts no new tasks and goes offline when idle",
        options,
        out,
    )


def undrain(options: Mapping[str, Any], out: TerminalPrinter) -> None:
    """Undrain a worker. Raises the errors of `drain`."""
    _change(operations.undrain, "accepts tasks again", options, out)


def stop(options: Mapping[str, Any], out: TerminalPrinter) -> None:
    """Stop a worker. Raises the errors of `drain`."""
    _change(
        operations.stop,
        "stops when its running tasks have ended or its grace period is over",
        options,
        out,
    )


def kill(options: Mapping[str, Any], out: TerminalPrinter) -> None:
    """Kill a worker. Raises the errors of `drain`."""
    _change(operations.kill, "is killed; its tasks are rescued", options, out)


def _change(
    change: Callable[[UUID], None], done: str, options: Mapping[str, Any], out: TerminalPrinter
) -> None:
    worker_id = operations.find(options["worker"])
    change(worker_id)
    worker = Worker.objects.get(pk=worker_id)
    if options["json"]:
        from taskmaster.workers.api.serializers import WorkerSerializer

        out.json(WorkerSerializer(worker).data)
    else:
        out.line(f"Worker {worker.name} {done}.")
