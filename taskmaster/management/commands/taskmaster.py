"""Implement `manage.py taskmaster`, which manages tasks, workers and pools."""

from __future__ import annotations

import io
import os
import sys
from argparse import ArgumentParser
from typing import Any, TextIO, cast

from django.core.management.base import BaseCommand, CommandError
from django.db import ProgrammingError
from psycopg.errors import UndefinedColumn, UndefinedTable

from taskmaster.management import roles
from taskmaster.tasks.cli import actions, arguments, export, operate, pausing, schedules
from taskmaster.tasks.cli.terminal import TerminalPrinter
from taskmaster.tasks.errors import TaskMasterError
from taskmaster.tasks.extras import require_extra
from taskmaster.workers.cli import joining, pools, workers

_ACTIONS = {
    "submit": actions.submit,
    "list": actions.list_tasks,
    "show": actions.show,
    "cancel": actions.cancel,
    "retry": actions.retry,
    "operate": operate.run,
    "export": export.run,
    "pause": pausing.pause,
    "resume": pausing.resume,
    "pauses": pausing.pauses,
    "schedules": schedules.run,
    "workers": workers.workers,
    "drain": workers.drain,
    "undrain": workers.undrain,
    "stop": workers.stop,
    "kill": workers.kill,
    "scale": pools.scale,
    "pools": pools.pools,
    "join-token": joining.join_token,
    "certs": joining.certs,
    "roles": roles.roles,
}
#: Actions that format JSON themselves. The other actions use the REST serializers for --json.
_OWN_JSON = ("join-token", "certs", "roles")


class Command(BaseCommand):
    """Parse the options and call the module of the action."""

    help = (
        "Submit, list, show, cancel and retry tasks, one by one or in bulk; export tasks; pause "
        "and resume queues, task names and everything; list, pause, run, synchronize and import "
        "schedules; "
        "list, drain, stop and kill workers; scale worker pools; create join tokens and "
        "certificates for workers of other hosts; compare and reset the groups of the roles. The "
        "command works on the database directly and checks no permissions. "
        "`taskmaster ACTION --help` shows the options of an action, with examples."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        action = arguments.actions_of(parser)
        arguments.add_actions(action)
        operate.add_options(action("operate", "run a bulk operation on tasks", operate.EXAMPLES))
        export.add_options(action("export", "write tasks as JSON lines", export.EXAMPLES))
        pausing.add_actions(action)
        schedules.add_actions(
            action("schedules", "list, change, synchronize or import schedules", schedules.EXAMPLES)
        )
        workers.add_actions(action)
        pools.add_actions(action)
        joining.add_actions(action)
        roles.add_actions(action)

    def handle(self, *args: Any, **options: Any) -> None:
        # Output may contain characters that the terminal's encoding lacks. Replace them.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")
        coloured = not options["no_color"] and "NO_COLOR" not in os.environ
        out = TerminalPrinter(cast("TextIO", self.stdout), coloured=coloured)
        try:
            if options["json"] and options["action"] not in _OWN_JSON:
                require_extra("api", "--json")
            _ACTIONS[options["action"]](options, out)
            self.stdout.flush()
        except TaskMasterError as error:
            raise CommandError(str(error)) from None
        except ProgrammingError as error:
            if isinstance(error.__cause__, UndefinedTable | UndefinedColumn):
                raise CommandError(
                    "The database lacks tables or columns of this version; run `manage.py migrate`."
                ) from None
            raise
        except BrokenPipeError:
            # The reader closed the pipe (`… | head`). Discard what Python flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
