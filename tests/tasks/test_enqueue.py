"""Test that tasks are stored with the caller's transaction, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.db import connection, transaction
from django.test import override_settings

from examples.tasks import add, fail
from taskmaster.coordinator.support.database import conninfo
from taskmaster.tasks import wakeup
from taskmaster.tasks.compat import (
    InvalidTask,
    TaskResultDoesNotExist,
    TaskResultStatus,
    task_enqueued,
)
from taskmaster.tasks.enqueue import bulk, new
from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.models import IdleCoordinator, Task
from tests.factories import a_task, in_s

pytestmark = pytest.mark.django_db


def test_enqueue_stores_the_call() -> None:
    result = add.using(queue_name="sums", priority=7).enqueue(1, b=2)
    task = Task.objects.get(pk=int(result.id))
    assert (task.name, task.args, task.kwargs) == ("examples.tasks.add", [1], {"b": 2})
    assert (task.queue, task.priority, task.status) == ("sums", 7, "pending")


def test_a_declaration_keeps_its_options() -> None:
    assert Task.objects.get(pk=int(fail.enqueue().id)).max_attempts == 3


def test_enqueue_at_a_time() -> None:
    when = in_s(60)
    assert Task.objects.get(pk=int(add.using(run_after=when).enqueue(1, 2).id)).scheduled_at == when


def test_a_time_in_the_past_is_due_now() -> None:
    past = in_s(-3_600)
    single = add.using(run_after=past).enqueue(1, 2)
    ids = [int(single.id), *bulk([new(add, 1, 2, scheduled_at=past)])]
    for task in Task.objects.filter(pk__in=ids):
        assert abs(task.scheduled_at - task.created_at) < timedelta(seconds=5)


def test_a_time_without_a_zone_is_in_the_zone_of_a_project_without_zones() -> None:
    noon = datetime(2099, 7, 1, 12)
    with override_settings(USE_TZ=False, TIME_ZONE="Asia/Tokyo"):
        ids = [
            int(add.using(run_after=noon).enqueue(1, 2).id),
            *bulk([new(add, 1, 2, scheduled_at=noon)]),
        ]
    for task in Task.objects.filter(pk__in=ids):
        assert task.scheduled_at == datetime(2099, 7, 1, 3, tzinfo=UTC)


@pytest.mark.parametrize(("args", "kwargs"), [([1], {}), ([1, 2, 3], {}), ([1, 2], {"b": 3})])
def test_a_call_that_does_not_fit_the_signature_is_refused_and_nothing_is_stored(
    args: list[int], kwargs: dict[str, int]
) -> None:
    with pytest.raises(InvalidField, match=r"add\(a, b\)"):
        add.enqueue(*args, **kwargs)
    with pytest.raises(InvalidField, match=r"add\(a, b\)"):
        new(add, *args, task_kwargs=kwargs)
    assert Task.objects.count() == 0


def test_a_rolled_back_transaction_leaves_no_task() -> None:
    with transaction.atomic():
        add.enqueue(1, 2)
        bulk([new(add, 1, 2)] * 3)
        transaction.set_rollback(True)
    assert Task.objects.count() == 0


def test_bulk_keeps_the_order_of_its_ids() -> None:
    ids = bulk([new(add, number, 0) for number in range(100)])
    assert list(
        Task.objects.filter(pk__in=ids).order_by("pk").values_list("args__0", flat=True)
    ) == (list(range(100)))
    assert ids == sorted(ids)


def test_bulk_keeps_texts_that_need_escaping_in_copy() -> None:
    texts = ["\\N", "tab\there", "line\nbreak", '"quoted"', "{braces}", "ünïcode \U0001f600"]
    ids = bulk([new(add, text, 0, tags=[text]) for text in texts])
    stored = Task.objects.filter(pk__in=ids).order_by("pk")
    assert [task.args[0] for task in stored] == texts
    assert [task.tags for task in stored] == [[text] for text in texts]


def test_bulk_and_single_tasks_have_the_same_defaults() -> None:
    single = Task.objects.get(pk=int(add.enqueue(1, 2).id))
    many = Task.objects.get(pk=bulk([new(add, 1, 2)])[0])
    fields = ("name", "args", "kwargs", "queue", "priority", "status", "max_attempts", "timeout_s")
    assert [getattr(single, field) for field in fields] == [
        getattr(many, field) for field in fields
    ]


def test_an_empty_bulk_is_refused() -> None:
    with pytest.raises(InvalidField, match="at least one"):
        bulk([])


def test_arguments_that_are_not_json_are_refused_and_nothing_is_stored() -> None:
    with pytest.raises(InvalidField, match="args: is not valid JSON"):
        add.enqueue(object(), 2)
    assert Task.objects.count() == 0


def test_a_queue_name_too_long_is_refused_at_the_declaration() -> None:
    with pytest.raises(InvalidTask, match="the limit is 64"):
        add.using(queue_name="q" * 65)


def test_a_result_is_looked_up_by_its_id() -> None:
    found = add.get_result(add.enqueue(1, 2).id)
    assert (found.status, found.args, found.attempts) == (TaskResultStatus.READY, [1, 2], 0)


@pytest.mark.parametrize("result_id", ["0", "no number", "99999999999999999999999"])
def test_an_unknown_result_does_not_exist(result_id: str) -> None:
    with pytest.raises(TaskResultDoesNotExist):
        add.get_result(result_id)


def test_the_signal_is_sent() -> None:
    received: list[str] = []

    def receive(task_result: object, **_: object) -> None:
        received.append(task_result.id)  # type: ignore[attr-defined]

    task_enqueued.connect(receive)
    try:
        result = add.enqueue(1, 2)
    finally:
        task_enqueued.disconnect(receive)
    assert received == [result.id]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("sleeping", [True, False])
def test_only_an_idle_coordinator_is_notified(sleeping: bool) -> None:
    wakeup.clear_cache()
    if sleeping:
        IdleCoordinator.objects.create(coordinator="00000000-0000-0000-0000-000000000001")
    with psycopg.connect(conninfo(), autocommit=True) as listener:
        listener.execute("LISTEN taskmaster_wake")
        with transaction.atomic():
            bulk([a_task()])
            connection.cursor().execute("SELECT 1")
        received = list(listener.notifies(timeout=1.0 if sleeping else 0.2, stop_after=1))
    assert len(received) == int(sleeping)


@pytest.mark.django_db(transaction=True)
def test_absence_of_idle_coordinators_is_cached_briefly() -> None:
    wakeup.clear_cache()
    bulk([a_task()])
    IdleCoordinator.objects.create(coordinator="00000000-0000-0000-0000-000000000001")
    with psycopg.connect(conninfo(), autocommit=True) as listener:
        listener.execute("LISTEN taskmaster_wake")
        # Wait as long as the cached "no coordinator is idle" is valid.
        assert not list(listener.notifies(timeout=wakeup.NO_IDLE_CACHE_S))
        bulk([a_task()])
        assert len(list(listener.notifies(timeout=2.0, stop_after=1))) == 1
