"""Define what an attempt finds in its process, and restore it after attempts that changed it.

`docs/reference/slots.md` has the table for users. In the executor `process` the state is restored
for every attempt. In the executors `thread` and `async` it belongs to all attempts of the child. It
is restored when the child is idle. If other attempts run, the supervisor replaces the child.

Most system calls below are cheaper than a comparison before them would be.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import decimal
import faulthandler
import gc
import os
import signal
import socket
import sys
import threading
import time
from typing import Any

from taskmaster.workers.daemon.child.log_capture import LogCapture, LogState
from taskmaster.workers.daemon.child.output_capture import StandardStreams

#: `signal.getsignal` converts its result to an enum, at forty times the cost.
_handler_of = _signal.getsignal
_SIGNALS = sorted(int(each) for each in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)


class SlotState:
    """Remember the state of a child before its first attempt."""

    def __init__(self, streams: StandardStreams, capture: LogCapture) -> None:
        self.streams = streams
        self._capture = capture

    def remember(self) -> None:
        """Remember the state of the child. The executor has finished its preparations."""
        self._log = LogState(self._capture)
        self._folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
        self._folder_id = _identity(self._folder)
        self._umask = os.umask(0)
        os.umask(self._umask)
        self._environ = os.environ
        self._variables = _variables(os.environ).copy()
        self._handlers = _handlers()
        self._interpreter = _interpreter()
        self._decimal = decimal.getcontext().copy()

    def restore(self) -> None:
        """Restore the state while no attempt runs. Signal handlers need the main thread."""
        try:
            os.fchdir(self._folder)
            self.streams.restore()
        except OSError:
            # A task has closed the descriptors of this child. The supervisor starts another one.
            os._exit(1)
        os.umask(self._umask)
        self._stop_alarms()
        if _is_main_thread() and _handlers() != self._handlers:
            self._restore_handlers()
        if self._environment_changed():
            self._restore_environment()
        if _interpreter() != self._interpreter:
            self._restore_interpreter()
        if self._log.is_changed:
            self._log.restore()

    def restore_thread(self) -> None:
        """Restore what belongs to the current thread, and not to the process."""
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if sys.gettrace() is not self._interpreter[0]:
            sys.settrace(self._interpreter[0])
        if sys.getprofile() is not self._interpreter[1]:
            sys.setprofile(self._interpreter[1])

    def fresh_decimal_context(self) -> decimal.Context:
        """Return a copy of the first decimal context, which attempts can change."""
        return self._decimal.copy()

    def changes(self) -> list[str]:
        """Name what attempts have changed in the process while other attempts run.

        Alarms are stopped and the umask is restored, since they can be read in no other way.
        """
        changed = {
            "working directory": _identity(".") != self._folder_id,
            "umask": os.umask(self._umask) != self._umask,
            "alarm": self._stop_alarms(),
            "streams": self.streams.are_changed,
            "signal handlers": _is_main_thread() and _handlers() != self._handlers,
            "environment": self._environment_changed(),
            "interpreter": _interpreter()[2:] != self._interpreter[2:],
            "logging": self._log.is_changed,
        }
        return [name for name, is_changed in changed.items() if is_changed]

    @staticmethod
    def _stop_alarms() -> bool:
        """Stop all timers of the process. Return whether one was running."""
        faulthandler.cancel_dump_traceback_later()
        return sum(signal.setitimer(timer, 0)[0] for timer in _TIMERS) > 0

    def _restore_handlers(self) -> None:
        for number, handler in zip(_SIGNALS, self._handlers, strict=True):
            if _handler_of(number) is not handler:
                # None: not installed by Python.
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _environment_changed(self) -> bool:
        return os.environ is not self._environ or _variables(self._environ) != self._variables

    def _restore_environment(self) -> None:
        os.environ = self._environ  # noqa: B003 - a task has replaced the object
        changed = set(_variables(self._environ).items()) ^ set(self._variables.items())
        for name in {name for name, _ in changed}:
            if name in self._variables:
                os.environb[name] = self._variables[name]
            else:
                del os.environb[name]
        if any(name == b"TZ" for name, _ in changed):
            time.tzset()

    def _restore_interpreter(self) -> None:
        trace, profile, recursion, switch_s, collects, socket_s, hook, thread_hook = (
            self._interpreter
        )
        sys.settrace(trace)
        sys.setprofile(profile)
        sys.setrecursionlimit(recursion)
        sys.setswitchinterval(switch_s)
        (gc.enable if collects else gc.disable)()
        socket.setdefaulttimeout(socket_s)
        sys.excepthook, threading.excepthook = hook, thread_hook


def _handlers() -> list[Any]:
    return list(map(_handler_of, _SIGNALS))


def _interpreter() -> tuple[Any, ...]:
    """Return settings of the interpreter. The first two belong to the thread."""
    return (
        sys.gettrace(),
        sys.getprofile(),
        sys.getrecursionlimit(),
        sys.getswitchinterval(),
        gc.isenabled(),
        socket.getdefaulttimeout(),
        sys.excepthook,
        threading.excepthook,
    )


def _variables(environ: Any) -> dict[bytes, bytes]:
    """Return the dict behind `os.environ`. Its public methods decode every variable."""
    variables: dict[bytes, bytes] = environ._data
    return variables


def _identity(file: int | str) -> tuple[int, int]:
    found = os.stat(file)
    return found.st_dev, found.st_ino


def _is_main_thread() -> bool:
    return threading.get_ident() == threading.main_thread().ident
