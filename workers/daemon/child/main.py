"""Where a forked child begins."""

from __future__ import annotations

import os
import signal
import socket
import sys
import traceback
from typing import NoReturn

from workers.daemon.child import capture, loop, process, threads
from workers.daemon.child.execution import Executor
from workers.daemon.child.outbox import Outbox

_KINDS = {"process": process.run, "threads": threads.run, "async": loop.run}


def run(kind: str, slots: int, worker: str, fd: int) -> NoReturn:
    """Becomes a child of this kind; the supervisor is at the other end of `fd`."""
    try:
        capture.open_streams()
        connection = socket.socket(fileno=fd)
        outbox = Outbox(connection)
        capture.capture_log(outbox)
        _KINDS[kind](connection, outbox, Executor(worker), slots)
    except process.Stopped:
        os._exit(128 + signal.SIGTERM)
    except BaseException:
        # Only the child's own code gets here, never a task's error.
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(1)
