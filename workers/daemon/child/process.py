"""Run one task at a time in the main thread: the child of a `process` slot.

SIGTERM is the soft signal. It raises `Stopped` in the task, so that its `finally` blocks run. The
child then exits, even if the task caught the exception.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from typing import NoReturn

from taskmaster.workers.daemon import messages
from taskmaster.workers.daemon.child import attempt, database, leftovers
from taskmaster.workers.daemon.child.outbox import ChildOutbox
from taskmaster.workers.daemon.child.output_capture import (
    CapturedAttempt,
    SingleAttempt,
    flush_streams,
)
from taskmaster.workers.daemon.child.slot_state import SlotState
from taskmaster.workers.daemon.child.task_runner import TaskRunner
from taskmaster.workers.daemon.messages import RunTask

_READ = 65_536


class Stopped(BaseException):
    """Raised in a task that the supervisor stops: time-out, cancellation or stale lease."""


class _SoftStop:
    """Record whether SIGTERM has raised `Stopped` in the task."""

    raised = False


def _stop(*_: object) -> None:
    """Handle SIGTERM: raise `Stopped` in a running task once, else exit."""
    if _SoftStop.raised or SingleAttempt.attempt is None:
        os._exit(128 + signal.SIGTERM)
    _SoftStop.raised = True
    raise Stopped("stopped by the worker")


def run(
    connection: socket.socket,
    outbox: ChildOutbox,
    task_runner: TaskRunner,
    state: SlotState,
    _slots: int,
) -> NoReturn:
    """Run the tasks that the supervisor sends, until it closes the connection."""
    signal.signal(signal.SIGTERM, _stop)
    state.remember()
    decoder = messages.child_requests()
    readable = select.poll()
    readable.register(connection, select.POLLIN)
    while True:
        if attempt.has_connections() and not readable.poll(database.IDLE_S * 1_000):
            attempt.close_connections()
        data = connection.recv(_READ)
        if not data:
            os._exit(0)
        for request in decoder.feed(data):
            if isinstance(request, RunTask):
                _run_one(request, outbox, task_runner, state)


def _run_one(
    request: RunTask, outbox: ChildOutbox, task_runner: TaskRunner, state: SlotState
) -> None:
    if threading.active_count() > 1:
        # A thread that an earlier task left behind may have changed the state since.
        state.restore()
    SingleAttempt.attempt = CapturedAttempt(request.id)
    report = attempt.run(request, task_runner, state)
    SingleAttempt.attempt = None
    flush_streams()
    if _SoftStop.raised:
        os._exit(128 + signal.SIGTERM)
    state.restore()
    outbox.send(report._replace(has_leftovers=leftovers.exist()))
