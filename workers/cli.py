"""What `manage.py taskmaster` does with workers: drain, undrain, stop and kill."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from tasks.cli.arguments import Action
from tasks.cli.terminal import Printer
from workers import operations
from workers.api.serializers import WorkerSerializer
from workers.models import Worker

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
    """Declares drain, undrain, stop and kill."""
    for parser in (
        action("drain", "let a worker finish what it runs and go offline", _DRAIN_EXAMPLES),
        action("undrain", "let a draining worker take tasks again", _UNDRAIN_EXAMPLES),
        action("stop", "stop a worker as SIGTERM does", _STOP_EXAMPLES),
        action("kill", "kill a worker as kill -9 does; its tasks are rescued", _KILL_EXAMPLES),
    ):
        parser.add_argument("worker", metavar="WORKER", help="its name or its id")


def drain(options: Mapping[str, Any], out: Printer) -> None:
    """Raises WorkerNotFound, IllegalTransition, or InvalidField for a name that several have."""
    _change(operations.drain, "drains: nothing new, and offline when it is empty", options, out)


def undrain(options: Mapping[str, Any], out: Printer) -> None:
    """Raises as `drain` does."""
    _change(operations.undrain, "takes tasks again", options, out)


def stop(options: Mapping[str, Any], out: Printer) -> None:
    """Raises as `drain` does."""
    _change(operations.stop, "stops when what it runs has ended or its grace is over", options, out)


def kill(options: Mapping[str, Any], out: Printer) -> None:
    """Raises as `drain` does."""
    _change(operations.kill, "is killed; its tasks are rescued", options, out)


def _change(
    change: Callable[[UUID], None], done: str, options: Mapping[str, Any], out: Printer
) -> None:
    worker_id = operations.find(options["worker"])
    change(worker_id)
    worker = Worker.objects.get(pk=worker_id)
    if options["json"]:
        out.json(WorkerSerializer(worker).data)
    else:
        out.line(f"Worker {worker.name} {done}.")
