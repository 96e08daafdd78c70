"""Test POST /api/tasks/bulk/, which stores all tasks or none."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from rest_framework.test import APIClient

from taskmaster.tasks.models import Task
from tests.tasks.api.people import assert_problem

URL = "/api/tasks/bulk/"
ADD = {"name": "examples.tasks.add", "args": [1, 2]}


def submit(client: APIClient, body: object) -> Any:
    return client.post(URL, body, format="json")


def test_the_ids_come_in_the_order_of_the_tasks(client: APIClient) -> None:
    numbers = range(50)
    tasks = [{**ADD, "args": [number, 0]} for number in numbers] + [{"command": "true"}]
    response = submit(client, {"tasks": tasks})
    assert response.status_code == HTTPStatus.CREATED
    ids = response.json()["ids"]
    stored = Task.objects.in_bulk(ids)
    assert [stored[pk].args for pk in ids[:-1]] == [[number, 0] for number in numbers]
    assert stored[ids[-1]].kwargs == {"command": "true"}
    assert all(task.created_by is not None for task in stored.values())


def test_a_bare_list_is_accepted(client: APIClient) -> None:
    assert len(submit(client, [ADD, ADD]).json()["ids"]) == 2


@pytest.mark.parametrize("body", [[], {"tasks": []}])
def test_an_empty_bulk_is_refused(client: APIClient, body: object) -> None:
    assert_problem(submit(client, body), HTTPStatus.BAD_REQUEST, "at least one", field="tasks")


def test_one_task_too_many_is_too_large_and_none_is_stored(client: APIClient) -> None:
    response = submit(client, {"tasks": [ADD] * 100_001})
    assert_problem(
        response,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "has 100,001 tasks; the limit is 100,000",
        field="tasks",
    )
    assert Task.objects.count() == 0


@pytest.mark.parametrize(
    ("wrong", "field", "rule"),
    [
        ({**ADD, "priority": 500}, "tasks[2].priority", "is 500"),
        ({"name": "examples.tasks.ad"}, "tasks[2].name", "closest"),
        ({"command": ""}, "tasks[2].command", "non-empty"),
        ({**ADD, "tags": [5]}, "tasks[2].tags[0]", "must be a string"),
        ({**ADD, "colour": "red"}, "tasks[2].colour", "unknown field"),
        ("shell", "tasks[2]", "must be an object"),
        (None, "tasks[2]", "must be an object"),
    ],
)
def test_one_invalid_task_is_named_by_its_index_and_none_is_stored(
    client: APIClient, wrong: object, field: str, rule: str
) -> None:
    response = submit(client, {"tasks": [ADD, ADD, wrong, ADD]})
    assert_problem(response, HTTPStatus.BAD_REQUEST, rule, field=field)
    assert Task.objects.count() == 0


def test_one_task_with_too_large_arguments_is_named_and_none_is_stored(client: APIClient) -> None:
    response = submit(client, [ADD, {**ADD, "args": ["x" * 1_100_000]}])
    assert_problem(response, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, field="tasks[1].args")
    assert Task.objects.count() == 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "tasks"),
        ({"tasks": ADD}, "tasks"),
        ({"tasks": "shell"}, "tasks"),
        ({"tasks": None}, "tasks"),
        ({"tasks": [ADD], "queue": "q"}, "queue"),
        ("shell", "body"),
        (5, "body"),
    ],
)
def test_a_body_that_is_not_a_bulk_is_refused(client: APIClient, body: object, field: str) -> None:
    assert_problem(submit(client, body), HTTPStatus.BAD_REQUEST, field=field)
    assert Task.objects.count() == 0
