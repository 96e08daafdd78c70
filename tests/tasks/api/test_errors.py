"""Test that all errors below /api/ are problem details without internal information."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.db import OperationalError
from psycopg_pool import PoolTimeout
from rest_framework.test import APIClient

from taskmaster.tasks.api import views
from taskmaster.tasks.models import Task
from taskmaster.tasks.store import sync_store
from tests.tasks.api.people import ALL, assert_problem, client_with

ADD = {"name": "examples.tasks.add", "args": [1, 2]}


class Unforeseen(Exception):
    """An unexpected error."""


@pytest.fixture
def server_client(db: None) -> APIClient:
    """Return a client that gets a response, as from a server, when a view raises."""
    client = client_with(*ALL)
    client.raise_request_exception = False
    return client


def raising(error: Exception) -> object:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_an_unexpected_error_is_a_500_without_internal_information(
    server_client: APIClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(views, "enqueue", raising(Unforeseen("the secret inside")))
    response = server_client.post("/api/tasks/", ADD, format="json")
    body = assert_problem(response, HTTPStatus.INTERNAL_SERVER_ERROR, "Internal error")
    for inside in ("secret", "Unforeseen", "Traceback", ".py"):
        assert inside not in str(body)
    logged = [record for record in caplog.records if record.name == "taskmaster.tasks.api.errors"]
    assert [record.getMessage() for record in logged] == [
        "POST /api/tasks/ failed: the secret inside"
    ]
    assert logged[0].exc_info is not None
    assert logged[0].exc_info[0] is Unforeseen


def test_errors_outside_of_views_have_the_same_format(
    server_client: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "django.middleware.common.CommonMiddleware.process_request",
        raising(Unforeseen("the secret inside")),
    )
    response = server_client.get("/api/tasks/")
    body = assert_problem(response, HTTPStatus.INTERNAL_SERVER_ERROR, "Internal error")
    assert "secret" not in str(body)


@pytest.mark.parametrize("error", [OperationalError("host=secret"), PoolTimeout("secret")])
def test_a_database_outage_is_a_503(
    server_client: APIClient, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(sync_store, "insert_task", raising(error))
    response = server_client.post("/api/tasks/", ADD, format="json")
    body = assert_problem(response, HTTPStatus.SERVICE_UNAVAILABLE, "database is unavailable")
    assert "secret" not in str(body)


def test_a_task_deleted_during_the_request_is_not_found(client: APIClient) -> None:
    task_id = client.post("/api/tasks/", ADD, format="json").json()["id"]
    Task.objects.all().delete()
    assert_problem(client.get(f"/api/tasks/{task_id}/"), HTTPStatus.NOT_FOUND, f"no task {task_id}")


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("get", "/api/nothing/"),
        ("post", "/api/tasks/5/destroy/"),
        ("delete", "/api/x"),
        ("get", "/api/tasks/٣/"),
    ],
)
def test_an_unknown_url_is_not_found(client: APIClient, method: str, address: str) -> None:
    response = getattr(client, method)(address)
    assert_problem(response, HTTPStatus.NOT_FOUND, "no endpoint /api/", "/api/docs/")


@pytest.mark.parametrize("method", ["get", "post"])
def test_the_error_for_a_missing_slash_names_the_right_url(client: APIClient, method: str) -> None:
    response = getattr(client, method)("/api/tasks")
    assert_problem(response, HTTPStatus.NOT_FOUND, "Did you mean /api/tasks/ ?")


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("delete", "/api/tasks/5/"),
        ("put", "/api/tasks/5/"),
        ("get", "/api/tasks/bulk/"),
        ("get", "/api/tasks/5/cancel/"),
    ],
)
def test_an_unsupported_method_is_refused(client: APIClient, method: str, address: str) -> None:
    response = getattr(client, method)(address)
    assert_problem(response, HTTPStatus.METHOD_NOT_ALLOWED, f'"{method.upper()}"')
    assert response["Allow"]


def test_a_client_that_does_not_accept_json_is_refused(client: APIClient) -> None:
    response = client.get("/api/tasks/", HTTP_ACCEPT="application/xml")
    assert_problem(response, HTTPStatus.NOT_ACCEPTABLE, "Accept")


@pytest.mark.parametrize("address", ["/api/tasks/", "/api/tasks/bulk/"])
@pytest.mark.parametrize("body", [b"[" * 100_000, b"{", b"\xff", b'{"username": "\\ud800"}'])
def test_no_request_body_causes_a_server_error(
    server_client: APIClient, address: str, body: bytes
) -> None:
    response = server_client.generic("POST", address, body, content_type="application/json")
    assert response.status_code == HTTPStatus.BAD_REQUEST, response.content
    assert response["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/api/logs/stream", "/api/tasks/1/events/"])
def test_head_of_a_stream_is_refused(db: None, path: str) -> None:
    assert client_with(*ALL).head(path).status_code == HTTPStatus.METHOD_NOT_ALLOWED
