"""Define tasks that change what a later task finds: streams, signals, the process, logging."""

from __future__ import annotations

import contextlib
import decimal
import faulthandler
import gc
import io
import logging
import logging.config
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from django.utils import timezone, translation

from taskmaster import task

#: Marks a task whose result is not compared.
ANY = "any"
#: All hostile tasks: (name, expected result, whether it ends its whole child). `sessions` adds to
#: it.
HOSTILE: list[tuple[str, Any, bool]] = []
_kept: list[Any] = []


def hostile(expected: Any = ANY, *, fatal: bool = False) -> Callable[[Callable[[], Any]], Any]:
    """Register a hostile task."""

    def register(function: Callable[[], Any]) -> Any:
        HOSTILE.append((f"{function.__module__}.{function.__name__}", expected, fatal))
        return task(function)

    return register


# ---- streams ------------------------------------------------------------------------------------


@hostile("closed")
def close_stdout() -> str:
    sys.stdout.close()
    return "closed"


@hostile()
def close_stderr_buffer() -> None:
    sys.stderr.buffer.close()


@hostile()
def close_descriptors() -> None:
    for fd in (0, 1, 2):
        os.close(fd)
    with contextlib.suppress(OSError):
        print("to nowhere")


@hostile()
def replace_stdout() -> None:
    sys.stdout = io.StringIO()
    sys.__stdout__ = None  # type: ignore[misc]
    print("swallowed")


@hostile()
def reconfigure_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(  # type: ignore[union-attr]
            encoding="ascii", errors="strict", line_buffering=False
        )


@hostile()
def detach_stdout() -> None:
    _kept.append(sys.stdout.detach())  # type: ignore[union-attr]


@hostile()
def redirect_descriptors() -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.close(null)


@hostile()
def make_streams_non_blocking() -> None:
    os.set_blocking(1, False)
    os.set_blocking(2, False)


@hostile()
def close_stdin() -> None:
    sys.stdin.close()


@hostile()
def patch_the_stream() -> None:
    sys.stdout.write = len  # type: ignore[method-assign]


# ---- signals and alarms -------------------------------------------------------------------------


@hostile()
def leave_an_alarm() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0.3)


@hostile()
def leave_cpu_timers() -> None:
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.02)
    signal.setitimer(signal.ITIMER_PROF, 0.02)


@hostile()
def leave_a_watchdog() -> None:
    faulthandler.dump_traceback_later(0.3, exit=True, file=2)


@hostile()
def ignore_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@hostile()
def ignore_sigchld_and_handle_others() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


@hostile()
def block_all_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


# ---- process ------------------------------------------------------------------------------------


@hostile()
def change_folder() -> None:
    os.chdir("/")


@hostile()
def change_to_a_removed_folder() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)


@hostile()
def change_umask() -> None:
    os.umask(0o777)


@hostile()
def change_environment() -> None:
    os.environ["LEFT_OVER"] = "1"
    os.environ["HOME"] = "/nowhere"
    os.environ.pop("PATH", None)


@hostile()
def replace_environment() -> None:
    os.environ = {"ONLY": "this"}  # type: ignore[assignment]  # noqa: B003


@hostile()
def change_time_zone() -> None:
    os.environ["TZ"] = "Asia/Kathmandu"
    time.tzset()


@hostile()
def change_interpreter() -> None:
    sys.setrecursionlimit(220)
    sys.setswitchinterval(5)
    gc.disable()
    socket.setdefaulttimeout(0.001)
    sys.setprofile(lambda *_: None)


@hostile()
def change_context() -> None:
    decimal.getcontext().prec = 3
    translation.activate("de")
    timezone.activate("Asia/Tokyo")


# ---- logging ------------------------------------------------------------------------------------


@hostile()
def configure_logging() -> None:
    logging.config.dictConfig({"version": 1, "root": {"level": "ERROR", "handlers": []}})


@hostile()
def configure_logging_by_force() -> None:
    logging.basicConfig(force=True, level=logging.CRITICAL, stream=io.StringIO())


@hostile()
def disable_logging() -> None:
    logging.disable(logging.CRITICAL)


@hostile()
def remove_log_handlers() -> None:
    logging.getLogger().handlers.clear()


@hostile()
def mute_log_handlers() -> None:
    logging.getLogger().setLevel(logging.CRITICAL)
    for handler in logging.getLogger().handlers:
        handler.setLevel(logging.CRITICAL)
