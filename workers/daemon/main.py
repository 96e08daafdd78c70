"""Provide the main function of a worker.

It is the same for a process that was executed and for one that was forked.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from taskmaster.tasks.conf import settings
from taskmaster.tasks.errors import TaskMasterError
from taskmaster.tasks.logs import ensure_handler
from taskmaster.workers.daemon import options
from taskmaster.workers.daemon.fork_server import process_tree
from taskmaster.workers.daemon.fork_server.client import ForkServerProcess

#: Starts the fork server. Returns its process and the supervisor's end of the connection to it.
StartForkServer = Callable[[], tuple[ForkServerProcess, socket.socket]]


def run(
    argv: Sequence[str],
    start_fork_server: StartForkServer,
    read_secrets: Callable[[], Mapping[str, str]],
) -> int:
    """Run a worker with these options and return its exit code.

    The fork server is started before gRPC is imported, see
    `taskmaster.workers.daemon.fork_server.server`, and before the secrets are read, because it may
    be a fork of this process. `read_secrets` returns variables that the environment does not have.
    """
    ensure_handler()
    log = logging.getLogger("taskmaster.workers.daemon")
    try:
        conf = settings()
        # If the fork server dies, this process adopts and ends what it leaves.
        process_tree.adopt_orphans()
        fork_server, control = start_fork_server()
        worker_options = options.parse(argv, {**os.environ, **read_secrets()}, conf)

        from taskmaster.workers.daemon.supervisor import Supervisor

        async def work() -> int:
            code = await Supervisor(worker_options, conf, fork_server, control).run()
            _ignore_signals()
            return code

        return _run_loop(work())
    except TaskMasterError as error:
        log.error("worker failed", extra={"error": str(error)})
        log.debug("worker failed", exc_info=True)
        return 1


def _ignore_signals() -> None:
    """Let a signal that arrives while the interpreter exits leave the exit code as it is."""
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)


def _run_loop(work: Coroutine[Any, Any, int]) -> int:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)
