"""A worker's main function, however its process came to be."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from tasks.conf import settings
from tasks.errors import TaskMasterError
from workers.daemon import options
from workers.daemon.forkserver import LauncherProcess

StartLauncher = Callable[[], tuple[LauncherProcess, socket.socket]]


def run(argv: Sequence[str], start_launcher: StartLauncher) -> int:
    """Runs a worker with these options; its exit code.

    The launcher is started before gRPC is imported, see `workers.daemon.launcher`.
    """
    log = logging.getLogger("workers.daemon")
    try:
        conf = settings()
        chosen = options.parse(argv, os.environ, conf)
        launcher, control = start_launcher()

        from workers.daemon.supervisor import Supervisor

        async def work() -> int:
            return await Supervisor(chosen, conf, launcher, control).run()

        return _loop(work())
    except TaskMasterError as error:
        log.error("worker failed", extra={"error": str(error)})
        log.debug("worker failed", exc_info=True)
        return 1


def _loop(work: Coroutine[Any, Any, int]) -> int:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)
