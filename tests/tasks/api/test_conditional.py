"""Test ETag and If-None-Match: an unchanged response is not sent again."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from rest_framework.test import APIClient

from taskmaster.tasks.models import Task
from tests.factories import stored
from tests.tasks.api.people import ALL, client_with

LISTS = ("/api/tasks/", "/api/events/", "/api/stats/", "/api/workers/", "/api/operations/")


@pytest.fixture
def client(db: None) -> APIClient:
    return client_with(*ALL, "taskmaster_workers.view_worker")


@pytest.mark.parametrize("url", LISTS)
def test_an_unchanged_response_is_not_sent_twice(client: APIClient, url: str) -> None:
    first = client.get(url)
    assert first.status_code == HTTPStatus.OK
    assert first["ETag"]
    assert "private" in first["Cache-Control"]
    again = client.get(url, headers={"If-None-Match": first["ETag"]})
    assert again.status_code == HTTPStatus.NOT_MODIFIED
    assert again.content == b""
    assert again["ETag"] == first["ETag"]
    other = client.get(url, headers={"If-None-Match": '"another"'})
    assert other.status_code == HTTPStatus.OK
    assert other.json() == first.json()


def test_a_changed_response_is_sent(client: APIClient) -> None:
    [task_id] = stored()
    for url in ("/api/tasks/", f"/api/tasks/{task_id}/"):
        tag = client.get(url)["ETag"]
        Task.objects.update(priority=Task.objects.get().priority + 1)
        changed = client.get(url, headers={"If-None-Match": tag})
        assert changed.status_code == HTTPStatus.OK
        assert changed["ETag"] != tag


def test_an_error_is_sent_each_time(client: APIClient) -> None:
    for url, status in (("/api/tasks/?colour=red", 400), ("/api/tasks/1/", 404)):
        tag = client.get(url).get("ETag", "*")
        again = client.get(url, headers={"If-None-Match": tag})
        assert again.status_code == status
        assert again.json()["detail"]


def test_an_etag_reveals_nothing_without_the_permission(client: APIClient) -> None:
    tag = client.get("/api/tasks/")["ETag"]
    refused = client_with().get("/api/tasks/", headers={"If-None-Match": tag})
    assert refused.status_code == HTTPStatus.FORBIDDEN
