"""Run one attempt in a thread, with a context and connections of its own."""

from __future__ import annotations

import contextvars
import decimal

from taskmaster.workers.daemon.child import database, sql_thread
from taskmaster.workers.daemon.child.output_capture import (
    CapturedAttempt,
    context_attempt,
    flush_streams,
)
from taskmaster.workers.daemon.child.slot_state import SlotState
from taskmaster.workers.daemon.child.task_runner import TaskRunner
from taskmaster.workers.daemon.messages import Raised, RunTask, Succeeded


def run(
    request: RunTask,
    task_runner: TaskRunner,
    state: SlotState,
    captured: CapturedAttempt | None = None,
) -> Succeeded | Raised:
    """Execute a sync or async task in this thread, and clean the thread afterwards.

    `captured` is the attempt of this thread's output, if the child runs several.
    """
    # Context variables hold the active language and time zone, among others.
    report = contextvars.copy_context().run(_run, request, task_runner, state, captured)
    state.restore_thread()
    sql_thread.reset()
    database.reset_connections()
    return report


def _run(
    request: RunTask, task_runner: TaskRunner, state: SlotState, captured: CapturedAttempt | None
) -> Succeeded | Raised:
    decimal.setcontext(state.fresh_decimal_context())
    sql_thread.enter()
    context_attempt.set(captured)
    report = task_runner.run(request)
    if captured is not None and captured.lines:
        flush_streams()
    return report


def has_connections() -> bool:
    """Return whether attempts in this thread may have left connections open."""
    return database.has_connections() or sql_thread.has_thread()


def close_connections() -> None:
    """Close the connections that attempts in this thread have left open."""
    database.close_connections()
    sql_thread.end()
