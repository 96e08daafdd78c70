"""Test authentication by token or session, and the permission for each kind of request."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from taskmaster.tasks.models import Task
from tests.factories import in_s, stored, user_with
from tests.tasks.api.people import ALL, assert_problem, client_with

pytestmark = pytest.mark.django_db

ADD = {"name": "examples.tasks.add", "args": [1, 2]}
SHELL = {"command": "true"}

#: (method, URL of a task with id {id}, body, required permission)
REQUESTS = [
    ("get", "/api/tasks/", None, "taskmaster_tasks.view_task"),
    ("get", "/api/tasks/{id}/", None, "taskmaster_tasks.view_task"),
    ("get", "/api/tasks/{id}/output/", None, "taskmaster_tasks.view_task"),
    ("post", "/api/tasks/", ADD, "taskmaster_tasks.add_task"),
    ("post", "/api/tasks/bulk/", [ADD], "taskmaster_tasks.add_task"),
    ("post", "/api/tasks/{id}/cancel/", None, "taskmaster_tasks.change_task"),
    ("post", "/api/tasks/{id}/retry/", None, "taskmaster_tasks.change_task"),
    (
        "patch",
        "/api/tasks/{id}/",
        {"scheduled_at": in_s(86_400).isoformat()},
        "taskmaster_tasks.change_task",
    ),
]


@pytest.mark.parametrize(("method", "address", "body", "_"), REQUESTS)
def test_an_anonymous_request_is_refused_and_changes_nothing(
    method: str, address: str, body: object, _: str
) -> None:
    task_id = stored()[0]
    before = list(Task.objects.values())
    client = APIClient()
    response = getattr(client, method)(address.format(id=task_id), body, format="json")
    assert_problem(response, HTTPStatus.UNAUTHORIZED, "credentials were not provided")
    assert response["WWW-Authenticate"] == "Token"
    assert list(Task.objects.values()) == before


@pytest.mark.parametrize(("method", "address", "body", "needed"), REQUESTS)
def test_the_refusal_names_the_missing_permission_and_changes_nothing(
    method: str, address: str, body: object, needed: str
) -> None:
    task_id = stored()[0]
    before = list(Task.objects.values())
    client = client_with(*(set(ALL) - {needed}))
    response = getattr(client, method)(address.format(id=task_id), body, format="json")
    assert_problem(response, HTTPStatus.FORBIDDEN, needed)
    assert list(Task.objects.values()) == before


@pytest.mark.parametrize(("method", "address", "body", "needed"), REQUESTS)
def test_the_named_permission_is_sufficient(
    method: str, address: str, body: object, needed: str
) -> None:
    task_id = stored(name="examples.tasks.add", kwargs="{}")[0]
    if "retry" in address:
        Task.objects.filter(pk=task_id).update(status="failed")
    client = client_with(needed, "taskmaster_tasks.view_task")
    response = getattr(client, method)(address.format(id=task_id), body, format="json")
    assert response.status_code in (HTTPStatus.OK, HTTPStatus.CREATED), response.content


@pytest.mark.parametrize(
    ("address", "body"),
    [
        ("/api/tasks/", SHELL),
        ("/api/tasks/", {"name": "shell", "kwargs": {"command": ["true"]}}),
        ("/api/tasks/bulk/", {"tasks": [ADD, SHELL]}),
    ],
)
def test_shell_needs_its_own_permission(address: str, body: object) -> None:
    refused = client_with(
        "taskmaster_tasks.add_task", "taskmaster_tasks.view_task", "taskmaster_tasks.change_task"
    )
    response = refused.post(address, body, format="json")
    assert_problem(response, HTTPStatus.FORBIDDEN, "taskmaster_tasks.submit_shell")
    assert Task.objects.count() == 0
    allowed = client_with("taskmaster_tasks.add_task", "taskmaster_tasks.submit_shell")
    assert allowed.post(address, body, format="json").status_code == HTTPStatus.CREATED


@pytest.mark.parametrize("header", ["Token wrong", "Token", "Token a b", "Token \xff"])
def test_a_wrong_token_is_refused(header: str) -> None:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=header)
    assert_problem(client.get("/api/tasks/"), HTTPStatus.UNAUTHORIZED, "nvalid token")


def test_the_token_of_an_inactive_user_is_refused() -> None:
    client = client_with(*ALL)
    User.objects.update(is_active=False)
    assert_problem(client.get("/api/tasks/"), HTTPStatus.UNAUTHORIZED)


def test_a_session_is_accepted_like_a_token() -> None:
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(user_with("taskmaster_tasks.view_task"))
    assert client.get("/api/tasks/").status_code == HTTPStatus.OK


def test_a_session_needs_the_csrf_token_to_change_something() -> None:
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(user_with(*ALL))
    assert_problem(client.post("/api/tasks/", ADD, format="json"), HTTPStatus.FORBIDDEN, "CSRF")
    assert Task.objects.count() == 0
    token = "t" * 32
    client.cookies["csrftoken"] = token
    response = client.post("/api/tasks/", ADD, format="json", HTTP_X_CSRFTOKEN=token)
    assert response.status_code == HTTPStatus.CREATED


def test_name_and_password_return_a_valid_token() -> None:
    user = user_with("taskmaster_tasks.view_task")
    user.set_password("a pass phrase")
    user.save()
    client = APIClient()
    credentials = {"username": user.username, "password": "a pass phrase"}
    form = "application/x-www-form-urlencoded"
    for sent in (
        {"data": credentials, "format": "json"},
        {"data": urlencode(credentials), "content_type": form},
    ):
        response = client.post("/api/token/", **sent)
        assert response.status_code == HTTPStatus.OK, response.content
        assert response.json() == {"token": Token.objects.get(user=user).key}
    client.credentials(HTTP_AUTHORIZATION=f"Token {response.json()['token']}")
    assert client.get("/api/tasks/").status_code == HTTPStatus.OK


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"username": "unknown", "password": "wrong"}, None, "Unable to log in"),
        ({"username": "unknown"}, "password", "required"),
        ({}, "username", "username: This field is required. password: This field is required."),
        ([], None, "Invalid data"),
        ({"username": ["a"], "password": {}}, "username", "Not a valid string"),
        ({"username": "a\0b", "password": "x"}, "username", "Null characters"),
    ],
)
def test_wrong_credentials_return_no_token(body: object, field: str | None, message: str) -> None:
    response = APIClient().post("/api/token/", body, format="json")
    assert_problem(response, HTTPStatus.BAD_REQUEST, message, field=field)
    assert Token.objects.count() == 0
