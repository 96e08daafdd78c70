"""Format log records as one line each: `time LEVEL event key=value …`."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

#: Attributes of every record. All others come from `extra` and become keys of the line.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def ensure_handler() -> None:
    """Write TaskMaster's records to stderr if the project's LOGGING has no handler for them.

    Django's default LOGGING handles only Django's loggers. A coordinator or worker would then print
    nothing.
    """
    log = logging.getLogger("taskmaster")
    if not log.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(LineFormatter())
        log.addHandler(handler)
        log.setLevel(logging.INFO)


class LineFormatter(logging.Formatter):
    """Format a record as one line.

    Values with spaces, quotes, `=` or unprintable characters are quoted. Unprintable characters are
    escaped, so that a name from outside cannot start a line or control the terminal.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, followed by the traceback if the record has one."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        keys = " ".join(
            f"{key}={_value(value)}" for key, value in vars(record).items() if key not in _OWN
        )
        line = f"{at[:-6]}Z {record.levelname:7} {record.getMessage()} {keys}".rstrip()
        line = line if line.isprintable() else _escaped(line)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _value(value: object) -> str:
    text = str(value)
    if not text or set(text) & set(' "=') or not text.isprintable():
        return _escaped(json.dumps(text, ensure_ascii=False))
    return text


def _escaped(text: str) -> str:
    """Escape the unprintable characters of a text."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )
