"""Test POST /api/tasks/: accepted tasks are stored unchanged, refused ones are not stored."""

from __future__ import annotations

import json
from datetime import datetime
from http import HTTPStatus
from typing import Any

import pytest
from rest_framework.test import APIClient

from taskmaster.tasks.models import Task
from tests.factories import in_s
from tests.tasks.api.people import assert_problem

URL = "/api/tasks/"
ADD = {"name": "examples.tasks.add", "args": [1, 2]}
SHELL = {"name": "shell", "kwargs": {"command": "seq 3 | sort -r"}}


def submit(client: APIClient, body: object) -> Any:
    return client.post(URL, body, format="json")


def test_a_python_task_is_stored_and_shown(client: APIClient) -> None:
    response = submit(client, {**ADD, "args": [1], "kwargs": {"b": [None, {"d": 1.5}]}})
    assert response.status_code == HTTPStatus.CREATED
    assert response["Content-Type"] == "application/json"
    shown = response.json()
    task = Task.objects.get(pk=shown["id"])
    assert (task.name, task.args, task.kwargs) == (
        "examples.tasks.add",
        [1],
        {"b": [None, {"d": 1.5}]},
    )
    assert (shown["args"], shown["kwargs"]) == (task.args, task.kwargs)
    assert shown["status"] == "pending"
    assert response["Location"] == f"http://testserver/api/tasks/{task.pk}/"
    assert client.get(response["Location"]).json() == shown


def test_absent_fields_have_their_defaults(client: APIClient) -> None:
    shown = submit(client, {"name": "examples.tasks.count_down"}).json()
    expected = {"queue": "default", "priority": 0, "max_attempts": 3, "timeout_s": 3600.0}
    assert shown.items() >= {**expected, "tags": [], "args": [], "kwargs": {}}.items()
    assert shown["scheduled_at"] <= shown["created_at"]


def test_every_field_is_stored(client: APIClient) -> None:
    when = in_s(3600)
    fields = {
        "queue": "reports",
        "priority": -7,
        "max_attempts": 5,
        "timeout_s": 1.5,
        "tags": ["nightly", "größe"],
    }
    shown = submit(client, {**ADD, **fields, "scheduled_at": when.isoformat()}).json()
    assert shown.items() >= fields.items()
    assert datetime.fromisoformat(shown["scheduled_at"]) == when


def test_the_task_records_its_user(client: APIClient) -> None:
    shown = submit(client, ADD).json()
    creator = Task.objects.get(pk=shown["id"]).created_by
    assert creator is not None
    assert shown["created_by"] == creator.username


@pytest.mark.parametrize(
    ("body", "kwargs"),
    [
        (SHELL, SHELL["kwargs"]),
        ({"command": "seq 3 | sort -r"}, {"command": "seq 3 | sort -r"}),
        ({"command": ["ls", "-l", "a b"]}, {"command": ["ls", "-l", "a b"]}),
        (
            {"name": "shell", "kwargs": {"command": ["ls"], "cwd": "/", "env": {"A": "1"}}},
            {"command": ["ls"], "cwd": "/", "env": {"A": "1"}},
        ),
        (
            {"command": "pwd", "cwd": "/", "env": {"A": "1"}},
            {"command": "pwd", "cwd": "/", "env": {"A": "1"}},
        ),
    ],
)
def test_every_form_of_a_shell_task_is_accepted(
    client: APIClient, body: dict[str, object], kwargs: dict[str, object]
) -> None:
    shown = submit(client, {**body, "queue": "q"}).json()
    assert (shown["name"], shown["kwargs"], shown["queue"]) == ("shell", kwargs, "q")


def test_an_unknown_task_is_refused_with_the_nearest_names(client: APIClient) -> None:
    response = submit(client, {"name": "examples.tasks.ad"})
    body = assert_problem(
        response, HTTPStatus.BAD_REQUEST, "closest", "examples.tasks.add", field="name"
    )
    assert body["type"] == "urn:taskmaster:unknown-task-name"
    assert Task.objects.count() == 0


