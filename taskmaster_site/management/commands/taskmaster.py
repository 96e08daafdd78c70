"""`manage.py taskmaster`: submit, list, show, cancel and retry tasks; steer workers and pools."""

from __future__ import annotations

import io
import os
import sys
from argparse import ArgumentParser
from typing import Any, TextIO, cast

from django.core.management.base import BaseCommand, CommandError
from django.db import ProgrammingError
from psycopg.errors import UndefinedColumn, UndefinedTable

from tasks.cli import actions, arguments, operate
from tasks.cli.terminal import Printer
from tasks.errors import ConfigurationError, TaskMasterError
from workers import cli as workers
from workers.joining import cli as joining
from workers.pools import cli as pools

_ACTIONS = {
    "submit": actions.submit,
    "list": actions.list_tasks,
    "show": actions.show,
    "cancel": actions.cancel,
    "retry": actions.retry,
    "operate": operate.run,
    "drain": workers.drain,
    "undrain": workers.undrain,
    "stop": workers.stop,
    "kill": workers.kill,
    "scale": pools.scale,
    "pools": pools.pools,
    "join-token": joining.join_token,
    "certs": joining.certs,
}


class Command(BaseCommand):
    """Parses the options and hands over to `tasks.cli` and `workers.cli`."""

    help = (
        "Submit tasks, see what became of them, cancel and retry them, many at once too; drain, "
        "stop and kill workers, scale their pools, let those of other hosts join. Whoever may run "
        "this command may do all of it: it works on the database, without a user. "
        "`taskmaster ACTION --help` shows the options of an action, with examples."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        action = arguments.actions_of(parser)
        arguments.add_actions(action)
        operate.add_options(action("operate", "do something to many tasks", operate.EXAMPLES))
        workers.add_actions(action)
        pools.add_actions(action)
        joining.add_actions(action)

    def handle(self, *args: Any, **options: Any) -> None:
        # What the terminal's encoding lacks is replaced: output may hold any character.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")
        coloured = not options["no_color"] and "NO_COLOR" not in os.environ
        out = Printer(cast("TextIO", self.stdout), coloured=coloured)
        try:
            _ACTIONS[options["action"]](options, out)
            self.stdout.flush()
        except ConfigurationError:
            raise  # manage.py says it.
        except TaskMasterError as error:
            raise CommandError(str(error)) from None
        except ProgrammingError as error:
            if isinstance(error.__cause__, UndefinedTable | UndefinedColumn):
                raise CommandError(
                    "The database lacks tables of this TaskMaster; run `manage.py migrate`."
                ) from None
            raise
        except BrokenPipeError:
            # Whoever read has seen enough (`… | head`); nothing may be flushed at the exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
