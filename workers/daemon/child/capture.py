"""Stdout, stderr and logging of the tasks in a child, each to its own attempt."""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import sys
from contextvars import ContextVar
from typing import TextIO

from workers.daemon.child.outbox import Outbox

#: A line without an end is sent in pieces of this size.
_LINE_MAX = 4_096


class Current:
    """The attempt that runs in this context, with its unfinished lines."""

    __slots__ = ("id", "lines")

    def __init__(self, ident: int) -> None:
        self.id = ident
        self.lines: dict[str, str] = {}


#: The attempt of this thread or coroutine. Threads that a task starts itself have none.
current: ContextVar[Current | None] = ContextVar("current", default=None)


class Alone:
    """The attempt of a child that runs one at a time: whatever thread asks, it is this one."""

    attempt: Current | None = None


def attempt() -> Current | None:
    """The attempt that what happens here and now belongs to."""
    return current.get() or Alone.attempt


class TaskStream(io.TextIOBase):
    """A `sys.stdout` for many tasks at once: whole lines go to the supervisor at once."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, stream: str, outbox: Outbox, real: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._outbox = outbox
        self._real = real
        self.buffer = _TaskBytes(self)

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """The child's own stream: what is written there belongs to no task."""
        return self._real.fileno()

    def write(self, text: str) -> int:
        """Takes text of the task that runs in this context."""
        mine = attempt()
        if mine is None:
            return self._real.write(text)
        whole = mine.lines.pop(self._stream, "") + text
        if "\n" in text or len(whole) > _LINE_MAX:
            self._outbox.send(["output", mine.id, self._stream, whole])
        else:
            mine.lines[self._stream] = whole
        return len(text)

    def flush(self) -> None:
        """Sends the unfinished line."""
        mine = attempt()
        if mine is not None and (rest := mine.lines.pop(self._stream, "")):
            self._outbox.send(["output", mine.id, self._stream, rest])


class _TaskBytes(io.RawIOBase):
    """The `buffer` of a TaskStream, for those who write bytes."""

    def __init__(self, text: TaskStream) -> None:
        super().__init__()
        self._text = text

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)  # type: ignore[call-overload]
        self._text.write(piece.decode("utf-8", "replace"))
        return len(piece)


class TaskLog(logging.Handler):
    """Sends log records to the supervisor as the stream `log`."""

    def __init__(self, outbox: Outbox) -> None:
        super().__init__(logging.INFO)
        self._outbox = outbox
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """One record."""
        mine = attempt()
        try:
            line = self.format(record) + "\n"
        except Exception:
            self.handleError(record)
            return
        if mine is not None:
            self._outbox.send(["output", mine.id, "log", line])
        else:
            with contextlib.suppress(OSError, ValueError):
                sys.__stderr__.write(line)  # type: ignore[union-attr]


def capture_log(outbox: Outbox) -> None:
    """Log records of level INFO and above go to the supervisor, and nowhere else."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    root.addHandler(TaskLog(outbox))
    root.setLevel(logging.INFO)


def open_streams() -> None:
    """Stdout and stderr on the child's own pipes, line by line."""
    for name, fd in (("stdout", 1), ("stderr", 2)):
        stream = open(  # noqa: SIM115 - as long as the process
            fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def capture_streams(outbox: Outbox) -> None:
    """Stdout and stderr of many tasks at once, told apart by their context."""
    sys.stdout = TaskStream("stdout", outbox, sys.stdout)
    sys.stderr = TaskStream("stderr", outbox, sys.stderr)


_libc = ctypes.CDLL(None)


def flush_streams() -> None:
    """Everything that Python or a C library holds back is in the pipes afterwards."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    _libc.fflush(None)
