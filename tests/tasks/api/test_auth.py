"""Who may ask what: a token or a session, and a permission for each kind of request."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from tasks.models import Task
from tests.tasks.api.people import ALL, assert_problem, client_with, user_with
from tests.tasks.sample import in_s, stored

pytestmark = pytest.mark.django_db

ADD = {"name": "examples.tasks.add", "args": [1, 2]}
SHELL = {"command": "true"}

#: (method, address of a task with id {id}, body, what it needs)
REQUESTS = [
    ("get", "/api/tasks/", None, "tasks.view_task"),
    ("get", "/api/tasks/{id}/", None, "tasks.view_task"),
    ("get", "/api/tasks/{id}/output/", None, "tasks.view_task"),
    ("post", "/api/tasks/", ADD, "tasks.add_task"),
    ("post", "/api/tasks/bulk/", [ADD], "tasks.add_task"),
    ("post", "/api/tasks/{id}/cancel/", None, "tasks.change_task"),
    ("post", "/api/tasks/{id}/retry/", None, "tasks.change_task"),
    ("patch", "/api/tasks/{id}/", {"scheduled_at": in_s(86_400).isoformat()}, "tasks.change_task"),
]


@pytest.mark.parametrize(("method", "address", "body", "_"), REQUESTS)
def test_a_stranger_is_sent_to_authenticate_and_changes_nothing(
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
def test_a_user_without_the_permission_is_told_which_and_changes_nothing(
    method: str, address: str, body: object, needed: str
) -> None:
    task_id = stored()[0]
    before = list(Task.objects.values())
    client = client_with(*(set(ALL) - {needed}))
    response = getattr(client, method)(address.format(id=task_id), body, format="json")
    assert_problem(response, HTTPStatus.FORBIDDEN, needed)
    assert list(Task.objects.values()) == before


@pytest.mark.parametrize(("method", "address", "body", "needed"), REQUESTS)
def test_that_permission_alone_is_enough(
    method: str, address: str, body: object, needed: str
) -> None:
    task_id = stored(name="examples.tasks.add", kwargs="{}")[0]
    if "retry" in address:
        Task.objects.filter(pk=task_id).update(status="failed")
    client = client_with(needed)
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
def test_shell_needs_a_permission_of_its_own(address: str, body: object) -> None:
    refused = client_with("tasks.add_task", "tasks.view_task", "tasks.change_task")
    response = refused.post(address, body, format="json")
    assert_problem(response, HTTPStatus.FORBIDDEN, "tasks.submit_shell")
    assert Task.objects.count() == 0
    allowed = client_with("tasks.add_task", "tasks.submit_shell")
    assert allowed.post(address, body, format="json").status_code == HTTPStatus.CREATED


@pytest.mark.parametrize("header", ["Token wrong", "Token", "Token a b", "Token \xff"])
def test_a_wrong_token_is_refused(header: str) -> None:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=header)
    assert_problem(client.get("/api/tasks/"), HTTPStatus.UNAUTHORIZED, "nvalid token")


def test_the_token_of_a_user_who_was_switched_off_is_refused() -> None:
    client = client_with(*ALL)
    User.objects.update(is_active=False)
    assert_problem(client.get("/api/tasks/"), HTTPStatus.UNAUTHORIZED)


def test_a_session_will_do_as_well_as_a_token() -> None:
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(user_with("tasks.view_task"))
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


def test_name_and_password_buy_a_token_that_works() -> None:
    user = user_with("tasks.view_task")
    user.set_password("a pass phrase")
    user.save()
    client = APIClient()
    credentials = {"username": user.username, "password": "a pass phrase"}
    for kind in ("json", "multipart"):
        response = client.post("/api/token/", credentials, format=kind)
        assert response.status_code == HTTPStatus.OK, response.content
        assert response.json() == {"token": Token.objects.get(user=user).key}
    client.credentials(HTTP_AUTHORIZATION=f"Token {response.json()['token']}")
    assert client.get("/api/tasks/").status_code == HTTPStatus.OK


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"username": "nobody", "password": "wrong"}, None, "Unable to log in"),
        ({"username": "nobody"}, "password", "required"),
        ({}, "username", "username: This field is required. password: This field is required."),
        ([], None, "Invalid data"),
        ({"username": ["a"], "password": {}}, "username", "Not a valid string"),
        ({"username": "a\0b", "password": "x"}, "username", "Null characters"),
    ],
)
def test_wrong_credentials_buy_none(body: object, field: str | None, words: str) -> None:
    response = APIClient().post("/api/token/", body, format="json")
    assert_problem(response, HTTPStatus.BAD_REQUEST, words, field=field)
    assert Token.objects.count() == 0
