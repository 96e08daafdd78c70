"""Logs: one event a line, `time LEVEL event key=value …`."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

#: What every record has; whatever else it has was given with `extra` and is a key of the line.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


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
