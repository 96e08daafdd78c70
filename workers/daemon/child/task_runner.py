"""Execute one attempt of a Python task and report its end."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import inspect
import json
import os
import time
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from taskmaster.tasks import compat, json_rules, registry
from taskmaster.tasks.conf import settings
from taskmaster.tasks.current import CurrentTask, enter_task, leave_task
from taskmaster.tasks.errors import InvalidField, TaskMasterError
from taskmaster.tasks.retries import Discard, Retry
from taskmaster.workers.daemon.child import forks
from taskmaster.workers.daemon.messages import Raised, RunTask, Succeeded

if TYPE_CHECKING:
    from taskmaster.tasks.compat import Task, TaskResult

_TRACEBACK_MAX = 16_384
_MESSAGE_MAX = 1_000


class UnusableResult(TaskMasterError):
    """Raised when a task returned a value that cannot be stored."""


class PreparedCall(NamedTuple):
    """Hold a call with its task and decoded arguments.

    `result` is set only if the task takes a context or a task signal has receivers.
    """

    task: Task[..., Any]
    args: list[Any]
    kwargs: dict[str, Any]
    result: TaskResult[Any] | None


class TaskRunner:
    """Run the tasks of one child."""

    def __init__(self, worker: str) -> None:
        self._worker = worker
        self._pid = os.getpid()
        self._result_max = settings().result_max_bytes
        _silence_signal_logs()

    def is_async(self, request: RunTask) -> bool:
        """Return whether the requested task is a coroutine function."""
        try:
            return inspect.iscoroutinefunction(registry.get(request.name).func)
        except TaskMasterError:
            return False

    def run(self, request: RunTask) -> Succeeded | Raised:
        """Execute a sync or async task in this thread and report its end.

        An exception of the task is reported, too.
        """
        started, prepared = _now_us(), None
        token = enter_task(_current_task(request))
        try:
            prepared = self._prepare(request, started)
            value = prepared.task.func(*prepared.args, **prepared.kwargs)
            if inspect.iscoroutine(value):
                value = asyncio.run(value)
            self._exit_fork(None)
            return self._succeeded(request, prepared, started, value)
        except BaseException as error:
            self._exit_fork(error)
            return self._raised(request, prepared, started, error)
        finally:
            leave_task(token)

    async def run_async(self, request: RunTask) -> Succeeded | Raised:
        """Execute an async task in this event loop and report its end."""
        started, prepared = _now_us(), None
        token = enter_task(_current_task(request))
        try:
            prepared = self._prepare(request, started)
            value = await prepared.task.func(*prepared.args, **prepared.kwargs)
            self._exit_fork(None)
            return self._succeeded(request, prepared, started, value)
        except BaseException as error:
            self._exit_fork(error)
            return self._raised(request, prepared, started, error)
        finally:
            leave_task(token)

    def _exit_fork(self, error: BaseException | None) -> None:
        """End this process if the task has forked it. The attempt ends in the child."""
        if os.getpid() != self._pid:
            forks.exit_fork(error)

    def _prepare(self, request: RunTask, started_us: int) -> PreparedCall:
        """Find the task, decode its arguments, and send `task_started`."""
        task = registry.get(request.name)
        args, kwargs = _arguments(request)
        has_receivers = compat.task_started.receivers or compat.task_finished.receivers
        if not (task.takes_context or has_receivers):
            return PreparedCall(task, args, kwargs, None)
        result = self._result(task, request, args, kwargs, started_us)
        if has_receivers:
            compat.task_started.send_robust(type(task.get_backend()), task_result=result)
        if task.takes_context:
            args = [compat.TaskContext(task_result=result), *args]
        return PreparedCall(task, args, kwargs, result)

    def _result(
        self,
        task: Task[..., Any],
        request: RunTask,
        args: list[Any],
        kwargs: dict[str, Any],
        started_us: int,
    ) -> TaskResult[Any]:
        """Build the result object that Django's task API shows to a running task."""
        started = _datetime(started_us)
        return compat.TaskResult(
            task=dataclasses.replace(task, priority=request.priority, queue_name=request.queue),
            id=str(request.task_id),
            status=compat.TaskResultStatus.RUNNING,
            enqueued_at=_datetime(request.created_at_us),
            started_at=started,
            finished_at=None,
            last_attempted_at=started,
            args=args,
            kwargs=kwargs,
            backend=task.backend,
            errors=[],
            # Django derives the attempt number from the number of entries.
            worker_ids=[self._worker] * request.number,
        )

    def _succeeded(
        self, request: RunTask, prepared: PreparedCall, started: int, value: object
    ) -> Succeeded | Raised:
        text = "" if value is None else self._dump(value)
        finished = _now_us()
        if prepared.result is not None:
            _send_task_finished(prepared.result, finished, value=value)
        return Succeeded(request.id, started, finished, text)

    def _raised(
        self, request: RunTask, prepared: PreparedCall | None, started: int, error: BaseException
    ) -> Raised:
        finished = _now_us()
        path = f"{type(error).__module__}.{type(error).__qualname__}"
        text = _traceback(error)
        if prepared is not None and prepared.result is not None:
            task_error = compat.TaskError(exception_class_path=path, traceback=text)
            _send_task_finished(prepared.result, finished, error=task_error)
        after_s = error.after_s if isinstance(error, Retry) else None
        return Raised(
            request.id,
            started,
            finished,
            path,
            _message(error),
            text,
            _is_final(prepared, error),
            after_s,
        )

    def _dump(self, value: object) -> str:
        """Serialize a result to JSON text. Raises UnusableResult."""
        try:
            text = json.dumps(
                compat.normalize_json(value),
                allow_nan=False,
                ensure_ascii=False,
                separators=(",", ":"),
            )
            size = len(text.encode())
        except UnicodeEncodeError:
            raise UnusableResult(
                "The result contains a lone surrogate, which cannot be stored."
            ) from None
        except (TypeError, ValueError, RecursionError) as error:
            raise UnusableResult(f"The result cannot be converted to JSON: {error}.") from None
        if json_rules.has_nul(text):
            raise UnusableResult("The result contains U+0000, which cannot be stored.")
        if json_rules.is_too_deep(text):
            raise UnusableResult(
                f"The result is nested more than {json_rules.MAX_DEPTH} levels deep."
            )
        if size > self._result_max:
            raise UnusableResult(
                f"The result is {size:,} bytes of JSON; the limit is {self._result_max:,} "
                "(setting result_max_bytes)."
            )
        return text


