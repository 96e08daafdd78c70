"""Test bulk operations over REST."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from rest_framework.test import APIClient

from taskmaster.tasks.bulk.runner import run_chunk
from taskmaster.tasks.models import Operation
from tests.tasks.api.people import ALL, assert_problem, client_with
from tests.tasks.bulk.sample import in_status, statuses

pytestmark = pytest.mark.django_db

ADDRESS = "/api/operations/"


def post(client: APIClient, **fields: object) -> Any:
    return client.post(ADDRESS, {"filter": {}, **fields}, format="json")


def test_an_operation_starts_immediately_and_shows_its_progress(client: APIClient) -> None:
    ids = in_status("failed", 2, queue="mail")
    in_status("failed")
    made = post(client, action="retry", filter={"queue": "mail", "status": ["failed"]})
    assert made.status_code == HTTPStatus.CREATED
    shown = made.json()
    assert shown["filter"] == {"queue": "mail", "status": "failed"}
    assert (shown["state"], shown["total"], shown["at_least"]) == ("queued", 2, False)
    assert shown["user"].startswith("user-")
    run_chunk()
    after = client.get(made["Location"]).json()
    assert (after["state"], after["done"], after["refused"]) == ("complete", 2, {})
    assert after["finished_at"] is not None
    assert statuses(ids) == ["pending", "pending"]


def test_a_dry_run_counts_and_changes_nothing(client: APIClient) -> None:
    ids = in_status("pending", 3)
    response = post(client, action="cancel", dry_run=True)
    assert response.status_code == HTTPStatus.OK
    assert response.json() == {"count": 3, "at_least": False}
    assert not Operation.objects.exists()
    assert run_chunk() is None
    assert statuses(ids) == ["pending"] * 3


def test_a_preview_waits_for_confirmation(client: APIClient) -> None:
    ids = in_status("pending", 2)
    made = client.post(ADDRESS, {"action": "cancel", "ids": ids, "confirm": False}, format="json")
    assert (made.status_code, made.json()["state"]) == (HTTPStatus.CREATED, "preview")
    assert made.json()["ids"] == ids
    assert run_chunk() is None
    confirmed = client.post(f"{made['Location']}confirm/")
    assert (confirmed.status_code, confirmed.json()["state"]) == (HTTPStatus.OK, "queued")
    assert_problem(client.post(f"{made['Location']}confirm/"), HTTPStatus.CONFLICT, "is queued")
    run_chunk()
    assert statuses(ids) == ["cancelled"] * 2


def test_an_operation_can_be_cancelled(client: APIClient) -> None:
    ids = in_status("pending")
    made = post(client, action="cancel")
    cancelled = client.post(f"{made['Location']}cancel/")
    assert (cancelled.status_code, cancelled.json()["state"]) == (HTTPStatus.OK, "cancelled")
    assert cancelled.json()["cancelled_by"] == made.json()["user"]
    assert run_chunk() is None
    assert statuses(ids) == ["pending"]
    assert_problem(client.post(f"{made['Location']}cancel/"), HTTPStatus.CONFLICT, "is cancelled")


def test_the_list_has_the_newest_first_and_can_be_filtered(client: APIClient) -> None:
    first = post(client, action="cancel").json()["id"]
    second = post(client, action="retry", confirm=False).json()["id"]
    listed = client.get(ADDRESS).json()["results"]
    assert [each["id"] for each in listed] == [second, first]
    assert "ids" not in listed[0]
    previews = client.get(ADDRESS, {"state": "preview"}).json()["results"]
    assert [each["id"] for each in previews] == [second]
    assert_problem(client.get(ADDRESS, {"state": "x"}), HTTPStatus.BAD_REQUEST, field="state")
    assert_problem(client.get(ADDRESS, {"x": "x"}), HTTPStatus.BAD_REQUEST, field="x")


@pytest.mark.parametrize(
    ("body", "field", "rule"),
    [
        ([], "body", "must be a JSON object"),
        ({}, "action", "must be one of"),
        ({"action": "cancel"}, "filter", "exactly one of filter and ids is required"),
        ({"action": "cancel", "filter": {"x": "1"}}, "filter.x", "unknown filter"),
        ({"action": "cancel", "filter": {"status": "x"}}, "filter.status", "not one of"),
        ({"action": "cancel", "filter": {}, "dry_run": 1}, "dry_run", "must be true or false"),
        ({"action": "cancel", "filter": {}, "confirm": "no"}, "confirm", "must be true or false"),
        ({"action": "set_queue", "filter": {}}, "queue", "is required with the action"),
    ],
)
def test_an_invalid_operation_is_refused_by_field_and_nothing_is_stored(
    client: APIClient, body: object, field: str, rule: str
) -> None:
    response = client.post(ADDRESS, body, format="json")
    assert_problem(response, HTTPStatus.BAD_REQUEST, rule, field=field)
    assert not Operation.objects.exists()


def test_too_many_ids_are_too_large(client: APIClient) -> None:
    body = {"action": "cancel", "ids": list(range(1, 10_002))}
    response = client.post(ADDRESS, body, format="json")
    assert_problem(
        response, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the limit is 10,000", field="ids"
    )


@pytest.mark.parametrize("way", ["", "confirm/", "cancel/"])
@pytest.mark.parametrize("number", ["7", "9" * 19])
def test_an_unknown_operation_is_not_found(client: APIClient, way: str, number: str) -> None:
    call = client.post if way else client.get
    response = call(f"{ADDRESS}{number}/{way}")
    assert_problem(response, HTTPStatus.NOT_FOUND, f"There is no operation {number}")


def test_a_user_without_permission_is_refused(client: APIClient) -> None:
    in_status("failed")
    deletes = client_with("taskmaster_tasks.view_task", "taskmaster_tasks.delete_task")
    assert_problem(
        post(client, action="delete"), HTTPStatus.FORBIDDEN, "taskmaster_tasks.delete_task"
    )
    assert_problem(
        post(deletes, action="cancel"), HTTPStatus.FORBIDDEN, "taskmaster_tasks.change_task"
    )
    refused = post(deletes, action="cancel", dry_run=True)
    assert_problem(refused, HTTPStatus.FORBIDDEN, "taskmaster_tasks.change_task")
    assert post(deletes, action="delete").status_code == HTTPStatus.CREATED
    blind = client_with("taskmaster_tasks.delete_task")
    assert_problem(blind.get(ADDRESS), HTTPStatus.FORBIDDEN, "taskmaster_tasks.view_task")
    where = f"{ADDRESS}{Operation.objects.get().pk}/"
    assert_problem(blind.get(where), HTTPStatus.FORBIDDEN, "taskmaster_tasks.view_task")
    assert_problem(
        client.post(f"{where}cancel/"), HTTPStatus.FORBIDDEN, "taskmaster_tasks.delete_task"
    )
    assert APIClient().get(ADDRESS).status_code == HTTPStatus.UNAUTHORIZED


def test_another_user_cannot_confirm(client: APIClient) -> None:
    where = post(client, action="cancel", confirm=False)["Location"]
    response = client_with(*ALL).post(f"{where}confirm/")
    assert_problem(response, HTTPStatus.FORBIDDEN, "Only its creator")
