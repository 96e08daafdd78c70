"""`python -m workers.daemon`: what `manage.py runworker` becomes.

The launcher is started before anything imports gRPC, see `workers.daemon.launcher`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Coroutine
from typing import Any

from django.conf import settings as django_settings
from django.utils.log import configure_logging

from tasks.conf import settings
from tasks.errors import TaskMasterError
from workers.daemon import options
from workers.daemon.forkserver import start_launcher


def main() -> int:
    """The exit code of the worker."""
    configure_logging(django_settings.LOGGING_CONFIG, django_settings.LOGGING)
    log = logging.getLogger("workers.daemon")
    try:
        conf = settings()
        chosen = options.parse(sys.argv[1:], os.environ, conf)
        launcher, control = start_launcher()

        from workers.daemon.supervisor import Supervisor

        async def run() -> int:
            return await Supervisor(chosen, conf, launcher, control).run()

        return _run(run())
    except TaskMasterError as error:
        log.error("worker failed", extra={"error": str(error)})
        log.debug("worker failed", exc_info=True)
        return 1


def _run(work: Coroutine[Any, Any, int]) -> int:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)


if __name__ == "__main__":
    sys.exit(main())
