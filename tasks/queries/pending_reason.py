"""Explain in one sentence why a task is not running.

The coordinators store the capacity of their workers when it changes, at most once a second
(`QueueState`). The sentences state only facts that these figures prove. The figures may be a second
old, and their coordinator may be dead.
"""

from __future__ import annotations

from django.db import DEFAULT_DB_ALIAS

from taskmaster.tasks.fleet import CAPACITY_AGE_MAX_S
from taskmaster.tasks.lifecycle import Status
from taskmaster.tasks.messages import QueueName, QueueOutlook
from taskmaster.tasks.models import Task
from taskmaster.tasks.queries.pauses import find_pause
from taskmaster.tasks.store import sync_store as store
from taskmaster.tasks.templatetags.taskmaster import duration

#: Limit of the count of tasks that are claimed before a task.
COUNT_MAX = 1_000


def explain_pending(task: Task) -> str | None:
    """Return a sentence why the task is not running, or None if it runs or has ended."""
    using = task._state.db or DEFAULT_DB_ALIAS
    match task.status:
        case Status.WAITING:
            return _waiting(task, using)
        case Status.PENDING:
            pause = find_pause(task.queue, task.name, using=using)
            if pause is not None:
                return pause.sentence
            return _pending(task, _outlook(task, using), using)
        case Status.PICKED:
            return _picked(task, _outlook(task, using))
        case _:
            return None


def _waiting(task: Task, using: str) -> str:
    if is_known(task, using):
        return f"A worker that knows {task.name} has connected; the task is pending again soon."
    return _no_worker_knows(task, using)


def _no_worker_knows(task: Task, using: str) -> str:
    if task.name in store.list_known_names(silence_s=CAPACITY_AGE_MAX_S, using=using):
        return f"No connected worker that serves the queue `{task.queue}` knows {task.name}."
    return f"No connected worker knows {task.name}."


def is_known(task: Task, using: str) -> bool:
    """Return whether a connected worker of the queue knows the name of the task."""
    wanted = {QueueName(task.queue, task.name)}
    return bool(store.filter_known_names(wanted, silence_s=CAPACITY_AGE_MAX_S, using=using))


def is_unknown_to_some(task: Task, using: str) -> bool:
    """Return whether a connected worker of the queue does not know the name of the task.

    Then the free slots of the queue do not prove that one of them can take the task.
    """
    return store.has_worker_without_name(
        task.queue, task.name, silence_s=CAPACITY_AGE_MAX_S, using=using
    )


def _outlook(task: Task, using: str) -> QueueOutlook:
    return store.read_queue_outlook(
        task.queue, task.scheduled_at, task.coordinator, silence_s=CAPACITY_AGE_MAX_S, using=using
    )


def _pending(task: Task, outlook: QueueOutlook, using: str) -> str:
    if outlook.due_in_s > 0:
        due = duration(outlook.due_in_s)
        return _between_attempts(task, due) or f"The task is due in {due}."
    if not outlook.coordinators:
        return (
            f"No coordinator seems to be running: none has reported for {CAPACITY_AGE_MAX_S:.0f} s."
        )
    if not outlook.workers:
        return f"No worker serves the queue `{task.queue}`."
    if not is_known(task, using):
        return _no_worker_knows(task, using)
    return _waits_for_slot(task, outlook, using)


def _waits_for_slot(task: Task, outlook: QueueOutlook, using: str) -> str:
    if not outlook.free:
        return f"{_no_free_slot(task.queue, outlook)}; {_tasks_ahead(task, using)}."
    if is_unknown_to_some(task, using):
        return (
            f"The task waits for a free slot of a worker that knows {task.name}; "
            f"other workers that serve the queue `{task.queue}` do not know it."
        )
    return "The task is due and waits to be claimed."


def _picked(task: Task, outlook: QueueOutlook) -> str:
    if not outlook.holder_lives:
        return (
            f"The coordinator that holds the task has not reported for {CAPACITY_AGE_MAX_S:.0f} s."
        )
    if outlook.due_in_s > 0:
        due = duration(outlook.due_in_s)
        return (
            _between_attempts(task, due)
            or f"A coordinator holds the task until it is due in {due}."
        )
    return "A coordinator has claimed the task; no worker has accepted it yet."


def _between_attempts(task: Task, due: str) -> str | None:
    """Return how the newest attempt failed and when the next is due, or None if none failed."""
    if not task.attempt or not task.errors or task.errors[-1].get("attempt") != task.attempt:
        return None
    lost = task.errors[-1].get("class") == "lost"
    outcome = "was lost with its worker" if lost else "failed"
    return f"Attempt {task.attempt} of {task.max_attempts} {outcome}; the next is due in {due}."


def _no_free_slot(queue: str, outlook: QueueOutlook) -> str:
    """Return that no slot is free. A slot can be reserved without being busy."""
    slots, workers = outlook.slots, outlook.workers
    if slots == 1:
        return f"The only slot of the worker that serves `{queue}` is not free"
    served = "worker that serves" if workers == 1 else f"{workers:,} workers that serve"
    return f"None of the {slots:,} slots of the {served} `{queue}` is free"


def _tasks_ahead(task: Task, using: str) -> str:
    count = store.count_tasks_ahead(
        task.pk,
        queue=task.queue,
        priority=task.priority,
        scheduled_at=task.scheduled_at,
        limit=COUNT_MAX + 1,
        using=using,
    )
    if not count:
        return "the task is the next in its queue"
    if count == 1:
        return "1 task in the queue is ahead of it"
    many = f"more than {COUNT_MAX:,}" if count > COUNT_MAX else f"{count:,}"
    return f"{many} tasks in the queue are ahead of it"
