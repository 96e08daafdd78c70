"""Send log records of tasks to the supervisor, beside the log handlers of the project."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import Any

from taskmaster.workers.daemon.child.outbox import ChildOutbox
from taskmaster.workers.daemon.child.output_capture import current_attempt
from taskmaster.workers.daemon.messages import PrintedText


class LogCapture(logging.Handler):
    """Send log records to the supervisor as the stream `log`."""

    def __init__(self, outbox: ChildOutbox) -> None:
        super().__init__()
        self._outbox = outbox
        #: Set when a task has closed all handlers, as `dictConfig` does.
        self.was_closed = False
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record.

        Without an attempt, and in a process that a task has forked, write it to stderr.
        """
        captured = current_attempt()
        try:
            line = self.format(record) + "\n"
        except Exception:
            self.handleError(record)
            return
        if captured is not None and self._outbox.is_own:
            self._outbox.send(PrintedText(captured.id, "log", line))
        else:
            with contextlib.suppress(OSError, ValueError):
                sys.__stderr__.write(line)  # type: ignore[union-attr]

    def close(self) -> None:
        """Note that a task has closed the handler."""
        self.was_closed = True
        super().close()


def capture_log(outbox: ChildOutbox) -> LogCapture:
    """Send the records of the root logger to the supervisor, at the levels of the project.

    Handlers that write to a terminal are removed, since the capture replaces them. The others stay.
    A root logger without configuration gets the level INFO.
    """
    root = logging.getLogger()
    if not root.handlers and root.level == logging.WARNING:
        root.setLevel(logging.INFO)
    for handler in list(root.handlers):
        if _writes_to_terminal(handler):
            root.removeHandler(handler)
    capture = LogCapture(outbox)
    root.addHandler(capture)
    return capture


def _writes_to_terminal(handler: logging.Handler) -> bool:
    """Return whether a handler writes to this process's stdout or stderr."""
    try:
        return isinstance(handler, logging.StreamHandler) and handler.stream.fileno() in (1, 2)
    except (OSError, ValueError, AttributeError):
        return False


class LogState:
    """Remember the configuration of logging, and restore it."""

    def __init__(self, capture: LogCapture) -> None:
        self._capture = capture
        self._root = logging.getLogger()
        self._disabled_level = self._root.manager.disable
        loggers = [self._root, *self._root.manager.loggerDict.values()]
        self._states = [
            (each, _state(each)) for each in loggers if isinstance(each, logging.Logger)
        ]
        self._root_state = _state(self._root)

    @property
    def is_changed(self) -> bool:
        """Return whether a task has changed the root logger, or replaced the configuration."""
        return (
            self._capture.was_closed
            or self._capture.level != logging.NOTSET
            or self._root.manager.disable != self._disabled_level
            or _state(self._root) != self._root_state
        )

    def restore(self) -> None:
        """Restore all loggers that existed when the child started."""
        self._capture.was_closed = False
        self._capture.setLevel(logging.NOTSET)
        for logger, (level, propagate, disabled, handlers, filters) in self._states:
            logger.propagate, logger.disabled = propagate, disabled
            logger.handlers[:], logger.filters[:] = handlers, filters
            if logger.level != level:
                logger.setLevel(level)
        logging.disable(self._disabled_level)


def _state(
    logger: logging.Logger,
) -> tuple[int, bool, bool, list[logging.Handler], list[Any]]:
    return (
        logger.level,
        logger.propagate,
        logger.disabled,
        list(logger.handlers),
        list(logger.filters),
    )
