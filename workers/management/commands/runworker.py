"""`manage.py runworker`: runs tasks that coordinators offer."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tasks.conf import settings
from tasks.errors import ConfigurationError
from workers.daemon import options as worker_options

_ROOT = Path(__file__).resolve().parents[3]


class Command(BaseCommand):
    """Parses the options and hands over to `workers.daemon`."""

    help = (
        "Run a worker: it connects to a coordinator, executes Python tasks and shell commands in "
        "child processes and reports how they ended. It needs no database of its own. SIGINT or "
        "SIGTERM lets running tasks finish (at most shutdown_grace_s, 30 s); a second signal ends "
        "it at once and hands back what runs."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The options of a worker."""
        worker_options.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Becomes the worker, in a process that has no Django application loaded.

        The same pid goes on, so signals and exit codes are the worker's.
        """
        try:
            chosen = worker_options.from_arguments(options, os.environ, settings())
        except ConfigurationError as error:
            raise CommandError(str(error)) from None
        path = os.environ.get("PYTHONPATH")
        environ = {**os.environ, "PYTHONPATH": f"{_ROOT}{os.pathsep}{path}" if path else str(_ROOT)}
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(sys.executable, [sys.executable, "-m", "workers.daemon", *chosen.argv()], environ)
