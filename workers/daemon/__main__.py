"""`python -m workers.daemon`: what `manage.py runworker` becomes."""

from __future__ import annotations

import sys

from django.conf import settings as django_settings
from django.utils.log import configure_logging

from workers.daemon import worker
from workers.daemon.forkserver import start_launcher


def main() -> int:
    """The exit code of the worker."""
    configure_logging(django_settings.LOGGING_CONFIG, django_settings.LOGGING)
    return worker.run(sys.argv[1:], start_launcher)


if __name__ == "__main__":
    sys.exit(main())
