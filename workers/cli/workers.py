"""Provide the `manage.py taskmaster` actions for workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from taskmaster.tasks.cli.arguments import Action
from taskmaster.tasks.cli.terminal import TerminalPrinter
from taskmaster.workers import operations
from taskmaster.workers.models import Worker

_DRAIN_EXAMPLES = """\
examples:
  manage.py taskmaster drain worker-1
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


def add_actions(action: Action) -> None:
    """Add the actions drain, undrain, stop and kill."""
    for parser in (
        action("drain", "let a worker finish its tasks and go offline", _DRAIN_EXAMPLES),
        action("undrain", "let a draining worker accept tasks again", _UNDRAIN_EXAMPLES),
        action("stop", "stop a worker as SIGTERM does", _STOP_EXAMPLES),
        action("kill", "kill a worker as kill -9 does; its tasks are rescued", _KILL_EXAMPLES),
    ):
        parser.add_argument("worker", metavar="WORKER", help="name or id of the worker")


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
