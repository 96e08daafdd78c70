"""Provide the threads in which the `sync_to_async` calls of attempts run.

Django's async ORM runs its queries in such calls. Without a thread for each attempt, all attempts
of a child would wait for a single thread, whose connections nothing cleans up.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext

from taskmaster.workers.daemon.child import database


class SqlThread(ThreadPoolExecutor):
    """Run the calls of one attempt at a time. The thread starts with the first call."""

    def __init__(self) -> None:
        super().__init__(1, "sync_to_async")
        self._last: Future[Any] | None = None
        self._context = ThreadSensitiveContext()
        SyncToAsync.context_to_thread_executor[self._context] = self
        #: Whether the current attempt has used the thread.
        self.is_used = False

    def enter(self) -> None:
        """Run the calls of the current context, and of the contexts copied from it, here."""
        SyncToAsync.thread_sensitive_context.set(self._context)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a call after the previous ones."""
        self.is_used = True
        self._last = super().submit(fn, *args, **kwargs)
        return self._last

    @property
    def is_started(self) -> bool:
        """Return whether the thread has started."""
        return self._last is not None

    @property
    def is_busy(self) -> bool:
        """Return whether a call is running, for example of a cancelled coroutine."""
        return self._last is not None and not self._last.done()

    def reset(self) -> Future[None]:
        """Reset the connections of the thread after an attempt."""
        resetting = self.submit(database.reset_connections)
        self.is_used = False
        return resetting

    def end(self) -> None:
        """End the thread when its calls have ended. Its connections close then."""
        SyncToAsync.context_to_thread_executor.pop(self._context, None)
        self.shutdown(wait=False)


class _Owner:
    """End a thread together with the thread that uses it."""

    def __init__(self) -> None:
        self.thread = SqlThread()

    def __del__(self) -> None:
        self.thread.end()


class _Current(threading.local):
    """Hold the thread of the attempts that run in the current thread."""

    owner: _Owner | None = None


_current = _Current()


def enter() -> None:
    """Run the `sync_to_async` calls of an attempt in this thread in a thread beside it."""
    if _current.owner is None:
        _current.owner = _Owner()
    _current.owner.thread.enter()


def reset() -> None:
    """Clean up after an attempt in this thread."""
    if _current.owner is None or not _current.owner.thread.is_used:
        return
    if _current.owner.thread.is_busy:
        _current.owner = None
    else:
        with contextlib.suppress(Exception):
            _current.owner.thread.reset().result()


def has_thread() -> bool:
    """Return whether the thread beside this thread has started."""
    return _current.owner is not None and _current.owner.thread.is_started


def end() -> None:
    """End the thread beside this thread."""
    _current.owner = None
