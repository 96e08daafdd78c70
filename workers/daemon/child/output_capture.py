"""Assign stdout and stderr of a child to the attempts that wrote to them."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import sys
from contextvars import ContextVar
from typing import TextIO

from taskmaster.workers.daemon.child.outbox import ChildOutbox
from taskmaster.workers.daemon.messages import PrintedText

#: A longer line is sent in pieces of about this size.
_LINE_MAX = 4_096


class CapturedAttempt:
    """Hold the attempt of a context and its unfinished lines."""

    __slots__ = ("id", "lines")

    def __init__(self, ident: int) -> None:
        self.id = ident
        self.lines: dict[str, str] = {}


#: Attempt of this thread or coroutine. Threads that a task starts itself have none.
context_attempt: ContextVar[CapturedAttempt | None] = ContextVar("context_attempt", default=None)


class SingleAttempt:
    """Hold the attempt of a child that runs one at a time. It applies to all threads."""

    attempt: CapturedAttempt | None = None


def current_attempt() -> CapturedAttempt | None:
    """Return the attempt that the current context belongs to, if any."""
    return context_attempt.get() or SingleAttempt.attempt


class TaskStream(io.TextIOBase):
    """Replace `sys.stdout` or `sys.stderr` for many concurrent tasks.

    Whole lines are sent to the supervisor immediately. It has what `io.TextIOWrapper` has.
    """

    encoding = "utf-8"
    errors = "backslashreplace"
    newlines = None
    mode = "w"
    line_buffering = True
    write_through = False

    def __init__(self, stream: str, outbox: ChildOutbox, real: TextIO) -> None:
        super().__init__()
        self.name = f"<{stream}>"
        self._stream = stream
        self._outbox = outbox
        #: The stream of the process, for output that belongs to no task.
        self.real = real
        self.buffer = _TaskBytes(self)

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor of the child's own stream.

        Output that is written to the descriptor belongs to no task.
        """
        return self.real.fileno()

    def reconfigure(
        self,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        line_buffering: bool | None = None,
        write_through: bool | None = None,
    ) -> None:
        """Accept the options of TextIOWrapper. They change nothing, because text is sent as is."""
        self.flush()

    def write(self, text: str) -> int:
        """Write text for the attempt of this context. Return its length."""
        captured = self._attempt()
        if captured is None:
            return self.real.write(text)
        whole = captured.lines.pop(self._stream, "") + text
        if "\n" in text or len(whole) > _LINE_MAX:
            self._outbox.send(PrintedText(captured.id, self._stream, whole))
        else:
            captured.lines[self._stream] = whole
        return len(text)

    def flush(self) -> None:
        """Send the unfinished line."""
        captured = self._attempt()
        if captured is None:
            self.real.flush()
        elif rest := captured.lines.pop(self._stream, ""):
            self._outbox.send(PrintedText(captured.id, self._stream, rest))

    def close(self) -> None:
        """Send the unfinished line. The stream stays open, because it belongs to all tasks."""
        self.flush()

    def _attempt(self) -> CapturedAttempt | None:
        """Return the current attempt. A process that a task has forked has none."""
        return current_attempt() if self._outbox.is_own else None


class _TaskBytes(io.RawIOBase):
    """Provide the `buffer` of a TaskStream for code that writes bytes."""

    mode = "wb"

    def __init__(self, text: TaskStream) -> None:
        super().__init__()
        self.name = text.name
        self.raw = self
        self._text = text

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._text.fileno()

    def write(self, data: object) -> int:
        piece = bytes(data)  # type: ignore[call-overload]
        self._text.write(piece.decode("utf-8", "replace"))
        return len(piece)

    def flush(self) -> None:
        self._text.flush()

    def close(self) -> None:
        self.flush()


class StandardStreams:
    """Hold the standard streams of a child and their descriptors, and restore both.

    An attempt may close, replace or reconfigure them.
    """

    def __init__(self) -> None:
        self._saved = [os.dup(fd) for fd in (0, 1, 2)]
        self._inodes = [os.stat(fd).st_ino for fd in (1, 2)]
        #: None: the streams of tasks are those of the process.
        self._outbox: ChildOutbox | None = None
        self._open()

    def share(self, outbox: ChildOutbox) -> None:
        """Replace stdout and stderr so that concurrent tasks are separated by their context."""
        self._outbox = outbox
        self._open()

    def restore(self) -> None:
        """Restore what an attempt has changed."""
        for fd, saved in enumerate(self._saved):
            os.dup2(saved, fd)
            if fd:
                # asyncio's pipe transports make a descriptor non-blocking.
                os.set_blocking(fd, True)
        if not self._are_usable():
            self._flush()
            self._open()
        # Text that a task printed while its descriptor was closed.
        self._flush()

    @property
    def are_changed(self) -> bool:
        """Return whether an attempt has changed a stream or descriptor."""
        try:
            inodes = [os.stat(fd).st_ino for fd in (1, 2)]
            for fd in (1, 2):
                os.set_blocking(fd, True)
        except OSError:
            return True
        return inodes != self._inodes or not self._are_usable()

    def _open(self) -> None:
        """Open the streams of the process: line-buffered, in UTF-8."""
        self._own = [_open_stream(fd) for fd in (0, 1, 2)]
        sys.stdin, sys.stdout, sys.stderr = self._own
        sys.__stdin__, sys.__stdout__, sys.__stderr__ = self._own  # type: ignore[misc]
        self._settings = [_settings(each) for each in self._own]
        if self._outbox is not None:
            sys.stdout = TaskStream("stdout", self._outbox, self._own[1])
            sys.stderr = TaskStream("stderr", self._outbox, self._own[2])
        self._visible = [sys.stdin, sys.stdout, sys.stderr]
        self._attributes = [len(vars(each)) for each in self._visible]

    def _flush(self) -> None:
        for stream in self._own[1:]:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()

    def _are_usable(self) -> bool:
        """Return whether the streams are those of a fresh child, open and unchanged."""
        if (
            [sys.stdin, sys.stdout, sys.stderr] != self._visible
            or [sys.__stdin__, sys.__stdout__, sys.__stderr__] != self._own
            or [len(vars(each)) for each in self._visible] != self._attributes
        ):
            return False
        try:
            return [_settings(each) for each in self._own] == self._settings
        except ValueError:
            # A detached or closed stream has no settings.
            return False


def _open_stream(fd: int) -> io.TextIOWrapper:
    if fd == 0:
        return open(fd, encoding="utf-8", errors="surrogateescape", closefd=False)
    return open(fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _settings(stream: io.TextIOWrapper) -> tuple[object, ...]:
    """Return what `reconfigure` and assignments can change. Raises ValueError if it is closed."""
    if stream.closed or stream.buffer.closed:
        raise ValueError("closed")
    return (
        stream.encoding,
        stream.errors,
        stream.line_buffering,
        stream.write_through,
    )


_libc = ctypes.CDLL(None)


def flush_streams() -> None:
    """Flush the buffers of Python and of C libraries into the pipes."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    _libc.fflush(None)
