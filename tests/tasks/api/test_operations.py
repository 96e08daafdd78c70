"""Cancel, retry and move a stored task."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from tasks.lifecycle import Status, Transition, sources
from tasks.models import Task
from tests.tasks.api.people import assert_problem
from tests.tasks.sample import in_s, stored


def in_status(status: str) -> int:
    """The id of a task that stands there."""
    task_id = stored()[0]
    Task.objects.filter(pk=task_id).update(status=status)
    return task_id


def row(task_id: int) -> dict[str, object]:
    return Task.objects.filter(pk=task_id).values().get()


@pytest.mark.parametrize("status", sorted(sources(Transition.CANCEL)))
def test_what_has_not_ended_can_be_cancelled(client: APIClient, status: Status) -> None:
    task_id = in_status(status)
    response = client.post(f"/api/tasks/{task_id}/cancel/")
    assert response.status_code == HTTPStatus.OK
    shown = response.json()
    assert (shown["id"], shown["status"]) == (task_id, "cancelled")
    assert shown["cancelled_at"] is not None


@pytest.mark.parametrize("status", sorted(set(Status) - sources(Transition.CANCEL)))
def test_what_has_ended_cannot_be_cancelled(client: APIClient, status: Status) -> None:
    task_id = in_status(status)
    before = row(task_id)
    response = client.post(f"/api/tasks/{task_id}/cancel/")
    assert_problem(response, HTTPStatus.CONFLICT, f"is {status}: it cannot be cancelled")
    assert row(task_id) == before


@pytest.mark.parametrize("status", sorted(sources(Transition.RETRY)))
def test_what_failed_or_was_cancelled_can_be_retried(client: APIClient, status: Status) -> None:
    task_id = in_status(status)
    Task.objects.filter(pk=task_id).update(attempt=3, failed_at=timezone.now())
    shown = client.post(f"/api/tasks/{task_id}/retry/").json()
    assert (shown["status"], shown["attempt"], shown["max_attempts"]) == ("pending", 3, 4)
    assert shown["failed_at"] is None


@pytest.mark.parametrize("status", sorted(set(Status) - sources(Transition.RETRY)))
def test_nothing_else_can_be_retried(client: APIClient, status: Status) -> None:
    task_id = in_status(status)
    before = row(task_id)
    response = client.post(f"/api/tasks/{task_id}/retry/")
    assert_problem(response, HTTPStatus.CONFLICT, f"is {status}: only failed and cancelled")
    assert row(task_id) == before


@pytest.mark.parametrize("status", sorted(sources(Transition.MOVE)))
def test_what_has_not_begun_can_be_moved(client: APIClient, status: Status) -> None:
    task_id, when = in_status(status), in_s(7200)
    response = client.patch(
        f"/api/tasks/{task_id}/", {"scheduled_at": when.isoformat()}, format="json"
    )
    assert response.status_code == HTTPStatus.OK
    assert response.json()["status"] == "pending"
    assert datetime.fromisoformat(response.json()["scheduled_at"]) == when


@pytest.mark.parametrize("status", sorted(set(Status) - sources(Transition.MOVE)))
def test_what_has_begun_cannot_be_moved(client: APIClient, status: Status) -> None:
    task_id = in_status(status)
    before = row(task_id)
    body = {"scheduled_at": in_s(60).isoformat()}
    response = client.patch(f"/api/tasks/{task_id}/", body, format="json")
    assert_problem(response, HTTPStatus.CONFLICT, "only a task that has not begun")
    assert row(task_id) == before


@pytest.mark.parametrize(
    ("body", "field", "rule"),
    [
        ({}, "scheduled_at", "is required"),
        ({"scheduled_at": None}, "scheduled_at", "is required"),
        ({"scheduled_at": "2020-01-01T00:00:00Z"}, "scheduled_at", "lies in the past"),
        ({"scheduled_at": "2090-01-01T00:00:00"}, "scheduled_at", "has no zone"),
        ({"scheduled_at": 5}, "scheduled_at", "not a number"),
        ({"scheduled_at": "2090-01-01T00:00:00Z", "queue": "q"}, "queue", "cannot be changed"),
        ({"status": "complete"}, "status", "cannot be changed"),
        ([], "body", "must be an object"),
    ],
)
def test_a_wrong_change_is_refused_by_name_and_changes_nothing(
    client: APIClient, body: object, field: str, rule: str
) -> None:
    task_id = in_status("pending")
    before = row(task_id)
    response = client.patch(f"/api/tasks/{task_id}/", body, format="json")
    assert_problem(response, HTTPStatus.BAD_REQUEST, rule, field=field)
    assert row(task_id) == before


def test_many_are_retried_each_by_itself(client: APIClient) -> None:
    failed, cancelled, complete = map(in_status, ("failed", "cancelled", "complete"))
    response = client.post(
        "/api/tasks/retry/", {"ids": [failed, cancelled, complete, 2**62]}, format="json"
    )
    assert response.status_code == HTTPStatus.OK
    body = response.json()
    assert body["retried"] == [failed, cancelled]
    assert [each["id"] for each in body["refused"]] == [complete, 2**62]
    assert "only failed and cancelled tasks can be retried" in body["refused"][0]["detail"]
    assert row(complete)["status"] == "complete"


@pytest.mark.parametrize(
    ("body", "field", "rule"),
    [
        ({}, "ids", "must be a list of ids, not empty"),
        ({"ids": []}, "ids", "not empty"),
        ({"ids": [1, "2"]}, "ids[1]", "must be the id of a task"),
        ({"ids": [True]}, "ids[0]", "must be the id of a task"),
        ({"ids": [-1]}, "ids[0]", "must be the id of a task"),
        ([1], "body", "must be an object"),
    ],
)
def test_ids_that_are_none_change_nothing(
    client: APIClient, body: object, field: str, rule: str
) -> None:
    task_id = in_status("failed")
    response = client.post("/api/tasks/retry/", body, format="json")
    assert_problem(response, HTTPStatus.BAD_REQUEST, rule, field=field)
    assert row(task_id)["status"] == "failed"


def test_too_many_ids_are_too_large(client: APIClient) -> None:
    response = client.post("/api/tasks/retry/", {"ids": list(range(1, 1_002))}, format="json")
    assert_problem(response, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "at most 1,000", field="ids")
