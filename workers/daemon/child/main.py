"""Start a forked child."""

from __future__ import annotations

import os
import signal
import socket
import sys
import traceback
from typing import NoReturn

from taskmaster.workers.daemon.child import (
    async_pool,
    database,
    forks,
    log_capture,
    process,
    random_state,
    threads,
)
from taskmaster.workers.daemon.child.outbox import ChildOutbox
from taskmaster.workers.daemon.child.output_capture import StandardStreams
from taskmaster.workers.daemon.child.slot_state import SlotState
from taskmaster.workers.daemon.child.task_runner import TaskRunner
from taskmaster.workers.daemon.resources import memory_file

_EXECUTORS = {"process": process.run, "thread": threads.run, "async": async_pool.run}


def run(executor: str, slots: int, worker: str, fd: int) -> NoReturn:
    """Run this process as a child for an executor. The supervisor is at the other end of `fd`."""
    try:
        # As in any Python program. A broken pipe raises an exception. Commands that a task starts
        # with `subprocess` get the default.
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        streams = StandardStreams()
        connection = socket.socket(fileno=fd)
        memory_file.send(connection)
        outbox = ChildOutbox(connection)
        capture = log_capture.capture_log(outbox)
        database.prepare_child()
        random_state.reseed()
        forks.guard(connection)
        forks.on_fork(database.forget_inherited)
        _EXECUTORS[executor](
            connection, outbox, TaskRunner(worker), SlotState(streams, capture), slots
        )
    except process.Stopped:
        os._exit(128 + signal.SIGTERM)
    except BaseException:
        # Only errors of the child's own code arrive here. Errors of tasks are reported.
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(1)