@pytest.mark.parametrize(
    ("fields", "field", "rule"),
    [
        ({"queue": "q" * 65}, "queue", "has 65 characters; the limit is 64"),
        ({"queue": 5}, "queue", "must be a string"),
        ({"queue": ""}, "queue", "must not be empty"),
        ({"queue": "a b"}, "queue", "letters, digits"),
        ({"name": None}, "name", "is required"),
        ({"name": ["shell"]}, "name", "must be a string, not a list"),
        ({"name": "n" * 201}, "name", "the limit is 200"),
        ({"name": "a\0b"}, "name", "U+0000"),
        ({"args": "1, 2"}, "args", "must be a list, not a string"),
        ({"args": {"a": 1}}, "args", "must be a list, not an object"),
        ({"args": ["\0"]}, "args", "U+0000"),
        ({"kwargs": [1]}, "kwargs", "must be an object, not a list"),
        ({"priority": 101}, "priority", "is 101; it must be from -100 to 100"),
        ({"priority": -101}, "priority", "is -101; it must be from -100 to 100"),
        ({"priority": 10**30}, "priority", "it must be from -100 to 100"),
        ({"priority": "5"}, "priority", "must be a whole number, not a string"),
        ({"priority": 1.5}, "priority", "must be a whole number"),
        ({"priority": True}, "priority", "not a boolean"),
        ({"scheduled_at": "2099-01-01T00:00:00"}, "scheduled_at", "has no time zone"),
        ({"scheduled_at": "2099-01-01"}, "scheduled_at", "has no time zone"),
        ({"scheduled_at": "tomorrow"}, "scheduled_at", "is not a time such as"),
        ({"scheduled_at": "2099-02-30T00:00:00Z"}, "scheduled_at", "is not a time such as"),
        ({"scheduled_at": "2999-01-01T00:00:00Z"}, "scheduled_at", "100 years"),
        ({"scheduled_at": 4_000_000_000}, "scheduled_at", "not a number"),
        ({"max_attempts": 0}, "max_attempts", "from 1 to 100"),
        ({"max_attempts": "3"}, "max_attempts", "not a string"),
        ({"timeout_s": -0.5}, "timeout_s", "from 0 (none)"),
        ({"timeout_s": 10**400}, "timeout_s", "from 0 (none)"),
        ({"timeout_s": "10"}, "timeout_s", "must be a number of seconds, not a string"),
        ({"tags": "red"}, "tags", "must be a list"),
        ({"tags": ["a", 5]}, "tags[1]", "must be a string, not a number"),
        ({"tags": ["a"] * 21}, "tags", "the limit is 20"),
        ({"tags": ["t" * 65]}, "tags[0]", "the limit is 64"),
        ({"colour": "red"}, "colour", "unknown field; valid fields are name, args"),
        ({"id": 5}, "id", "unknown field"),
        ({"status": "complete"}, "status", "unknown field"),
    ],
)
def test_an_invalid_field_is_named_with_its_rule_and_nothing_is_stored(
    client: APIClient, fields: dict[str, object], field: str, rule: str
) -> None:
    response = submit(client, {**ADD, **fields})
    assert_problem(response, HTTPStatus.BAD_REQUEST, f"{field}: ", rule, field=field)
    assert Task.objects.count() == 0


@pytest.mark.parametrize(
    ("body", "field", "rule"),
    [
        ({}, "name", "is required"),
        ([], "body", "must be a JSON object"),
        ("shell", "body", "must be a JSON object"),
        ({"name": "shell"}, "kwargs.command", "non-empty"),
        ({"command": ""}, "command", "non-empty"),
        ({"command": []}, "command", "non-empty"),
        ({"command": ["ls", 5]}, "command", "list of arguments"),
        ({"command": {"a": 1}}, "command", "a script (a non-empty string)"),
        ({"command": "ls", "cwd": 5}, "cwd", "path of a directory"),
        ({"command": "ls", "env": ["A=1"]}, "env", "must be an object of strings"),
        ({"command": "ls", "env": {"A=B": "1"}}, "env", "or contain ="),
        ({"command": "ls", "args": [1]}, "args", "cannot be combined with command"),
        (
            {"command": "ls", "kwargs": {"command": "pwd"}},
            "kwargs",
            "cannot be combined with command",
        ),
        (
            {"name": "shell", "args": [1], "kwargs": {"command": "ls"}},
            "args",
            "must be empty for a shell task",
        ),
        ({"name": "shell", "kwargs": {"command": "ls", "shell": True}}, "kwargs.shell", "unknown"),
        ({"name": "shell", "command": "ls"}, "command", "unknown field"),
    ],
)
def test_a_malformed_task_is_explained_and_nothing_is_stored(
    client: APIClient, body: object, field: str, rule: str
) -> None:
    assert_problem(submit(client, body), HTTPStatus.BAD_REQUEST, rule, field=field)
    assert Task.objects.count() == 0


