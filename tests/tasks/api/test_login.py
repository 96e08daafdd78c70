"""Test the limits of the token endpoint: body size, failed logins, and malformed input."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import F
from django.test import override_settings
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from taskmaster.tasks.api.login import PER_ADDRESS, PER_USER, PERIOD_S
from taskmaster.tasks.models import LoginAttempt
from tests.tasks.api.people import assert_problem

pytestmark = pytest.mark.django_db(transaction=True)

TOKEN = "/api/token/"
FORM = "application/x-www-form-urlencoded"
GOOD = {"username": "ada", "password": "a pass phrase"}


@pytest.fixture
def client(settings: Any) -> APIClient:
    """Return an anonymous client of a site with one user."""
    # The hash of a password takes 100 ms otherwise.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    User.objects.create_user("ada", password="a pass phrase")
    client = APIClient()
    client.raise_request_exception = False
    return client


def log_in(client: APIClient, name: str = "ada", password: str = "wrong", **meta: str) -> Any:
    body = {"username": name, "password": password}
    return client.post(TOKEN, body, format="json", **meta)


def test_failed_logins_of_a_user_are_limited_from_every_address(client: APIClient) -> None:
    for number in range(PER_USER):
        response = log_in(client, "ADA" if number % 2 else "ada", REMOTE_ADDR=f"10.0.0.{number}")
        assert response.status_code == HTTPStatus.BAD_REQUEST
    refused = log_in(client, password=GOOD["password"], REMOTE_ADDR="10.0.0.99")
    assert_problem(refused, HTTPStatus.TOO_MANY_REQUESTS, "failed logins of this user", "10 in 5")
    assert refused["Retry-After"] == str(PERIOD_S)
    assert not Token.objects.exists()
    LoginAttempt.objects.update(since=F("since") - timedelta(seconds=PERIOD_S + 1))
    assert log_in(client, **{"password": GOOD["password"]}).status_code == HTTPStatus.OK


def test_failed_logins_of_an_address_are_limited_for_every_user(client: APIClient) -> None:
    for number in range(PER_ADDRESS):
        response = log_in(client, f"user{number}", REMOTE_ADDR=f"2001:db8:1:2:{number:x}::1")
        assert response.status_code == HTTPStatus.BAD_REQUEST
    for address, status in (
        ("2001:db8:1:2:ffff::1", HTTPStatus.TOO_MANY_REQUESTS),
        ("2001:db8:1:3::1", HTTPStatus.BAD_REQUEST),
    ):
        assert log_in(client, "another", REMOTE_ADDR=address).status_code == status


def test_successful_logins_are_not_limited(client: APIClient) -> None:
    for _ in range(PER_USER + 2):
        assert client.post(TOKEN, GOOD, format="json").status_code == HTTPStatus.OK
    assert set(LoginAttempt.objects.values_list("attempts", flat=True)) == {0}


def test_concurrent_attempts_do_not_exceed_the_limit(client: APIClient) -> None:
    def attempt(_: int) -> int:
        try:
            return int(log_in(APIClient()).status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        codes = list(threads.map(attempt, range(PER_USER + 10)))
    assert codes.count(HTTPStatus.BAD_REQUEST) == PER_USER
    assert codes.count(HTTPStatus.TOO_MANY_REQUESTS) == 10


def test_x_forwarded_for_counts_only_behind_the_number_of_proxies(client: APIClient) -> None:
    def attempts(**meta: str) -> None:
        for number in range(PER_ADDRESS + 1):
            log_in(client, f"u{number}", HTTP_X_FORWARDED_FOR=f"9.9.9.{number}, 10.0.0.7", **meta)

    attempts(REMOTE_ADDR="10.0.0.1")
    assert log_in(client, "x", REMOTE_ADDR="10.0.0.1").status_code == 429
    with override_settings(REST_FRAMEWORK={"NUM_PROXIES": 1}):
        attempts(REMOTE_ADDR="10.0.0.2")
        seen = {"HTTP_X_FORWARDED_FOR": "10.0.0.7"}
        assert log_in(client, "x", REMOTE_ADDR="10.0.0.3", **seen).status_code == 429
        assert log_in(client, "x", REMOTE_ADDR="10.0.0.2").status_code == 400


def test_each_failure_is_one_line_of_the_log(
    client: APIClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="taskmaster.tasks.api.login"):
        for _ in range(PER_USER + 5):
            log_in(client, "eve\r\n", REMOTE_ADDR="10.0.0.8")
    lines = [(each.getMessage(), vars(each)["address"]) for each in caplog.records]
    assert lines == [("login failed", "10.0.0.8")] * PER_USER + [("login refused", "10.0.0.8")]
    assert "too many failed logins of this user" in vars(caplog.records[-1])["reason"]
    assert vars(caplog.records[0])["user"] == "eve\r\n"
    assert "wrong" not in "".join(str(vars(each)) for each in caplog.records)


def test_the_counts_survive_the_rollback_of_the_request(client: APIClient) -> None:
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        for _ in range(PER_USER + 1):
            response = log_in(client)
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    assert response.status_code == HTTPStatus.TOO_MANY_REQUESTS


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b'{"username": "' + b"x" * 5_000 + b'"}', "application/json", 413),
        (b"username=" + b"x" * 5_000, FORM, 413),
        (b"[" * 5_000 + b"]" * 5_000, "application/json", 413),
        (b"[" * 2_000 + b"]" * 2_000, "application/json", 400),
        (b'{"username": ' + b"[" * 900 + b"]" * 900 + b"}", "application/json", 400),
        (b"&".join([b"a"] * 1_001), FORM, 400),
        (b"username=%ff&password=%00", FORM, 400),
        (b"username=a&password=b", f"{FORM}; charset=hex", 400),
        (b'{"username": "\\ud800", "password": "\\ud800"}', "application/json", 400),
        (b'{"username": 1e999, "password": 1}', "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"--b\r\n", "multipart/form-data; boundary=b", 415),
        (b"x", "text/plain", 415),
        (b"", "", 400),
    ],
)
def test_no_input_is_an_internal_error(
    client: APIClient, body: bytes, kind: str, status: int
) -> None:
    response = client.generic("POST", TOKEN, body, content_type=kind)
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    json.loads(response.content)


def test_a_deeply_nested_body_is_refused_everywhere(client: APIClient) -> None:
    client.force_authenticate(User.objects.create_superuser("root"))
    for depth in (300, 5_000):
        body = b"[" * depth + b"]" * depth
        for url in ("/api/tasks/", "/api/operations/", "/api/pools/", "/api/workers/scale/"):
            response = client.generic("POST", url, body, content_type="application/json")
            assert_problem(response, HTTPStatus.BAD_REQUEST, "nested")


@pytest.mark.parametrize("query", ["version=%0d", "version=%00", "lang=%0d", "format=%0d"])
def test_the_schema_ignores_parameters_that_would_get_into_a_header(
    client: APIClient, query: str
) -> None:
    assert client.get(f"/api/schema/?{query}").status_code in (200, 404)
