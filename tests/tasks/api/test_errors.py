"""Whatever goes wrong below /api/ is told as problem details, and no more than may be told."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.db import OperationalError
from psycopg_pool import PoolTimeout
from rest_framework.test import APIClient

from tasks import enqueue as storing
from tasks.api import views
from tasks.models import Task
from tests.tasks.api.people import ALL, assert_problem, client_with

ADD = {"name": "examples.tasks.add", "args": [1, 2]}


class Unforeseen(Exception):
    """What nobody has thought of."""


@pytest.fixture
def frank_client(db: None) -> APIClient:
    """One that answers with a response, as a server does, where a view raises."""
    client = client_with(*ALL)
    client.raise_request_exception = False
    return client


def raising(error: Exception) -> object:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_the_unforeseen_is_a_500_that_tells_nothing_of_the_inside(
    frank_client: APIClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(views, "enqueue", raising(Unforeseen("the secret inside")))
    response = frank_client.post("/api/tasks/", ADD, format="json")
    body = assert_problem(response, HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong")
    for inside in ("secret", "Unforeseen", "Traceback", ".py"):
        assert inside not in str(body)
    logged = [record for record in caplog.records if record.name == "tasks.api.errors"]
    assert [record.getMessage() for record in logged] == [
        "POST /api/tasks/ failed: the secret inside"
    ]
    assert logged[0].exc_info is not None
    assert logged[0].exc_info[0] is Unforeseen


def test_what_fails_before_any_view_is_told_in_the_same_way(
    frank_client: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "django.middleware.common.CommonMiddleware.process_request",
        raising(Unforeseen("the secret inside")),
    )
    response = frank_client.get("/api/tasks/")
    body = assert_problem(response, HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong")
    assert "secret" not in str(body)


@pytest.mark.parametrize("error", [OperationalError("host=secret"), PoolTimeout("secret")])
def test_a_database_that_is_away_is_a_503(
    frank_client: APIClient, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(storing, "execute", raising(error))
    response = frank_client.post("/api/tasks/", ADD, format="json")
    body = assert_problem(response, HTTPStatus.SERVICE_UNAVAILABLE, "database does not answer")
    assert "secret" not in str(body)


def test_a_task_that_vanishes_while_it_is_asked_for_is_not_found(client: APIClient) -> None:
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
def test_an_address_that_leads_nowhere_says_so(
    client: APIClient, method: str, address: str
) -> None:
    response = getattr(client, method)(address)
    assert_problem(response, HTTPStatus.NOT_FOUND, "nothing at /api/", "/api/docs/")


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_slash_that_is_missing_is_pointed_at(client: APIClient, method: str) -> None:
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
def test_a_method_that_is_not_there_says_so(client: APIClient, method: str, address: str) -> None:
    response = getattr(client, method)(address)
    assert_problem(response, HTTPStatus.METHOD_NOT_ALLOWED, f'"{method.upper()}"')
    assert response["Allow"]


def test_a_client_that_accepts_no_json_is_told(client: APIClient) -> None:
    response = client.get("/api/tasks/", HTTP_ACCEPT="application/xml")
    assert_problem(response, HTTPStatus.NOT_ACCEPTABLE, "Accept")


@pytest.mark.parametrize("address", ["/api/tasks/", "/api/tasks/bulk/"])
@pytest.mark.parametrize("body", [b"[" * 100_000, b"{", b"\xff", b'{"username": "\\ud800"}'])
def test_no_body_makes_an_endpoint_fail(frank_client: APIClient, address: str, body: bytes) -> None:
    response = frank_client.generic("POST", address, body, content_type="application/json")
    assert response.status_code == HTTPStatus.BAD_REQUEST, response.content
    assert response["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/api/logs/stream", "/api/tasks/1/events/"])
def test_the_head_of_a_stream_is_refused_since_it_would_never_end(db: None, path: str) -> None:
    assert client_with(*ALL).head(path).status_code == HTTPStatus.METHOD_NOT_ALLOWED
