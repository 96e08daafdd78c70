"""Run one task per thread: the child of the executor `thread`.

It has one thread per slot. A thread cannot be stopped from outside. A task that must be stopped
(time-out, cancellation) is reported immediately, and the whole child retires. It gets no new tasks,
a fresh child takes over the slots, and this child is killed when its other tasks have ended. See
`taskmaster.workers.daemon.slots.shared_child`.
"""

from __future__ import annotations

import os
import queue
import socket
import threading
from typing import NoReturn

from taskmaster.workers.daemon import messages
from taskmaster.workers.daemon.child import attempt, database
from taskmaster.workers.daemon.child.outbox import ChildOutbox
from taskmaster.workers.daemon.child.output_capture import CapturedAttempt
from taskmaster.workers.daemon.child.shared_state import SharedState
from taskmaster.workers.daemon.child.slot_state import SlotState
from taskmaster.workers.daemon.child.task_runner import TaskRunner
from taskmaster.workers.daemon.messages import RunTask

_READ = 262_144


def run(
    connection: socket.socket,
    outbox: ChildOutbox,
    task_runner: TaskRunner,
    state: SlotState,
    slots: int,
) -> NoReturn:
    """Run the tasks that the supervisor sends, until it closes the connection."""
    state.streams.share(outbox)
    outbox.start()
    shared = SharedState(state, outbox)
    requests: queue.SimpleQueue[RunTask] = queue.SimpleQueue()
    arguments = (requests, outbox, task_runner, state, shared)
    for number in range(slots):
        threading.Thread(target=_work, args=arguments, name=f"slot-{number}", daemon=True).start()
    state.remember()
    decoder = messages.child_requests()
    while data := connection.recv(_READ):
        for request in decoder.feed(data):
            if isinstance(request, RunTask):
                shared.begin()
                requests.put(request)
    os._exit(0)


def _work(
    requests: queue.SimpleQueue[RunTask],
    outbox: ChildOutbox,
    task_runner: TaskRunner,
    state: SlotState,
    shared: SharedState,
) -> NoReturn:
    while True:
        try:
            request = requests.get(timeout=database.IDLE_S if attempt.has_connections() else None)
        except queue.Empty:
            attempt.close_connections()
            continue
        report = attempt.run(request, task_runner, state, CapturedAttempt(request.id))
        shared.end()
        outbox.post(report)
