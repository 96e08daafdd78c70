"""Run `python -m taskmaster …`: the commands of `manage.py` with the settings of the site.

An installed wheel has no Makefile, so `demo` and `password` replace the make targets.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

#: Modules of the commands that are not Django management commands.
_DEMO = {
    "demo": "taskmaster.taskmaster_site.demo.main",
    "password": "taskmaster.taskmaster_site.demo.admin",
}


def main() -> None:
    """Run the command. An expected error is printed in one line without a traceback."""
    from taskmaster.tasks.extras import MissingExtra, require_extra
    from taskmaster.workers import python_process

    python_process.end_on_sigterm()
    command = sys.argv[1] if len(sys.argv) == 2 else ""
    try:
        require_extra("demo" if command in _DEMO else "site", "python -m taskmaster")
    except MissingExtra as error:
        _fail(str(error))
    if sys.argv[1:2] in (["demo"], ["runcoordinator"]):
        from taskmaster.tasks.errors import ConfigurationError
        from taskmaster.workers.security import private_process

        try:
            # `runcoordinator` does the same, but after Django is loaded.
            private_process.restart()
        except ConfigurationError as error:
            _fail(str(error))
    if command in _DEMO:
        sys.exit(import_module(_DEMO[command]).main())
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "taskmaster.taskmaster_site.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        _fail(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        from django.db import OperationalError
        from psycopg_pool import PoolTimeout

        if "--traceback" in sys.argv or not isinstance(error, OperationalError | PoolTimeout):
            raise
        from taskmaster.taskmaster_site.database import unavailable_message

        _fail(unavailable_message(error))


def _fail(message: str) -> None:
    print(message, file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
