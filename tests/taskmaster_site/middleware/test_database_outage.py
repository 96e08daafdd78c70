"""A web process without a database answers 503 and logs the outage once."""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from uuid import UUID

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import InternalError, OperationalError, connection
from django.test import Client
from psycopg_pool import PoolTimeout

from taskmaster.taskmaster_site.pages import page_context
from taskmaster.tasks import outage_log, task_actions
from taskmaster.tasks.outage_log import OutageLog
from taskmaster.tasks.store import sync_store
from tests.coordinator.sample import Clock
from tests.factories import stored
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
    fresh = OutageLog("outage", quiet_s=10, clock=clock)
    monkeypatch.setattr(outage_log, "request_outage", fresh)
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
        broken.setattr(page_context, "counters", raising(error))
        for _ in range(5):
            answer = browser.get("/")
            assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
            assert b"Database unavailable" in answer.content
            assert str(error).encode() not in answer.content
    mine = [each for each in caplog.records if each.name == "taskmaster.tasks.outage_log"]
    assert [each.getMessage() for each in mine] == ["outage"]
    caplog.set_level("INFO", "taskmaster.tasks.outage_log")
    assert browser.get("/").status_code == HTTPStatus.OK
    assert "database available again" not in caplog.messages
    clock.now += 10
    assert browser.get("/").status_code == HTTPStatus.OK
    assert "database available again" in caplog.messages


def test_the_page_of_an_outage_is_styled_within_its_policy_and_needs_no_database(
    browser: Client,
) -> None:
    def fail(*_: object) -> None:
        raise OperationalError("away")

    # Every query fails, beginning with that of the session.
    with connection.execute_wrapper(fail):
        for address in ("/", "/tasks/7/", "/login/"):
            answer = browser.get(address)
            page = answer.content.decode()
            assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE, address
            assert answer.headers["Retry-After"] == "2"
            assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
            assert "style=" not in page
            styles = re.findall(r'rel="stylesheet" href="(/static/[^"]+)"', page)
            assert "/static/taskmaster/standalone.css" in styles
            assert {browser.get(style).status_code for style in styles} == {HTTPStatus.OK}


@pytest.mark.parametrize(
    ("method", "address", "text"),
    [
        ("GET", "/tasks/", "this part of the page is out of date"),
        ("POST", "/create/", "reload the page to see whether the change was made"),
        ("POST", f"/workers/{UUID(int=7)}/drain/", "reload the page to see whether the change"),
    ],
)
def test_a_script_gets_one_toast_and_no_page(
    browser: Client, method: str, address: str, text: str
) -> None:
    def fail(*_: object) -> None:
        raise OperationalError("away")

    with connection.execute_wrapper(fail):
        answer = browser.generic(method, address, headers={"HX-Request": "true"})
    assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert answer.headers["HX-Retarget"] == "#toasts"
    shown = answer.content.decode()
    assert shown.startswith('<p class="toast failed" role="alert">')
    assert text in shown


@pytest.mark.parametrize("error", [OperationalError("away"), PoolTimeout("full"), read_only()])
def test_the_api_is_a_503_too(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(sync_store, "insert_task", raising(error))
    answer = client_with(*ALL).post("/api/tasks/", {"command": "true"}, format="json")
    assert_problem(answer, HTTPStatus.SERVICE_UNAVAILABLE, "database is unavailable")
    assert answer.headers["Retry-After"] == "2"


def test_a_button_gets_a_toast_and_a_page_keeps_its_styles(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_context, "counters", raising(OperationalError("away")))
    monkeypatch.setattr(task_actions, "cancel", raising(OperationalError("away")))
    [task] = stored(1)
    answer = browser.post(f"/tasks/{task}/cancel/", headers={"HX-Request": "true"})
    assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert answer.headers["HX-Retarget"] == "#toasts"
    assert b"The database does not answer." in answer.content
    assert b"<html" not in answer.content
    page = browser.get("/")
    assert b"taskmaster/page.css" in page.content
    assert b"style=" not in page.content


def test_a_bug_is_not_an_outage(
    browser: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(page_context, "counters", raising(InternalError("a fault")))
    assert browser.get("/").status_code == HTTPStatus.INTERNAL_SERVER_ERROR
    assert "outage" not in caplog.messages
