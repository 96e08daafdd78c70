"""The child of the `threads` pool: as many threads as slots, one task each.

A thread cannot be stopped from outside. When a task must be (time-out, cancellation), it is
reported at once and the whole child retires: it gets nothing new, a fresh child takes over the
slots, and this one is killed when its other tasks have ended. See `workers.daemon.slots.shared`.
"""

from __future__ import annotations

import os
import queue
import socket
import threading
from typing import NoReturn

from workers.daemon import database, wire
from workers.daemon.child import capture
from workers.daemon.child.execution import Call, Executor
from workers.daemon.child.outbox import Outbox

_READ = 262_144


def run(connection: socket.socket, outbox: Outbox, executor: Executor, slots: int) -> NoReturn:
    """Runs what the supervisor sends until it closes the connection."""
    capture.capture_streams(outbox)
    outbox.start()
    calls: queue.SimpleQueue[Call] = queue.SimpleQueue()
    for number in range(slots):
        threading.Thread(
            target=_work, args=(calls, outbox, executor), name=f"slot-{number}", daemon=True
        ).start()
    decoder = wire.Decoder()
    while data := connection.recv(_READ):
        for messages in decoder.feed(data):
            for message in messages:
                calls.put(Call(*message))
    os._exit(0)


def _work(calls: queue.SimpleQueue[Call], outbox: Outbox, executor: Executor) -> NoReturn:
    while True:
        outbox.post(run_in_thread(calls.get(), executor))


def run_in_thread(call: Call, executor: Executor) -> list[object]:
    """Executes a task in this thread; its output goes to its attempt."""
    database.tidy()
    mine = capture.Current(call.id)
    token = capture.current.set(mine)
    try:
        message = executor.run(call)
        if mine.lines:
            capture.flush_streams()
        return message
    finally:
        capture.current.reset(token)
        database.tidy()
