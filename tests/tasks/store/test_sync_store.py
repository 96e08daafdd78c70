"""Test how statements are sent on Django's connection, and which changes their guards allow."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection, transaction

from taskmaster.tasks.lifecycle import LEGAL, Status, Transition
from taskmaster.tasks.messages import ChangedTask, EndedTasks
from taskmaster.tasks.models import Statistic, Task
from taskmaster.tasks.store import sync_store as store
from tests.factories import a_task, in_s, stored

pytestmark = pytest.mark.django_db

TRANSITIONS: dict[Transition, Callable[[list[int]], list[ChangedTask]]] = {
    Transition.CANCEL: store.cancel_tasks,
    Transition.RETRY: store.retry_tasks,
    Transition.RESCHEDULE: lambda ids: store.reschedule_tasks(ids, in_s(60)),
    Transition.REQUEUE: lambda ids: store.requeue_tasks(ids, queue="mail", priority=3),
}


def of_every_status() -> dict[Status, int]:
    """Store one task of each status. Return them by status."""
    tasks = dict(zip(Status, stored(len(Status)), strict=True))
    for status, task_id in tasks.items():
        Task.objects.filter(pk=task_id).update(status=status, attempt=1)
    return tasks


@pytest.mark.parametrize("transition", TRANSITIONS)
def test_a_transition_changes_the_tasks_whose_status_allows_it(transition: Transition) -> None:
    tasks = of_every_status()
    changed = {each.task_id for each in TRANSITIONS[transition](list(tasks.values()))}
    assert changed == {tasks[status] for status in Status if transition in LEGAL[status]}
    for status, task_id in tasks.items():
        assert Task.objects.get(pk=task_id).status in LEGAL[status].get(transition, {status})


def test_a_change_names_the_task_and_the_status_that_it_had() -> None:
    tasks = of_every_status()
    [retried] = store.retry_tasks([tasks[Status.FAILED]])
    assert retried == (tasks[Status.FAILED], "shell", "default", "failed", "", None)
    [cancelled] = store.cancel_tasks([tasks[Status.STARTED]])
    assert cancelled == ChangedTask(tasks[Status.STARTED], "shell", "default")


def test_only_finished_tasks_are_deleted() -> None:
    tasks = of_every_status()
    deleted = store.delete_tasks(list(tasks.values()))
    assert {each.task_id: each.before for each in deleted} == {
        tasks[status]: status for status in Status if status.finished
    }
    assert Task.objects.count() == len(Status) - len(deleted)


def test_requeue_keeps_what_is_not_given() -> None:
    [task_id] = stored(queue="mail", priority=7)
    store.requeue_tasks([task_id], priority=1)
    task = Task.objects.get(pk=task_id)
    assert (task.queue, task.priority) == ("mail", 1)


def test_the_insert_is_a_prepared_statement() -> None:
    # psycopg prepares a statement when it runs the sixth time.
    for _ in range(6):
        store.insert_task(a_task())
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_prepared_statements "
            "WHERE statement LIKE '%INSERT INTO taskmaster_tasks_task%'"
        )
        assert cursor.fetchone() == (1,)


def test_a_call_replaces_the_arguments_of_the_declaration() -> None:
    call = ("[1]", '{"b":2}')
    task_id = store.insert_task(a_task(), call=call, created_by_id=7)
    task = Task.objects.get(pk=task_id)
    assert (task.args, task.kwargs, task.created_by_id) == ([1], {"b": 2}, 7)


def test_an_insert_and_a_copy_store_the_same_row() -> None:
    own = {"id", "created_at"}
    fields = [each.attname for each in Task._meta.fields if each.attname not in own]
    task = a_task(queue="mail", tags=("a", "b"), scheduled_at=in_s(60), on_lost_contact="stop")
    with transaction.atomic():
        inserted = store.insert_task(task, created_by_id=7)
        [copied] = store.reserve_task_ids(1, using="default")
        store.copy_tasks([copied], [task], created_by_id=7, using="default")
    rows = Task.objects.filter(pk__in=[inserted, copied]).values_list(*fields)
    assert len(rows) == 2
    assert rows[0] == rows[1]


def test_nothing_ended_adds_no_statistics() -> None:
    before = Statistic.objects.count()
    store.record_completions(EndedTasks(), using="default")
    assert Statistic.objects.count() == before
    store.record_completions(EndedTasks(cancelled=2), using="default")
    store.record_completions(EndedTasks(cancelled=-1), using="default")
    [row] = Statistic.objects.order_by("-at")[:1]
    assert row.cancelled == 1


def test_a_key_is_taken_once_within_its_life() -> None:
    assert store.take_idempotency_key(1, "k", "first", kept_s=60)
    assert not store.take_idempotency_key(1, "k", "second", kept_s=60)
    assert store.take_idempotency_key(2, "k", "second", kept_s=60)
