"""Users with the permissions that a test names, their clients, and how a refusal looks."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import Permission, User
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient, ForceAuthClientHandler

ALL = ("tasks.add_task", "tasks.view_task", "tasks.change_task", "tasks.submit_shell")


def user_with(*permissions: str) -> User:
    """A user who may do this and nothing else (`tasks.view_task`)."""
    user = User.objects.create_user(f"user-{uuid4().hex[:8]}")
    for permission in permissions:
        app, _, codename = permission.partition(".")
        user.user_permissions.add(
            Permission.objects.get(content_type__app_label=app, codename=codename)
        )
    return user


def client_with(*permissions: str) -> APIClient:
    """A client that sends the token of such a user."""
    client = APIClient()
    client.handler = _handler()
    token = Token.objects.create(user=user_with(*permissions))
    client.credentials(HTTP_AUTHORIZATION=f"Token {token.key}")
    return client


@cache
def _handler() -> ForceAuthClientHandler:
    """One for all: each that is made looks through all static files, which takes 40 ms."""
    return APIClient().handler


def assert_problem(
    response: Any, status: HTTPStatus, *words: str, field: str | None = None
) -> dict[str, Any]:
    """Problem details of this status that name the field and hold the words; returns them."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["title"] == status.phrase
    assert body["type"].startswith("urn:taskmaster:")
    assert body.get("field") == field, body
    assert "Traceback" not in body["detail"]
    for word in words:
        assert word in body["detail"], body
    return body
