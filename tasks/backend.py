"""Implement a backend of Django's Tasks API: `my_task.enqueue(…)` and the look-up of results."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from taskmaster.tasks import submission
from taskmaster.tasks.compat import (
    BaseTaskBackend,
    Task,
    TaskError,
    TaskResult,
    TaskResultDoesNotExist,
    TaskResultStatus,
    task_enqueued,
)
from taskmaster.tasks.declaration import TaskMasterTask, parse_declared
from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.lifecycle import Status
from taskmaster.tasks.messages import NewTask
from taskmaster.tasks.payload import payload
from taskmaster.tasks.signatures import check_call
from taskmaster.tasks.store import sync_store as store
from taskmaster.tasks.wakeup import wake_on_commit

_RESULT_STATUS = {
    Status.WAITING: TaskResultStatus.READY,
    Status.PENDING: TaskResultStatus.READY,
    Status.PICKED: TaskResultStatus.READY,
    Status.STARTED: TaskResultStatus.RUNNING,
    Status.COMPLETE: TaskResultStatus.SUCCESSFUL,
    Status.FAILED: TaskResultStatus.FAILED,
    Status.CANCELLED: TaskResultStatus.FAILED,
}


class TaskMasterBackend(BaseTaskBackend):
    """Store tasks in PostgreSQL, in the caller's transaction. Coordinators claim them there."""

    task_class = TaskMasterTask
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def validate_task(self, task: Task[..., Any]) -> None:
        """Raise InvalidTask if the declaration breaks a rule.

        The name is not looked up in the registry here. That happens when a call is enqueued.
        """
        super().validate_task(task)
        parse_declared({"queue_name": task.queue_name, "run_after": task.run_after})

    def enqueue(
        self, task: Task[..., Any], args: list[Any], kwargs: dict[str, Any]
    ) -> TaskResult[Any]:
        """Store one call. Raise InvalidTask, InvalidField, TooLarge or UnknownTaskName."""
        call = payload(args, kwargs)
        check_call(task, args, kwargs)
        template = self._template(task)
        task_id = store.insert_task(template, call=call)
        wake_on_commit()
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

    @lru_cache(maxsize=1_000)  # noqa: B019 - backends live as long as the process
    def _template(self, task: Task[..., Any]) -> NewTask:
        """Return the submission of the declaration, without arguments. Validate it once."""
        self.validate_task(task)
        return submission.without_arguments(task)

    def get_result(self, result_id: str) -> TaskResult[Any]:
        """Return the stored task as Django's TaskResult. Raise TaskResultDoesNotExist."""
        from taskmaster.tasks.models import Task as StoredTask

        try:
            stored = StoredTask.objects.get(pk=int(result_id))
        except (StoredTask.DoesNotExist, ValueError, TypeError, OverflowError):
            raise TaskResultDoesNotExist(result_id) from None
        return self._result(stored)

    def _result(self, stored: Any) -> TaskResult[Any]:
        from taskmaster.tasks import registry

        try:
            task = registry.get(stored.name)
        except InvalidField:
            # Shell tasks and tasks whose declaration was removed have no callable.
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
        # TaskResult is a frozen dataclass. Django's own backends set this field the same way.
        object.__setattr__(result, "_return_value", stored.result)
        return result


def _error(entry: dict[str, Any]) -> TaskError:
    return TaskError(
        exception_class_path=entry.get("exception") or "taskmaster.tasks.errors.TaskMasterError",
        traceback=entry.get("traceback") or entry.get("message") or json.dumps(entry),
    )


def _worker_ids(stored: Any) -> list[str]:
    """Return one worker for each attempt. Django derives `TaskResult.attempts` from the length."""
    by_attempt = {entry.get("attempt"): entry.get("worker", "") for entry in stored.errors}
    return [by_attempt.get(number, stored.worker) for number in range(1, stored.attempt + 1)]
