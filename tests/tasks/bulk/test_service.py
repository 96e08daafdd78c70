"""Test preview, confirm and cancel: permissions, counts and refusals."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from taskmaster.tasks.bulk import service
from taskmaster.tasks.bulk.request import parse
from taskmaster.tasks.bulk.selection import changeable, count, select_tasks
from taskmaster.tasks.errors import (
    IllegalTransition,
    InvalidField,
    NotAllowed,
    OperationNotFound,
    TooLarge,
)
from taskmaster.tasks.models import Operation, Task
from taskmaster.tasks.queries.search import newest_id
from tests.factories import in_s, stored, user_with
from tests.tasks.bulk.sample import an_operation, in_status

pytestmark = pytest.mark.django_db

CHANGE, VIEW = "taskmaster_tasks.change_task", "taskmaster_tasks.view_task"


def preview(action: str = "cancel", user: Any = None, **fields: object) -> Operation:
    return service.preview(parse({"action": action, "filter": {}, **fields}), user)


def test_a_preview_counts_what_the_action_can_change() -> None:
    in_status("pending", 3)
    in_status("complete", 2)
    in_status("failed")
    assert preview("cancel").total == 3
    assert preview("retry").total == 1
    assert preview("delete").total == 3
    assert preview("set_queue", queue="mail").total == 3


def test_only_tasks_that_are_not_due_can_be_run_now() -> None:
    stored(2, scheduled_at=in_s(3600))
    stored(3)
    assert preview("run_now").total == 2


def test_a_preview_accepts_the_filters_of_the_list() -> None:
    in_status("failed", 2, queue="mail", tags=["nightly"])
    in_status("cancelled", 1, queue="mail")
    in_status("failed", 1, queue="reports")
    many = {"queue": "mail", "status": ["failed", "cancelled"]}
    assert preview("retry", filter=many).total == 3
    assert preview("retry", filter={"status": "failed,cancelled", "tag": "nightly"}).total == 2
    assert preview("retry", filter={"created_before": "2020-01-01T00:00:00Z"}).total == 0


def test_a_preview_of_listed_tasks_counts_those_that_can_be_changed() -> None:
    [pending], [complete] = in_status("pending"), in_status("complete")
    operation = service.preview(
        parse({"action": "cancel", "ids": [complete, pending, pending, 2**62]}), None
    )
    assert operation.total == 1
    assert operation.ids == [pending, complete, 2**62]


@pytest.mark.parametrize(
    ("fields", "field", "rule"),
    [
        ({}, "action", "must be one of cancel, retry, run_now, set_queue"),
        ({"action": "explode"}, "action", "must be one of"),
        ({"action": ["cancel"]}, "action", "must be one of"),
        ({"action": "cancel"}, "filter", "exactly one of filter and ids is required"),
        ({"action": "cancel", "filter": {}, "ids": [1]}, "filter", "exactly one of"),
        ({"action": "cancel", "filter": []}, "filter", "must be an object"),
        (
            {"action": "cancel", "filter": {"stauts": "x"}},
            "filter.stauts",
            "valid filters are created_",
        ),
        ({"action": "cancel", "filter": {"cursor": "x"}}, "filter.cursor", "unknown filter"),
        ({"action": "cancel", "filter": {"status": "x"}}, "filter.status", "x is not one of"),
        ({"action": "cancel", "filter": {"queue": ""}}, "filter.queue", "non-empty"),
        (
            {"action": "cancel", "filter": {"queue": None}},
            "filter.queue",
            "must be a non-empty string",
        ),
        ({"action": "cancel", "filter": {"queue": "\0"}}, "filter.queue", "Null characters"),
        ({"action": "cancel", "filter": {"status": []}}, "filter.status", "non-empty"),
        ({"action": "cancel", "filter": {"created_after": "5"}}, "filter.created_after", "a time"),
        ({"action": "retry", "filter": {"status": "started"}}, "filter.status", "only failed and"),
        ({"action": "cancel", "ids": []}, "ids", "non-empty"),
        ({"action": "cancel", "ids": "1"}, "ids", "must be a non-empty list"),
        ({"action": "cancel", "ids": [1, True]}, "ids[1]", "must be a task id"),
        ({"action": "cancel", "ids": [2**63]}, "ids[0]", "must be a task id"),
        (
            {"action": "cancel", "filter": {}, "queue": "x"},
            "queue",
            "is required with the action set_queue",
        ),
        ({"action": "set_queue", "filter": {}}, "queue", "is required with the action"),
        ({"action": "set_queue", "filter": {}, "queue": "a b"}, "queue", "letters, digits"),
        ({"action": "set_priority", "filter": {}}, "priority", "is required with the action"),
        ({"action": "set_priority", "filter": {}, "priority": 101}, "priority", "-100 to 100"),
        ({"action": "cancel", "filter": {}, "when": 1}, "when", "unknown field"),
    ],
)
def test_an_invalid_request_is_refused_with_the_rule(
    fields: dict[str, object], field: str, rule: str
) -> None:
    with pytest.raises(InvalidField) as caught:
        parse(fields)
    assert caught.value.field == field
    assert rule in caught.value.rule


def test_too_many_ids_are_too_large() -> None:
    with pytest.raises(TooLarge, match="10,001 ids; the limit is 10,000"):
        parse({"action": "cancel", "ids": list(range(1, 10_002))})


def test_a_preview_becomes_queued_once() -> None:
    in_status("pending")
    operation = preview()
    assert (operation.state, operation.confirmed_at) == ("preview", None)
    confirmed = service.confirm(operation.pk, None)
    assert confirmed.state == "queued"
    assert confirmed.confirmed_at is not None
    with pytest.raises(IllegalTransition, match="is queued: only a preview"):
        service.confirm(operation.pk, None)


def test_a_cancelled_operation_stays_cancelled() -> None:
    operation = service.cancel(an_operation("cancel", filter={}).pk, user_with(VIEW, CHANGE))
    assert operation.state == "cancelled"
    assert operation.cancelled_by.startswith("user-")
    with pytest.raises(
        IllegalTransition, match="only operations that have not ended can be cancelled"
    ):
        service.cancel(operation.pk, None)
    with pytest.raises(IllegalTransition, match="is cancelled"):
        service.confirm(operation.pk, None)


def test_an_unknown_operation_is_not_found() -> None:
    for verb in (service.confirm, service.cancel):
        with pytest.raises(OperationNotFound):
            verb(7, None)


def test_every_step_needs_the_permission_of_the_action() -> None:
    reader, changer = user_with("taskmaster_tasks.view_task"), user_with(VIEW, CHANGE)
    deleter = user_with(VIEW, "taskmaster_tasks.delete_task")
    for action, wrong, right in (("cancel", deleter, changer), ("delete", changer, deleter)):
        wanted = parse({"action": action, "filter": {}})
        operation = service.preview(wanted, right)
        assert operation.user == right.get_username()
        for user in (reader, wrong):
            for refused in (
                lambda user=user, wanted=wanted: service.count_tasks(wanted, user),
                lambda user=user, wanted=wanted: service.preview(wanted, user),
                lambda user=user, pk=operation.pk: service.confirm(pk, user),
                lambda user=user, pk=operation.pk: service.cancel(pk, user),
            ):
                with pytest.raises(NotAllowed, match="needs the permission taskmaster_tasks"):
                    refused()
    assert Operation.objects.filter(state="preview").count() == 2


def test_a_preview_cannot_be_confirmed_by_another_user() -> None:
    operation = preview(user=user_with(VIEW, CHANGE))
    with pytest.raises(NotAllowed, match="Only its creator"):
        service.confirm(operation.pk, user_with(VIEW, CHANGE))
    operation.refresh_from_db()
    assert operation.state == "preview"


def test_an_old_preview_is_deleted_with_the_next() -> None:
    old, young = preview(), preview()
    Operation.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=2))
    newest = preview()
    assert set(Operation.objects.values_list("pk", flat=True)) == {young.pk, newest.pk}


def test_a_count_that_times_out_is_marked_as_a_minimum(monkeypatch: pytest.MonkeyPatch) -> None:
    stored(20_000)
    monkeypatch.setattr("taskmaster.tasks.bulk.selection._STEPS_S", -1.0)
    tasks = changeable(select_tasks({}, None), parse({"action": "cancel", "filter": {}}).action)
    slow = tasks.extra(where=["pg_sleep(0.001) IS NOT NULL"])
    began = time.monotonic()
    found = count(slow, newest_id(), within_s=0.05)
    assert (found.number, found.at_least) == (0, True)
    assert time.monotonic() - began < 5
    # The statement timeout is reset.
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)


def test_a_timed_out_count_keeps_the_counted_part(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = stored(300)
    monkeypatch.setattr("taskmaster.tasks.bulk.selection._STEP", 100)
    slow = Task.objects.extra(where=["pg_sleep(0.004) IS NOT NULL"])
    found = count(slow, ids[-1], within_s=0.01)
    assert found.at_least
    assert found.number in (100, 200, 300)


def test_an_operation_describes_itself() -> None:
    in_status("failed", 2, queue="mail")
    filtered = preview("retry", filter={"status": "failed", "queue": "mail"})
    assert filtered.intent == "retry 2 tasks (queue=mail, status=failed)"
    assert preview("delete").intent == "delete 2 tasks (all)"
    named_ = an_operation("set_priority", ids=[1, 2], priority=5)
    assert named_.intent == "give 0 tasks priority 5 (2 selected by id)"
