"""Configure logging: the level, the format, and filters of repeated or unimportant lines."""

from __future__ import annotations

import logging
import os
from http import HTTPStatus
from typing import Any

from taskmaster.tasks.errors import ConfigurationError

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class OutageFilter(logging.Filter):
    """Drop the log line of each 503 response, because an outage is logged once when it starts."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write the record."""
        return getattr(record, "status_code", None) != HTTPStatus.SERVICE_UNAVAILABLE


def logging_settings() -> dict[str, Any]:
    """Return the value of Django's setting LOGGING.

    Raises ConfigurationError if TASKMASTER_LOG_LEVEL is not a level.
    """
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"outages": {"()": OutageFilter}},
        "formatters": {"line": {"()": "taskmaster.tasks.logs.LineFormatter"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": _level()},
        "loggers": {
            "django_tasks": {"level": "WARNING"},
            "django.tasks": {"level": "WARNING"},
            "asyncio": {"level": "WARNING"},
            "daphne": {"level": "WARNING"},
            "django_eventstream": {"level": "WARNING"},
            # The requester of a connection gets the error.
            "psycopg.pool": {"level": "ERROR"},
            # Client errors are not logged, because the response reports them.
            "django.request": {"level": "ERROR", "filters": ["outages"]},
            "django.security.DisallowedHost": {"level": "CRITICAL"},
        },
    }


def _level() -> str:
    level = os.environ.get("TASKMASTER_LOG_LEVEL", "INFO").upper()
    if level not in _LEVELS:
        raise ConfigurationError(
            f"TASKMASTER_LOG_LEVEL is {level!r}; it must be one of {', '.join(_LEVELS)}."
        )
    return level
