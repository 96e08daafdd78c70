"""Test Idempotency-Key: a repeated request is executed once."""

from __future__ import annotations

import threading
from http import HTTPStatus
from typing import Any

import psycopg
import pytest
from django.db import connections
from django.utils import timezone
from rest_framework.test import APIClient

from taskmaster.coordinator.support.database import conninfo
from taskmaster.tasks.api import idempotency
from taskmaster.tasks.models import IdempotencyKey, Task
from tests.factories import in_s
from tests.tasks.api.people import ALL, assert_problem, client_with

TASK = {"name": "examples.tasks.add", "args": [1, 2]}
OTHER = {"name": "examples.tasks.add", "args": [1, 3]}
ONE, MANY = "/api/tasks/", "/api/tasks/bulk/"


def send(client: APIClient, body: object, key: str, url: str = ONE) -> Any:
    return client.post(url, body, format="json", headers={"Idempotency-Key": key})


@pytest.mark.parametrize(("url", "body"), [(ONE, TASK), (MANY, {"tasks": [TASK, OTHER]})])
def test_a_repeated_request_has_the_same_answer_and_stores_nothing(
    client: APIClient, url: str, body: Any
) -> None:
    first = send(client, body, "k1", url)
    stored = Task.objects.count()
    Task.objects.update(status="cancelled")
    again = send(client, body, "k1", url)
    assert (first.status_code, again.status_code) == (HTTPStatus.CREATED, HTTPStatus.CREATED)
    assert again.json() == first.json()
    assert again["Content-Type"] == first["Content-Type"]
    assert again.get("Location") == first.get("Location")
    assert again["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first
    assert Task.objects.count() == stored


def test_the_order_of_the_fields_is_irrelevant(client: APIClient) -> None:
    send(client, TASK, "k1")
    again = send(client, dict(reversed(TASK.items())), "k1")
    assert again["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize(("url", "body"), [(ONE, OTHER), (MANY, [TASK])])
def test_the_same_key_with_another_submission_is_refused(
    client: APIClient, url: str, body: Any
) -> None:
    send(client, TASK, "k1")
    refused = send(client, body, "k1", url)
    assert_problem(refused, HTTPStatus.UNPROCESSABLE_ENTITY, "k1", "another submission")
    assert Task.objects.count() == 1


def test_a_key_belongs_to_its_user(client: APIClient) -> None:
    own = send(client, TASK, "k1").json()["id"]
    other = send(client_with(*ALL), OTHER, "k1").json()["id"]
    assert own != other


def test_a_refused_submission_does_not_use_its_key(client: APIClient) -> None:
    assert send(client, {**TASK, "priority": 500}, "k1").status_code == HTTPStatus.BAD_REQUEST
    assert not IdempotencyKey.objects.exists()
    assert send(client, TASK, "k1").status_code == HTTPStatus.CREATED


def test_a_key_can_be_reused_after_a_day(client: APIClient) -> None:
    first = send(client, TASK, "k1").json()["id"]
    IdempotencyKey.objects.update(at=in_s(-idempotency.KEPT_S + 60))
    assert send(client, TASK, "k1").json()["id"] == first
    IdempotencyKey.objects.update(at=in_s(-idempotency.KEPT_S - 1))
    second = send(client, OTHER, "k1").json()["id"]
    assert second != first
    assert send(client, OTHER, "k1").json()["id"] == second
    assert (timezone.now() - IdempotencyKey.objects.get().at).total_seconds() < 60


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "ümlaut"])
def test_a_malformed_key_is_refused_by_name(client: APIClient, key: str) -> None:
    refused = send(client, TASK, key)
    assert_problem(
        refused,
        HTTPStatus.BAD_REQUEST,
        "1 to 255 printable ASCII characters",
        field="Idempotency-Key",
    )
    assert not Task.objects.exists()


def test_the_longest_key_is_accepted(client: APIClient) -> None:
    assert send(client, TASK, "~" * 255).status_code == HTTPStatus.CREATED


@pytest.mark.django_db(transaction=True)
def test_concurrent_requests_with_one_key_store_one_set_of_tasks() -> None:
    client = client_with(*ALL)
    answers: list[Any] = []
    barrier = threading.Barrier(4)

    def submit() -> None:
        barrier.wait()
        try:
            answers.append(send(client, [TASK] * 500, "twins", MANY))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [HTTPStatus.CREATED] * 4
    assert len({str(answer.json()["ids"]) for answer in answers}) == 1
    assert sum("Idempotency-Replayed" not in answer for answer in answers) == 1
    assert Task.objects.count() == 500


@pytest.mark.django_db(transaction=True)
def test_a_waiting_request_submits_when_the_first_one_fails() -> None:
    client = client_with(*ALL)
    answers: list[Any] = []

    def submit() -> None:
        try:
            answers.append(send(client, TASK, "k1"))
        finally:
            connections.close_all()

    thread = threading.Thread(target=submit)
    with psycopg.connect(conninfo()) as first:
        first.execute(
            "INSERT INTO taskmaster_tasks_idempotencykey (user_id, key, request, answer, location) "
            "SELECT user_id, 'k1', 'x', '', '' FROM authtoken_token"
        )
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
        first.rollback()
    thread.join()
    assert answers[0].status_code == HTTPStatus.CREATED
    assert Task.objects.count() == 1
