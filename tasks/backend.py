"""Django's Tasks API on TaskMaster: `my_task.enqueue(…)` and the look-up of its result."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from tasks import enqueue as storing
from tasks import submission
from tasks.compat import (
    BaseTaskBackend,
    InvalidTask,
    Task,
    TaskError,
    TaskResult,
    TaskResultDoesNotExist,
    TaskResultStatus,
    task_enqueued,
)
from tasks.errors import InvalidField
from tasks.lifecycle import Status
from tasks.submission import NewTask

_RESULT_STATUS = {
    Status.WAITING: TaskResultStatus.READY,
    Status.PENDING: TaskResultStatus.READY,
    Status.PICKED: TaskResultStatus.READY,
    Status.STARTED: TaskResultStatus.RUNNING,
    Status.COMPLETE: TaskResultStatus.SUCCESSFUL,
    Status.FAILED: TaskResultStatus.FAILED,
    Status.CANCELLED: TaskResultStatus.FAILED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskMasterTask(Task):  # type: ignore[type-arg]
    """A declared task with TaskMaster's own options: `@task(max_attempts=5, timeout=60)`."""

    #: Attempts before it ends failed; the setting `max_attempts` when None.
    max_attempts: int | None = None
    #: Hard time-out of an attempt in seconds, 0 for none; the setting `timeout_s` when None.
    timeout: float | None = None
    #: First and longest pause before a retry in seconds; the settings `retry_base_s` and
    #: `retry_cap_s` when None.
    retry_base: float | None = None
    retry_cap: float | None = None
    #: Exceptions after which it is not tried again, subclasses included.
    no_retry_on: tuple[type[BaseException], ...] = ()
    #: `stop`: its worker stops it when it loses contact, before another may start it.
    on_lost_contact: str | None = None
    #: Tags that each submission carries.
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # A declaration is looked up by its value, so lists become tuples.
        for name in ("tags", "no_retry_on"):
            if isinstance(given := getattr(self, name), list):
                object.__setattr__(self, name, tuple(given))
        Task.__post_init__(self)


class TaskMasterBackend(BaseTaskBackend):
    """Stores tasks in PostgreSQL, in the caller's transaction, for the coordinators to claim."""

    task_class = TaskMasterTask
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def validate_task(self, task: Task[..., Any]) -> None:
        """Raises InvalidTask when the declaration breaks a rule; the registry is asked later."""
        super().validate_task(task)
        try:
            submission.queue_name(task.queue_name)
            submission.attempts(getattr(task, "max_attempts", None))
            submission.timeout(getattr(task, "timeout", None))
            submission.pauses(getattr(task, "retry_base", None), getattr(task, "retry_cap", None))
            submission.lost_contact(getattr(task, "on_lost_contact", None))
            submission.tag_list(getattr(task, "tags", None))
        except InvalidField as error:
            raise InvalidTask(str(error)) from None
        no_retry_on = getattr(task, "no_retry_on", ())
        if not isinstance(no_retry_on, tuple) or not all(
            isinstance(each, type) and issubclass(each, BaseException) for each in no_retry_on
        ):
            raise InvalidTask("no_retry_on: must be a list of exception classes.")

    def enqueue(
        self, task: Task[..., Any], args: list[Any], kwargs: dict[str, Any]
    ) -> TaskResult[Any]:
        """Stores one call. Raises InvalidTask, InvalidField, TooLarge or UnknownTaskName."""
        call = submission.payload(args, kwargs)
        declared = self._declared(task)
        if task.run_after is not None:
            try:
                submission.scheduled_time(task.run_after)
            except InvalidField as error:
                raise InvalidField("run_after", error.rule) from None
        task_id = storing.enqueue(declared, call=call)
        result: TaskResult[Any] = TaskResult(
            task=task,
            id=str(task_id),
            status=TaskResultStatus.READY,
            enqueued_at=datetime.now(UTC),
            started_at=None,
            finished_at=None,
            last_attempted_at=None,
            args=args,
            kwargs=kwargs,
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )
        task_enqueued.send(type(self), task_result=result)
        return result

    @lru_cache(maxsize=1_000)  # noqa: B019 - an alias has one backend for good
    def _declared(self, task: Task[..., Any]) -> NewTask:
        """What the declaration fixes, checked once."""
        self.validate_task(task)
        return submission.parse(storing.declared(task))

    def get_result(self, result_id: str) -> TaskResult[Any]:
        """The stored task as Django sees it. Raises TaskResultDoesNotExist."""
        from tasks.models import Task as StoredTask

        try:
            stored = StoredTask.objects.get(pk=int(result_id))
        except (StoredTask.DoesNotExist, ValueError, TypeError, OverflowError):
            raise TaskResultDoesNotExist(result_id) from None
        return self._result(stored)

    def _result(self, stored: Any) -> TaskResult[Any]:
        from tasks import registry

        try:
            task = registry.get(stored.name)
        except InvalidField:
            # Shell tasks, and what was declared once and is no more, have no callable.
            raise TaskResultDoesNotExist(stored.id) from None
        result: TaskResult[Any] = TaskResult(
            task=task,
            id=str(stored.id),
            status=_RESULT_STATUS[Status(stored.status)],
            enqueued_at=stored.created_at,
            started_at=stored.started_at,
            finished_at=stored.finished_at,
            last_attempted_at=stored.started_at,
            args=stored.args,
            kwargs=stored.kwargs,
            backend=self.alias,
            errors=[_error(entry) for entry in stored.errors],
            worker_ids=_worker_ids(stored),
        )
        # The way in which Django's own backends fill this frozen dataclass.
        object.__setattr__(result, "_return_value", stored.result)
        return result


def _error(entry: dict[str, Any]) -> TaskError:
    return TaskError(
        exception_class_path=entry.get("exception") or "tasks.errors.TaskMasterError",
        traceback=entry.get("traceback") or entry.get("message") or json.dumps(entry),
    )


def _worker_ids(stored: Any) -> list[str]:
    """One worker an attempt: `TaskResult.attempts` is their number."""
    by_attempt = {entry.get("attempt"): entry.get("worker", "") for entry in stored.errors}
    return [by_attempt.get(number, stored.worker) for number in range(1, stored.attempt + 1)]
