#!/usr/bin/env python
"""TaskMaster's commands: `manage.py runcoordinator`, `runworker`, `taskmaster`, and Django's."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Runs the command; what goes wrong on purpose is one line, never a traceback."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "taskmaster_site.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    from tasks.errors import ConfigurationError

    try:
        execute_from_command_line(sys.argv)
    except (ConfigurationError, ImproperlyConfigured) as error:
        _leave(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        from django.db import OperationalError
        from psycopg_pool import PoolTimeout

        if "--traceback" in sys.argv or not isinstance(error, OperationalError | PoolTimeout):
            raise
        from taskmaster_site.database import missing

        _leave(missing(error))


def _leave(message: str) -> None:
    print(message, file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
