"""One attempt of a Python task: from its arguments to the message that says how it ended."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import inspect
import json
import re
import time
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from tasks import compat, registry
from tasks.conf import settings
from tasks.errors import InvalidField, TaskMasterError
from tasks.retries import Discard, Retry

if TYPE_CHECKING:
    from tasks.compat import Task, TaskResult

_TRACEBACK_MAX = 16_384
_MESSAGE_MAX = 1_000
#: The escape of U+0000 in JSON text, behind an even number of backslashes.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class UnusableResult(TaskMasterError):
    """The task returned what cannot be stored."""


class Call(NamedTuple):
    """The message `run`, see `workers.daemon.child`."""

    do: str
    id: int
    name: str
    args: str
    kwargs: str
    task_id: int
    attempt: int
    created_at_us: int
    queue: str
    priority: int


class Prepared(NamedTuple):
    """A call with its callable. `result` is there when somebody will look at it."""

    task: Task[..., Any]
    args: list[Any]
    kwargs: dict[str, Any]
    result: TaskResult[Any] | None


class Executor:
    """Runs calls for one child."""

    def __init__(self, worker: str) -> None:
        self._worker = worker
        self._result_max = settings().result_max_bytes
        _silence_signal_logs()

    def is_async(self, call: Call) -> bool:
        """Whether the call's task is a coroutine function."""
        try:
            return inspect.iscoroutinefunction(registry.get(call.name).func)
        except TaskMasterError:
            return False

    def run(self, call: Call) -> list[Any]:
        """Executes a task, sync or async, in this thread; whatever it raises is its message."""
        started, prepared = _now_us(), None
        try:
            prepared = self._prepare(call, started)
            value = prepared.task.func(*prepared.args, **prepared.kwargs)
            if inspect.iscoroutine(value):
                value = asyncio.run(value)
            return self._done(call, prepared, started, value)
        except BaseException as error:
            return self._failed(call, prepared, started, error)

    async def run_async(self, call: Call) -> list[Any]:
        """Executes an async task in this loop."""
        started, prepared = _now_us(), None
        try:
            prepared = self._prepare(call, started)
            value = await prepared.task.func(*prepared.args, **prepared.kwargs)
            return self._done(call, prepared, started, value)
        except BaseException as error:
            return self._failed(call, prepared, started, error)

    def _prepare(self, call: Call, started_us: int) -> Prepared:
        task = registry.get(call.name)
        args = json.loads(call.args) if call.args else []
        kwargs = json.loads(call.kwargs) if call.kwargs else {}
        watched = compat.task_started.receivers or compat.task_finished.receivers
        if not (task.takes_context or watched):
            return Prepared(task, args, kwargs, None)
        result = self._result(task, call, args, kwargs, started_us)
        if watched:
            compat.task_started.send_robust(type(task.get_backend()), task_result=result)
        if task.takes_context:
            args = [compat.TaskContext(task_result=result), *args]
        return Prepared(task, args, kwargs, result)

    def _result(
        self, task: Task[..., Any], call: Call, args: list[Any], kwargs: dict[str, Any], now: int
    ) -> TaskResult[Any]:
        """The result as Django's API shows it to a running task."""
        started = _datetime(now)
        return compat.TaskResult(
            task=dataclasses.replace(task, priority=call.priority, queue_name=call.queue),
            id=str(call.task_id),
            status=compat.TaskResultStatus.RUNNING,
            enqueued_at=_datetime(call.created_at_us),
            started_at=started,
            finished_at=None,
            last_attempted_at=started,
            args=args,
            kwargs=kwargs,
            backend=task.backend,
            errors=[],
            # The number of entries is the number of the attempt.
            worker_ids=[self._worker] * call.attempt,
        )

    def _done(self, call: Call, prepared: Prepared, started: int, value: object) -> list[Any]:
        text = "" if value is None else self._dump(value)
        finished = _now_us()
        if prepared.result is not None:
            _announce(prepared.result, finished, value=value)
        return ["done", call.id, started, finished, text]

    def _failed(
        self, call: Call, prepared: Prepared | None, started: int, error: BaseException
    ) -> list[Any]:
        finished = _now_us()
        path = f"{type(error).__module__}.{type(error).__qualname__}"
        text = _traceback(error)
        if prepared is not None and prepared.result is not None:
            said = compat.TaskError(exception_class_path=path, traceback=text)
            _announce(prepared.result, finished, error=said)
        after_s = error.after_s if isinstance(error, Retry) else None
        return [
            "failed", call.id, started, finished, path, _message(error), text,
            _is_final(prepared, error), after_s,
        ]  # fmt: skip

    def _dump(self, value: object) -> str:
        """The JSON text of a result. Raises UnusableResult."""
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
                "The result holds half a surrogate pair, which cannot be stored."
            ) from None
        except (TypeError, ValueError, RecursionError) as error:
            raise UnusableResult(f"The result is no JSON: {error}.") from None
        if "\\u0000" in text and _NUL.search(text):
            raise UnusableResult("The result holds U+0000, which cannot be stored.")
        if size > self._result_max:
            raise UnusableResult(
                f"The result takes {size:,} bytes of JSON; at most {self._result_max:,} are "
                "allowed (result_max_bytes)."
            )
        return text


def _is_final(prepared: Prepared | None, error: BaseException) -> bool:
    """Whether another attempt would be in vain."""
    if prepared is None:
        # A name does not get better by trying again.
        return isinstance(error, InvalidField)
    no_retry_on = getattr(prepared.task, "no_retry_on", ())
    return isinstance(error, (UnusableResult, Discard, *no_retry_on))


def _announce(
    result: TaskResult[Any], finished_us: int, *, value: object = None, error: Any = None
) -> None:
    """Sends `task_finished`. The way in which Django's own backends fill this frozen class."""
    status = compat.TaskResultStatus.FAILED if error else compat.TaskResultStatus.SUCCESSFUL
    object.__setattr__(result, "status", status)
    object.__setattr__(result, "finished_at", _datetime(finished_us))
    if error:
        result.errors.append(error)
    else:
        object.__setattr__(result, "_return_value", value)
    compat.task_finished.send_robust(type(result.task.get_backend()), task_result=result)


def _silence_signal_logs() -> None:
    """Django's own receivers only log what TaskMaster records; with them every task would pay."""
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
    """The newest 16 kB, from the task's own frame on."""
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
