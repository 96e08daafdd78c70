"""Test the login page: who gets in, where it leads, and the limits that it shares with the API."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client
from django.test.client import MULTIPART_CONTENT

from taskmaster.tasks.api.login import PER_USER, PERIOD_S
from tests.factories import user_with
from tests.taskmaster_site.pages.people import text

pytestmark = pytest.mark.django_db

LOGIN = "/login/"
FORM = "application/x-www-form-urlencoded"
PASSWORD = "a pass phrase"
WRONG = "User name or password is wrong."


@pytest.fixture
def viewer(settings: Any) -> User:
    """Create a user who may view tasks and is not staff."""
    # The hash of a password takes 100 ms otherwise.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    user = user_with("taskmaster_tasks.view_task")
    user.set_password(PASSWORD)
    user.save()
    return user


def log_in(browser: Client, name: str, password: str = PASSWORD, **fields: str) -> Any:
    """Send the form of the login page."""
    body = urlencode({"username": name, "password": password, **fields})
    return browser.post(LOGIN, body, content_type=FORM)


def test_a_viewer_who_is_not_staff_logs_in_and_returns_to_the_page(viewer: User) -> None:
    browser = Client()
    target = browser.get("/?status=failed").headers["Location"]
    page = text(browser.get(target))
    assert "Log in to open the dashboard." in page
    answer = log_in(browser, viewer.username, next="/?status=failed")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/?status=failed")
    assert browser.get(answer.headers["Location"]).status_code == 200


def test_the_login_gets_a_new_session_and_a_new_csrf_token(viewer: User) -> None:
    browser = Client()
    session = browser.session
    session["cart"] = "kept"
    session.save()
    browser.get(LOGIN)
    before = browser.cookies["csrftoken"].value, session.session_key
    log_in(browser, viewer.username)
    after = browser.cookies["csrftoken"].value, browser.session.session_key
    assert not set(before) & set(after)
    assert browser.session["cart"] == "kept"
    assert not Session.objects.filter(pk=session.session_key).exists()


def test_the_form_needs_its_csrf_token(viewer: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    assert log_in(browser, viewer.username).status_code == HTTPStatus.FORBIDDEN
    browser.get(LOGIN)
    token = browser.cookies["csrftoken"].value
    answer = log_in(browser, viewer.username, csrfmiddlewaretoken=token)
    assert answer.status_code == HTTPStatus.FOUND


def test_the_page_shows_that_the_session_has_ended(viewer: User) -> None:
    browser = Client()
    browser.force_login(viewer)
    Session.objects.all().delete()
    target = browser.get("/tasks/7/").headers["Location"]
    assert target == "/login/?reason=session-ended&next=/tasks/7/"
    assert "Your session has ended. Log in to return to task 7." in text(browser.get(target))


def test_a_login_during_a_change_leads_to_the_dashboard(viewer: User) -> None:
    assert Client().post("/create/").headers["Location"] == "/login/?next=/"


def test_a_script_whose_session_has_ended_gets_the_page_to_return_to(viewer: User) -> None:
    browser = Client()
    browser.force_login(viewer)
    Session.objects.all().delete()
    script = {"HX-Request": "true", "HX-Current-URL": "http://testserver/?q=x#create"}
    answer = browser.post("/create/", headers=script)
    assert answer.status_code == HTTPStatus.UNAUTHORIZED
    assert answer.headers["HX-Redirect"] == "/login/?reason=session-ended&next=/%3Fq%3Dx"


def test_the_reason_survives_that_the_stream_has_deleted_the_cookie(viewer: User) -> None:
    browser = Client()
    browser.force_login(viewer)
    Session.objects.all().delete()
    stream = browser.get("/api/logs/stream?channels=tasks")
    assert stream.status_code == HTTPStatus.UNAUTHORIZED
    # Browsers obey the deletion; this client would send an empty cookie.
    assert stream.cookies["sessionid"]["max-age"] == 0
    del browser.cookies["sessionid"]
    script = {"HX-Request": "true", "HX-Current-URL": "http://testserver/tasks/"}
    answer = browser.head("/tasks/", headers=script)
    assert answer.headers["HX-Redirect"] == "/login/?reason=session-ended&next=/tasks/"


@pytest.mark.parametrize("url", ["http://[::1", "http://\u2100/", "//[", ""])
def test_a_script_with_an_invalid_address_returns_to_the_dashboard(url: str) -> None:
    answer = Client().get("/tasks/", headers={"HX-Request": "true", "HX-Current-URL": url})
    assert answer.headers["HX-Redirect"] == "/login/?reason=session-ended&next=/"


@pytest.mark.parametrize(
    "target",
    [
        "https://example.com/", "//example.com/", "javascript:alert(1)", "/login/", "/logout/",
        "/login/?next=/login/", "\\\\example.com", "http:///example.com", "",
    ],
)  # fmt: skip
def test_a_login_leads_to_no_other_site_and_to_no_login_page(viewer: User, target: str) -> None:
    browser = Client()
    query = urlencode({"next": target})
    assert "Log in to" not in text(browser.get(f"{LOGIN}?{query}"))
    assert log_in(browser, viewer.username, next=target).headers["Location"] == "/"
    again = browser.get(f"{LOGIN}?{query}")
    assert (again.status_code, again.headers["Location"]) == (302, "/")


@pytest.mark.parametrize("target", ["/{task_id}/", "/%0d%0aSet-Cookie:x=1", "/\r\nX: 1", "/é/\0"])
def test_any_path_of_this_site_is_accepted_without_an_error(viewer: User, target: str) -> None:
    browser = Client()
    assert browser.get(f"{LOGIN}?{urlencode({'next': target})}").status_code in (200, 400)
    answer = log_in(browser, viewer.username, next=target)
    assert answer.status_code == HTTPStatus.FOUND
    assert "x=1" not in str(answer.cookies)


def test_an_unknown_user_and_a_wrong_password_get_the_same_answer(viewer: User) -> None:
    wrong, unknown = (
        text(log_in(Client(), name, "wrong")).replace(name, "NAME")
        for name in (viewer.username, "unknown")
    )
    assert WRONG in wrong
    without_token = [
        [line for line in page.splitlines() if "csrfmiddlewaretoken" not in line]
        for page in (wrong, unknown)
    ]
    assert without_token[0] == without_token[1]
    assert 'value="NAME"' in wrong


def test_an_inactive_user_gets_the_same_answer(viewer: User) -> None:
    User.objects.update(is_active=False)
    assert WRONG in text(log_in(Client(), viewer.username))


def test_failed_logins_are_limited_and_logged_together_with_those_of_the_api_and_the_admin(
    viewer: User, caplog: pytest.LogCaptureFixture
) -> None:
    body = {"username": viewer.username, "password": "wrong"}
    browser = Client()
    with caplog.at_level(logging.WARNING, logger="taskmaster.tasks.api.login"):
        for number in range(PER_USER):
            if number % 3 == 0:
                browser.post("/api/token/", body, content_type="application/json")
            elif number % 3 == 1:
                assert "for a staff account" in text(browser.post("/admin/login/", body))
            else:
                assert log_in(browser, viewer.username, "wrong").status_code == HTTPStatus.OK
        refused = log_in(browser, viewer.username)
    assert refused.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert refused.headers["Retry-After"] == str(PERIOD_S)
    assert "Too many failed logins. Try again in 5 minutes." in text(refused)
    in_admin = browser.post("/admin/login/", body)
    assert "Too many failed logins." in text(in_admin)
    assert in_admin.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert in_admin.headers["Retry-After"] == str(PERIOD_S)
    lines = [each.getMessage() for each in caplog.records]
    assert lines == ["login failed"] * PER_USER + ["login refused"]
    assert "invalid_login" in vars(caplog.records[1])["reason"]
    assert {vars(each)["user"] for each in caplog.records} == {viewer.username}


def test_a_successful_login_and_an_incomplete_form_do_not_count(viewer: User) -> None:
    browser = Client()
    for _ in range(PER_USER + 1):
        assert "required" in text(log_in(browser, viewer.username, ""))
    for _ in range(PER_USER + 1):
        assert log_in(browser, viewer.username).status_code == HTTPStatus.FOUND
        browser.cookies.clear()


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"username=" + b"x" * 20_000, FORM, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
        (b"&".join([b"a"] * 1_001), FORM, HTTPStatus.BAD_REQUEST),
        (b"username=%ff&password=%00", FORM, HTTPStatus.OK),
        (b"username=a&password=b", f"{FORM}; charset=hex", HTTPStatus.BAD_REQUEST),
        (b"{}", "application/json", HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
        (b"--b\r\n", "multipart/form-data; boundary=b", HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    ],
)
def test_no_body_is_an_internal_error(body: bytes, kind: str, status: HTTPStatus) -> None:
    browser = Client(raise_request_exception=False)
    assert browser.generic("POST", LOGIN, body, content_type=kind).status_code == status


def test_a_body_is_refused_by_its_size_before_it_is_read() -> None:
    browser = Client(enforce_csrf_checks=True)
    answers = [
        browser.generic("POST", LOGIN, b"a", content_type=FORM, CONTENT_LENGTH=length)
        for length in ("60000000", "", "-1")
    ]
    assert [each.status_code for each in answers] == [413, 411, 411]
    assert browser.post(LOGIN, {}, content_type=MULTIPART_CONTENT).status_code == 415


def test_logging_out_ends_the_session_and_needs_a_post(viewer: User) -> None:
    browser = Client()
    browser.force_login(viewer)
    assert browser.get("/logout/").status_code == HTTPStatus.METHOD_NOT_ALLOWED
    assert 'action="/logout/"' in text(browser.get("/"))
    answer = browser.post("/logout/?next=https://example.com/")
    assert answer.headers["Location"] == "/login/?reason=logged-out"
    assert "You have logged out." in text(browser.get(answer.headers["Location"]))
    assert browser.get("/").status_code == HTTPStatus.FOUND
    assert not Session.objects.exists()


def test_a_menu_shows_links_of_the_admin_to_staff_only(viewer: User) -> None:
    browser = Client()
    browser.force_login(viewer)
    assert "/admin/password_change/" not in text(browser.get("/"))
    User.objects.update(is_staff=True)
    assert "/admin/password_change/" in text(browser.get("/"))


@pytest.mark.parametrize(
    ("urls", "login_url", "expected"),
    [
        ("tests.prefixed_urls", "/accounts/login/", "/ops/login/?next=/ops/tasks/7/"),
        ("tests.prefixed_urls", "/sso/", "/sso/?next=/ops/tasks/7/"),
        ("tests.prefixed_urls", "taskmaster:login", "/ops/login/?next=/ops/tasks/7/"),
        ("tests.prefixed_login_urls", "/accounts/login/", "/accounts/login/?next=/ops/tasks/7/"),
    ],
)
def test_the_login_page_is_that_of_the_project_if_it_has_one(
    settings: Any, urls: str, login_url: str, expected: str
) -> None:
    settings.ROOT_URLCONF, settings.LOGIN_URL = urls, login_url
    answer = Client().get("/ops/tasks/7/")
    assert (answer.status_code, answer.headers["Location"]) == (302, expected)
    after_logout = Client().post("/ops/logout/").headers["Location"]
    assert after_logout.partition("?")[0] == expected.partition("?")[0]


def test_the_login_works_below_a_prefix(viewer: User, settings: Any) -> None:
    settings.ROOT_URLCONF, settings.LOGIN_URL = "tests.prefixed_urls", "/accounts/login/"
    browser = Client()
    target = browser.get("/ops/").headers["Location"]
    page = text(browser.get(target))
    assert "Log in to open the dashboard." in page
    body = urlencode({"username": viewer.username, "password": PASSWORD})
    answer = browser.post("/ops/login/", body, content_type=FORM)
    assert answer.headers["Location"] == "/ops/"
    assert 'action="/ops/logout/"' in text(browser.get("/ops/"))
    assert browser.post("/ops/logout/").headers["Location"].startswith("/ops/login/")
    settings.LOGOUT_REDIRECT_URL = "/bye/"
    assert browser.post("/ops/logout/").headers["Location"] == "/bye/"