@pytest.mark.parametrize("depth", [101, 108, 500, *range(895, 905), 5_000])
def test_arguments_nested_too_deeply_are_refused(client: APIClient, depth: int) -> None:
    for field, body in (
        ("args", b"[" * depth + b"]" * depth),
        ("kwargs", b'{"a":' * depth + b"1" + b"}" * depth),
    ):
        text = b'{"name": "examples.tasks.add", "%s": %s}' % (field.encode(), body)
        response = client.generic("POST", URL, text, content_type="application/json")
        # A body far above the limit is refused as a whole.
        if depth > 108:
            assert_problem(response, HTTPStatus.BAD_REQUEST, "nested", field=None)
        else:
            rule = "nested more than 100 levels deep"
            assert_problem(response, HTTPStatus.BAD_REQUEST, rule, field=field)
    assert not Task.objects.exists()


def test_arguments_of_a_hundred_levels_are_returned_unchanged(client: APIClient) -> None:
    args = b"[" * 100 + b"]" * 100
    text = b'{"name": "examples.tasks.fail", "args": %s}' % args
    response = client.generic("POST", URL, text, content_type="application/json")
    assert response.status_code == HTTPStatus.CREATED
    assert response.json()["args"] == json.loads(args)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"name": "shell",', "not valid JSON"),
        (b" ", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b'{"name": "examples.tasks.add", "args": [NaN]}', "NaN is not allowed"),
        (b'{"name": "examples.tasks.add", "args": [Infinity]}', "Infinity is not allowed"),
        (b'{"args": ' + b"[" * 100_000, "nested too deeply"),
        (b"9" * 10_000, "not valid JSON"),
    ],
)
def test_a_body_that_is_not_json_is_refused_and_nothing_is_stored(
    client: APIClient, body: bytes, message: str
) -> None:
    response = client.generic("POST", URL, body, content_type="application/json")
    assert_problem(response, HTTPStatus.BAD_REQUEST, message)
    assert Task.objects.count() == 0


@pytest.mark.parametrize(
    ("body", "field", "rule"),
    [
        (b"null", "body", "must be a JSON object"),
        (b'{"name": "examples.tasks.add", "args": [1e999]}', "args", "is not valid JSON"),
        (rb'{"name": "examples.tasks.add", "args": ["\ud800"]}', "args", "unpaired surrogate"),
        (rb'{"name": "examples.tasks.add", "kwargs": {"\u0000": 1}}', "kwargs", "U+0000"),
        (rb'{"name": "examples.tasks.add", "\ud800": 1}', r"\ud800", "unknown field"),
    ],
)
def test_json_that_cannot_be_stored_is_refused(
    client: APIClient, body: bytes, field: str, rule: str
) -> None:
    response = client.generic("POST", URL, body, content_type="application/json")
    assert_problem(response, HTTPStatus.BAD_REQUEST, rule, field=field)
    assert Task.objects.count() == 0


def test_a_form_is_an_unsupported_media_type(client: APIClient) -> None:
    response = client.post(URL, {"name": "shell"}, format="multipart")
    assert_problem(response, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "multipart/form-data")


@pytest.mark.parametrize("field", ["args", "kwargs"])
def test_ten_megabytes_of_arguments_are_too_large(client: APIClient, field: str) -> None:
    text = "x" * 10_000_000
    value: object = [text] if field == "args" else {"a": text}
    response = submit(client, {"name": "examples.tasks.add", field: value})
    assert_problem(
        response,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "the limit is 1,048,576",
        field="args",
    )
    assert Task.objects.count() == 0


def test_a_body_above_the_limit_of_the_server_is_too_large(
    client: APIClient, settings: Any
) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    response = submit(client, {**ADD, "args": ["x" * 1000]})
    assert_problem(response, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "1,000 bytes")
    assert Task.objects.count() == 0


def test_arguments_just_below_the_limit_are_stored(client: APIClient) -> None:
    text = "x" * (1_048_576 - len(json.dumps([""])) - len("{}"))
    shown = submit(client, {"name": "examples.tasks.fail", "args": [text]})
    assert shown.status_code == HTTPStatus.CREATED
    assert Task.objects.get().args == [text]
