"""A web process whose database is in trouble says so to whoever asks, and once to its log."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import InternalError, OperationalError
from django.test import Client
from psycopg_pool import PoolTimeout

from coordinator.trouble import Trouble
from taskmaster_site import trouble
from taskmaster_site.pages import figures
from tasks import enqueue
from tests.coordinator.sample import Clock
from tests.tasks.api.people import ALL, assert_problem, client_with

pytestmark = pytest.mark.django_db


def read_only() -> InternalError:
    error = InternalError("cannot execute INSERT in a read-only transaction")
    error.__cause__ = psycopg.errors.ReadOnlySqlTransaction(str(error))
    return error


def raising(error: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    fresh = Trouble("trouble", quiet_s=10, clock=clock)
    monkeypatch.setattr(trouble, "trouble", fresh)
    return clock


@pytest.fixture
def browser(clock: Clock) -> Client:
    browser = Client(raise_request_exception=False)
    browser.force_login(User.objects.create_superuser("ada"))
    return browser


@pytest.mark.parametrize("error", [OperationalError("host=x"), PoolTimeout("2 s"), read_only()])
def test_a_page_is_a_503_and_the_log_gets_one_line_for_many(
    browser: Client,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(figures, "counters", raising(error))
        for _ in range(5):
            answer = browser.get("/")
            assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
            assert b"The database does not answer" in answer.content
            assert str(error).encode() not in answer.content
    mine = [each for each in caplog.records if each.name == "coordinator.trouble"]
    assert [each.getMessage() for each in mine] == ["trouble"]
    caplog.set_level("INFO", "coordinator.trouble")
    assert browser.get("/").status_code == HTTPStatus.OK
    assert "database trouble is over" not in caplog.messages
    clock.now += 10
    assert browser.get("/").status_code == HTTPStatus.OK
    assert "database trouble is over" in caplog.messages


@pytest.mark.parametrize("error", [OperationalError("away"), PoolTimeout("full"), read_only()])
def test_the_api_is_a_503_too(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(enqueue, "execute", raising(error))
    answer = client_with(*ALL).post("/api/tasks/", {"command": "true"}, format="json")
    assert_problem(answer, HTTPStatus.SERVICE_UNAVAILABLE, "database does not answer")
    assert answer.headers["Retry-After"] == "2"


def test_a_fault_of_ours_is_no_trouble(
    browser: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(figures, "counters", raising(InternalError("a fault")))
    assert browser.get("/").status_code == HTTPStatus.INTERNAL_SERVER_ERROR
    assert "trouble" not in caplog.messages
