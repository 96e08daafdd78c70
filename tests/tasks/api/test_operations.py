"""Test cancel, retry and reschedule of a stored task."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from taskmaster.tasks.lifecycle import Status, Transition, sources
from taskmaster.tasks.models import Task
from tests.factories import in_s, stored
from tests.tasks.api.people import assert_problem


def in_status(status: str) -> int:
    """Store a task with this status; return its id."""
    task_id = stored()[0]
    Task.objects.filter(pk=task_id).update(status=status)
    return task_id


def row(task_id: int) -> dict[str, object]:
    return Task.objects.filter(pk=task_id).values().get()


@pytest.mark.parametrize("status", sorted(sources(Transition.CANCEL)))
def test_an_unfinished_task_can_be_cancelled(client: APIClient, status: Status) -> None:
    task_id = in_status(status)
    response = client.post(f"/api/tasks/{task_id}/cancel/")
    assert response.status_code == HTTPStatus.OK
    shown = response.json()
    assert (shown["id"], shown["status"]) == (task_id, "cancelled")
    assert shown["cancelled_at"] is not None


@pytest.mark.parametrize("status", sorted(set(Status) - sources(Transition.CANCEL)))
def test_a_finished_task_cannot_be_cancelled(client: APIClient, status: Status) -> None:
    task_id = in_status(status)
    before = row(task_id)
    response = client.post(f"/api/tasks/{task_id}/cancel/")
    assert_problem(response, HTTPStatus.CONFLICT, f"is {status}: only tasks that have not ended")
    assert row(task_id) == before


@pytest.mark.parametrize("status", sorted(sources(Transition.RETRY)))
def test_a_failed_or_cancelled_task_can_be_retried(client: APIClient, status: Status) -> None:
    task_id = in_status(status)
    Task.objects.filter(pk=task_id).update(attempt=3, failed_at=timezone.now())
    shown = client.post(f"/api/tasks/{task_id}/retry/").json()
    assert (shown["status"], shown["attempt"], shown["max_attempts"]) == ("pending", 3, 4)
    assert shown["failed_at"] is None


@pytest.mark.parametrize("status", sorted(set(Status) - sources(Transition.RETRY)))
def test_tasks_in_other_states_cannot_be_retried(client: APIClient, status: Status) -> None:
    task_id = in_status(status)
    before = row(task_id)
    response = client.post(f"/api/tasks/{task_id}/retry/")
    assert_problem(response, HTTPStatus.CONFLICT, f"is {status}: only failed and cancelled")
    assert row(task_id) == before


@pytest.mark.parametrize("status", sorted(sources(Transition.RESCHEDULE)))
def test_a_task_that_has_not_begun_can_be_rescheduled(client: APIClient, status: Status) -> None:
    task_id, when = in_status(status), in_s(7200)
    response = client.patch(
        f"/api/tasks/{task_id}/", {"scheduled_at": when.isoformat()}, format="json"
    )
    assert response.status_code == HTTPStatus.OK
    assert response.json()["status"] == "pending"
    assert datetime.fromisoformat(response.json()["scheduled_at"]) == when


def test_a_task_that_is_rescheduled_to_the_past_is_due_now(client: APIClient) -> None:
    [task_id] = stored(scheduled_at=in_s(3_600))
    body = {"scheduled_at": "2020-01-01T00:00:00Z"}
    response = client.patch(f"/api/tasks/{task_id}/", body, format="json")
    assert response.status_code == HTTPStatus.OK
    due = datetime.fromisoformat(response.json()["scheduled_at"])
    assert abs(due - datetime.now(UTC)) < timedelta(seconds=60)


@pytest.mark.parametrize("status", sorted(set(Status) - sources(Transition.RESCHEDULE)))
def test_a_task_that_has_begun_cannot_be_rescheduled(client: APIClient, status: Status) -> None:
    task_id = in_status(status)
    before = row(task_id)
    body = {"scheduled_at": in_s(60).isoformat()}
    response = client.patch(f"/api/tasks/{task_id}/", body, format="json")
    assert_problem(response, HTTPStatus.CONFLICT, "only a task that has not started")
    assert row(task_id) == before


@pytest.mark.parametrize(
    ("body", "field", "rule"),
    [
        ({}, "scheduled_at", "is required"),
        ({"scheduled_at": None}, "scheduled_at", "is required"),
        ({"scheduled_at": "2090-01-01T00:00:00"}, "scheduled_at", "has no time zone"),
        ({"scheduled_at": 5}, "scheduled_at", "not a number"),
        ({"scheduled_at": "2090-01-01T00:00:00Z", "queue": "q"}, "queue", "cannot be changed"),
        ({"status": "complete"}, "status", "cannot be changed"),
        ([], "body", "must be a JSON object"),
    ],
)
def test_an_invalid_change_is_refused_by_field_and_changes_nothing(
    client: APIClient, body: object, field: str, rule: str
) -> None:
    task_id = in_status("pending")
    before = row(task_id)
    response = client.patch(f"/api/tasks/{task_id}/", body, format="json")
    assert_problem(response, HTTPStatus.BAD_REQUEST, rule, field=field)
    assert row(task_id) == before


def test_each_of_many_tasks_is_retried_independently(client: APIClient) -> None:
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
        ({}, "ids", "must be a non-empty list of ids"),
        ({"ids": []}, "ids", "non-empty"),
        ({"ids": [1, "2"]}, "ids[1]", "must be a task id"),
        ({"ids": [True]}, "ids[0]", "must be a task id"),
        ({"ids": [-1]}, "ids[0]", "must be a task id"),
        ([1], "body", "must be a JSON object"),
    ],
)
def test_invalid_ids_change_nothing(client: APIClient, body: object, field: str, rule: str) -> None:
    task_id = in_status("failed")
    response = client.post("/api/tasks/retry/", body, format="json")
    assert_problem(response, HTTPStatus.BAD_REQUEST, rule, field=field)
    assert row(task_id)["status"] == "failed"


def test_too_many_ids_are_too_large(client: APIClient) -> None:
    response = client.post("/api/tasks/retry/", {"ids": list(range(1, 1_002))}, format="json")
    assert_problem(response, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the limit is 1,000", field="ids")
