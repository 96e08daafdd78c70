"""Root, token, shards and unknown URLs of the API."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from rest_framework.test import APIClient

from taskmaster.taskmaster_site import api
from tests.tasks.api.people import assert_problem, client_with

pytestmark = pytest.mark.django_db
VIEW = "taskmaster_tasks.view_task"


def test_the_root_links_to_endpoints_that_exist() -> None:
    client = client_with(VIEW)
    links = client.get("/api/").json()
    assert links["tasks"] == "http://testserver/api/tasks/"
    assert client.get(links["stats"]).status_code == HTTPStatus.OK


def test_a_user_name_and_a_password_are_exchanged_for_a_token() -> None:
    User.objects.create_user("ada", password="countess")
    client = APIClient()
    refused = client.post("/api/token/", {"username": "ada", "password": "wrong"}, format="json")
    assert refused.status_code == HTTPStatus.BAD_REQUEST
    granted = client.post("/api/token/", {"username": "ada", "password": "countess"}, format="json")
    client.credentials(HTTP_AUTHORIZATION=f"Token {granted.json()['token']}")
    assert client.get("/api/").status_code == HTTPStatus.OK


def test_the_own_database_is_the_first_shard() -> None:
    [shard] = client_with(VIEW).get("/api/shards/").json()
    assert (shard["name"], shard["api"]) == ("default", "http://testserver/api/")
    assert shard["answers"] is True
    assert shard["overview"]["pending"] == 0


def test_an_unavailable_shard_is_listed_without_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable() -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(api, "overview", unavailable)
    assert api._overview("north") is None
    with pytest.raises(OperationalError):
        api._overview("default")


def test_the_shards_need_the_permission_to_view_tasks() -> None:
    assert client_with().get("/api/shards/").status_code == HTTPStatus.FORBIDDEN


def test_an_unknown_url_with_a_missing_slash_suggests_the_right_one() -> None:
    answer = client_with(VIEW).get("/api/tasks")
    assert_problem(answer, HTTPStatus.NOT_FOUND, "Did you mean /api/tasks/ ?")
