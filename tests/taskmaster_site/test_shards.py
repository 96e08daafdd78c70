"""Read access to other databases."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.test import Client
from django.urls import get_script_prefix, get_urlconf

from taskmaster.taskmaster_site import shards
from tests.tasks.api.people import assert_problem

pytestmark = pytest.mark.django_db


@pytest.fixture
def _north(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "names", lambda: ["default", "north"])


def test_a_project_without_other_databases_has_one_shard() -> None:
    assert shards.names() == ["default"]


def test_an_unknown_shard_is_not_found() -> None:
    answer = Client().get("/shards/south/api/tasks/")
    assert_problem(answer, HTTPStatus.NOT_FOUND, "Shard 'south' is not configured")


@pytest.mark.usefixtures("_north")
def test_a_shard_is_read_only() -> None:
    answer = Client().post("/shards/north/api/tasks/")
    assert_problem(answer, HTTPStatus.METHOD_NOT_ALLOWED, "POST is not allowed")
    assert answer["Allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.usefixtures("_north")
def test_a_shard_has_no_streams_here() -> None:
    answer = Client().get("/shards/north/api/events/stream/")
    assert answer.status_code == HTTPStatus.NOT_FOUND


def test_urls_are_reversed_below_the_shard_and_restored_afterwards() -> None:
    before = get_script_prefix(), get_urlconf()
    with shards._url_prefix("/shards/north/"):
        assert get_script_prefix() == "/shards/north/"
    assert (get_script_prefix(), get_urlconf()) == before
