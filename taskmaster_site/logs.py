"""Logs: one event a line, `time LEVEL event key=value …`."""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime
from http import HTTPStatus

from tasks.errors import ConfigurationError

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

#: What every record has; whatever else it has was given with `extra` and is a key of the line.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def log_level() -> str:
    """From TASKMASTER_LOG_LEVEL. Raises ConfigurationError for a word that is no level."""
    level = os.environ.get("TASKMASTER_LOG_LEVEL", "INFO").upper()
    if level not in _LEVELS:
        raise ConfigurationError(
            f"TASKMASTER_LOG_LEVEL is {level!r}; it must be one of {', '.join(_LEVELS)}."
        )
    return level


class Unsaid(logging.Filter):
    """Drops the line for each answer 503: what is wrong is said once, when it begins."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is to be written."""
        return getattr(record, "status_code", None) != HTTPStatus.SERVICE_UNAVAILABLE


class LineFormatter(logging.Formatter):
    """A record as one line; values with spaces are quoted."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and behind it a traceback where one was asked for."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        keys = " ".join(
            f"{key}={_value(value)}" for key, value in vars(record).items() if key not in _OWN
        )
        line = f"{at[:-6]}Z {record.levelname:7} {record.getMessage()} {keys}".rstrip()
        line = line.replace("\n", "\\n")
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _value(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if not text or set(text) & set(' "=\n') else text
