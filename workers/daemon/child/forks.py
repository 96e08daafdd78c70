"""Keep processes that a task forks out of the protocol between child and supervisor.

Such a process (`os.fork`, `multiprocessing`) is a copy of the child. It must not write to the
child's socket, run the next tasks, or use the child's database connections.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from typing import NoReturn

#: Actions of a process that a task has forked.
_on_fork: list[Callable[[], object]] = []


class _Mask(threading.local):
    """Hold the signal mask of a thread that forks."""

    before: set[int] = set()


_mask = _Mask()


def guard(connection: socket.socket) -> None:
    """Prepare this child for tasks that fork."""
    os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=_forked)
    on_fork(connection.close)


def on_fork(action: Callable[[], object]) -> None:
    """Run an action in each process that a task forks."""
    _on_fork.append(action)


def _block() -> None:
    """Keep a SIGTERM for the fork until it has the default disposition.

    Python drops the signals that arrive before that.
    """
    _mask.before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _mask.before)


def _forked() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for action in _on_fork:
        with contextlib.suppress(Exception):
            action()
    _unblock()


def exit_fork(error: BaseException | None) -> NoReturn:
    """End a process that a task has forked and that returned or raised, as Python would."""
    code: object = 0
    if isinstance(error, SystemExit):
        code = error.code
    elif error is not None:
        traceback.print_exception(error)
        code = 1
    if not isinstance(code, int | None):
        print(code, file=sys.stderr)
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit((code or 0) & 0xFF)
