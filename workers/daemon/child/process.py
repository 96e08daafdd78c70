"""The child of a `process` slot: one task at a time, in the main thread.

SIGTERM is the soft signal: it raises `Stopped` in the task, so that its `finally` blocks run;
then the child ends, whatever the task made of it.
"""

from __future__ import annotations

import os
import signal
import socket
from typing import NoReturn

from workers.daemon import database, wire
from workers.daemon.child import capture
from workers.daemon.child.execution import Call, Executor
from workers.daemon.child.outbox import Outbox

_READ = 65_536


class Stopped(BaseException):
    """The supervisor stops this task: a time-out, a cancellation, or its lease is another's."""


class _Switch:
    """Whether SIGTERM has come."""

    thrown = False


def _stop(*_: object) -> None:
    if _Switch.thrown or capture.Alone.attempt is None:
        os._exit(128 + signal.SIGTERM)
    _Switch.thrown = True
    raise Stopped("stopped by the worker")


def run(connection: socket.socket, outbox: Outbox, executor: Executor, _slots: int) -> NoReturn:
    """Runs what the supervisor sends until it closes the connection."""
    signal.signal(signal.SIGTERM, _stop)
    decoder = wire.Decoder()
    while data := connection.recv(_READ):
        for messages in decoder.feed(data):
            for message in messages:
                _run_one(Call(*message), outbox, executor)
    os._exit(0)


def _run_one(call: Call, outbox: Outbox, executor: Executor) -> None:
    database.tidy()
    capture.Alone.attempt = capture.Current(call.id)
    message = executor.run(call)
    capture.Alone.attempt = None
    capture.flush_streams()
    if _Switch.thrown:
        os._exit(128 + signal.SIGTERM)
    database.tidy()
    outbox.send(message)
