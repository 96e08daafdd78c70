"""Run a worker with `manage.py runworker`."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from taskmaster.tasks.conf import settings
from taskmaster.tasks.errors import ConfigurationError
from taskmaster.tasks.extras import MissingExtra, require_extra
from taskmaster.workers import python_process
from taskmaster.workers.daemon import options as worker_options
from taskmaster.workers.security import private_process, tls


class Command(BaseCommand):
    """Parse the options and start `taskmaster.workers.daemon`."""

    help = (
        "Run a worker: it connects to a coordinator, executes Python tasks and shell commands in "
        "child processes and reports their results. It opens no database connection itself. "
        "SIGINT or SIGTERM lets running tasks finish (at most shutdown_grace_s, 30 s); a second "
        "signal hands unfinished tasks back and exits immediately."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options of a worker."""
        worker_options.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Replace this process with the worker, which loads no Django application.

        The pid is kept, so the worker receives the signals and sets the exit code. Its environment
        shows no secrets.
        """
        private_process.hide()
        try:
            require_extra("worker", "runworker")
            chosen = worker_options.from_arguments(options, os.environ, settings())
            argv = python_process.command("taskmaster.workers.daemon", *chosen.argv())
            private_process.replace(argv, {**os.environ, **tls.variables(chosen.access.pair)})
        except (ConfigurationError, MissingExtra) as error:
            raise CommandError(str(error)) from None
