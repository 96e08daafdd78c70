"""Create users with given permissions and their clients, and check error responses."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from typing import Any

from rest_framework.test import APIClient, ForceAuthClientHandler

from tests.factories import token_header, user_with

ALL = (
    "taskmaster_tasks.add_task",
    "taskmaster_tasks.view_task",
    "taskmaster_tasks.change_task",
    "taskmaster_tasks.submit_shell",
)


def client_with(*permissions: str) -> APIClient:
    """Return a client that sends the token of such a user."""
    client = APIClient()
    client.handler = _handler()
    client.credentials(HTTP_AUTHORIZATION=token_header(user_with(*permissions))["Authorization"])
    return client


@cache
def _handler() -> ForceAuthClientHandler:
    """Share one handler: creating one searches all static files, which takes 40 ms."""
    return APIClient().handler


def assert_problem(
    response: Any, status: HTTPStatus, *texts: str, field: str | None = None
) -> dict[str, Any]:
    """Assert that the response is a problem with this status, field and texts; return its body."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["title"] == status.phrase
    assert body["type"].startswith("urn:taskmaster:")
    assert body.get("field") == field, body
    assert "Traceback" not in body["detail"]
    for text in texts:
        assert text in body["detail"], body
    return body
