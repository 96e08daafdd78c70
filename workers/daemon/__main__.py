"""Run a worker with `python -m taskmaster.workers.daemon`.

`manage.py runworker` replaces its own process with this module.
"""

from __future__ import annotations

import sys

from django.conf import settings as django_settings
from django.utils.log import configure_logging

from taskmaster.workers import python_process
from taskmaster.workers.daemon.fork_server.client import start_fork_server
from taskmaster.workers.daemon.main import run
from taskmaster.workers.security import private_process


def main() -> int:
    """Configure logging, run the worker and return its exit code."""
    python_process.end_on_sigterm()
    private_process.enter()
    own = private_process.take_own()
    configure_logging(django_settings.LOGGING_CONFIG, django_settings.LOGGING)
    return run(sys.argv[1:], start_fork_server, lambda: own)


if __name__ == "__main__":
    sys.exit(main())