def _current_task(request: RunTask) -> CurrentTask:
    due_us = request.scheduled_for_us
    return CurrentTask(request.task_id, request.number, _datetime(due_us) if due_us else None)


def _arguments(request: RunTask) -> tuple[list[Any], dict[str, Any]]:
    """Decode the arguments. Raises InvalidField.

    Submissions are checked, but a row may have been inserted by SQL.
    """
    try:
        args = json.loads(request.args) if request.args else []
        kwargs = json.loads(request.kwargs) if request.kwargs else {}
    except (ValueError, RecursionError) as error:
        raise InvalidField("args, kwargs", f"cannot be decoded: {error}.") from None
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise InvalidField("args, kwargs", "must be a JSON list and a JSON object.")
    return args, kwargs


def _is_final(prepared: PreparedCall | None, error: BaseException) -> bool:
    """Return whether the task must not be attempted again."""
    if prepared is None:
        # An unknown name or invalid field fails again at every attempt.
        return isinstance(error, InvalidField)
    no_retry_on = getattr(prepared.task, "no_retry_on", ())
    return isinstance(error, (UnusableResult, Discard, *no_retry_on))


def _send_task_finished(
    result: TaskResult[Any], finished_us: int, *, value: object = None, error: Any = None
) -> None:
    """Send `task_finished`.

    The result class is frozen. Django's own backends set its fields in the same way.
    """
    status = compat.TaskResultStatus.FAILED if error else compat.TaskResultStatus.SUCCESSFUL
    object.__setattr__(result, "status", status)
    object.__setattr__(result, "finished_at", _datetime(finished_us))
    if error:
        result.errors.append(error)
    else:
        object.__setattr__(result, "_return_value", value)
    compat.task_finished.send_robust(type(result.task.get_backend()), task_result=result)


def _silence_signal_logs() -> None:
    """Disconnect Django's own receivers of the task signals.

    They only log facts that TaskMaster records, and would make every task build a result object.
    """
    package = compat.Task.__module__.rpartition(".")[0]
    signals = importlib.import_module(f"{package}.signals")
    for signal, name in (
        (compat.task_started, "log_task_started"),
        (compat.task_finished, "log_task_finished"),
    ):
        signal.disconnect(getattr(signals, name, None))


def _message(error: BaseException) -> str:
    try:
        first = str(error).strip().partition("\n")[0]
    except Exception:
        first = "(its message cannot be shown)"
    if not isinstance(error, TaskMasterError | Retry | Discard):
        name = type(error).__name__
        first = f"{name}: {first}" if first else name
    return _unicode(first[:_MESSAGE_MAX])


def _traceback(error: BaseException) -> str:
    """Return the newest 16 kB of the traceback, starting at the task's own frame."""
    frames = error.__traceback__.tb_next if error.__traceback__ else None
    try:
        text = "".join(traceback.format_exception(type(error), error, frames))
    except Exception:
        text = f"{type(error).__qualname__} (its traceback cannot be shown)"
    return _unicode(text[-_TRACEBACK_MAX:])


def _unicode(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _now_us() -> int:
    return time.time_ns() // 1_000


def _datetime(us: int) -> datetime:
    return datetime.fromtimestamp(us / 1e6, UTC)
