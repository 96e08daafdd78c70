"""Test the validation of submissions."""

from __future__ import annotations

import pytest

from taskmaster.tasks import submission
from taskmaster.tasks.errors import InvalidField, TooLarge, UnknownTaskName

SHELL = {"name": "shell", "kwargs": {"command": "true"}}


def test_absent_fields_have_their_defaults() -> None:
    task = submission.parse(SHELL)
    assert (task.queue, task.priority, task.scheduled_at, task.max_attempts) == (
        "default",
        0,
        None,
        3,
    )
    assert (task.args, task.kwargs) == ("[]", '{"command":"true"}')


def test_command_alone_is_the_short_form_of_a_shell_task() -> None:
    short = submission.parse({"command": ["ls", "-l"], "cwd": "/", "env": {"A": "1"}, "queue": "q"})
    assert short.name == "shell"
    assert short.kwargs == '{"command":["ls","-l"],"cwd":"/","env":{"A":"1"}}'
    assert short.queue == "q"


@pytest.mark.django_db
def test_unknown_task_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(UnknownTaskName, match=r"closest names are .*examples\.tasks\.checksum"):
        submission.parse({"name": "examples.tasks.chcksum"})


@pytest.mark.parametrize(
    ("fields", "field", "rule"),
    [
        ({"name": 5}, "name", "must be a string"),
        ({"name": ""}, "name", "must not be empty"),
        ({"name": "x" * 201}, "name", "the limit is 200"),
        ({}, "name", "is required"),
        ({**SHELL, "colour": "red"}, "colour", "unknown field"),
        ({**SHELL, "args": "x"}, "args", "must be a list, not a string"),
        ({**SHELL, "args": [1]}, "args", "must be empty for a shell task"),
        ({"name": "examples.tasks.add", "args": [{1, 2}]}, "args", "is not valid JSON"),
        ({"name": "examples.tasks.add", "args": [float("nan")]}, "args", "is not valid JSON"),
        ({"name": "examples.tasks.add", "args": ["a\0b"]}, "args", "U+0000"),
        ({"name": "examples.tasks.add", "args": ["\ud800"]}, "args", "surrogate"),
        ({"name": "examples.tasks.add", "kwargs": []}, "kwargs", "must be an object, not a list"),
        ({"name": "examples.tasks.add", "kwargs": {1: 2}}, "kwargs", "keys must be strings"),
        (
            {"name": "examples.tasks.add", "args": [[{"a": {2: 3}}]]},
            "args",
            "has an object with the key 2, a number; keys must be strings",
        ),
        (
            {"name": "examples.tasks.add", "kwargs": {"a": {None: 1}}},
            "kwargs",
            "the key None, null; keys must be strings",
        ),
        ({**SHELL, "queue": "q" * 65}, "queue", "has 65 characters; the limit is 64"),
        ({**SHELL, "queue": "a b"}, "queue", "letters, digits"),
        ({**SHELL, "priority": -101}, "priority", "is -101; it must be from -100 to 100"),
        ({**SHELL, "priority": 1.5}, "priority", "whole number"),
        ({**SHELL, "priority": True}, "priority", "whole number, not a boolean"),
        ({**SHELL, "scheduled_at": "2099-01-01T00:00:00"}, "scheduled_at", "has no time zone"),
        ({**SHELL, "scheduled_at": "tomorrow"}, "scheduled_at", "is not a time such as"),
        (
            {**SHELL, "scheduled_at": "2099-13-01T00:00:00Z"},
            "scheduled_at",
            "is not a time such as",
        ),
        ({**SHELL, "scheduled_at": "9999-12-31T23:59:59-14:00"}, "scheduled_at", "is out of range"),
        ({**SHELL, "scheduled_at": 5}, "scheduled_at", "not a number"),
        ({**SHELL, "max_attempts": 0}, "max_attempts", "from 1 to 100"),
        ({**SHELL, "timeout_s": -1}, "timeout_s", "is -1"),
        ({**SHELL, "timeout_s": float("nan")}, "timeout_s", "is nan"),
        ({**SHELL, "timeout_s": "5"}, "timeout_s", "not a string"),
        ({**SHELL, "tags": "red"}, "tags", "must be a list"),
        ({**SHELL, "tags": ["a"] * 21}, "tags", "the limit is 20"),
        ({**SHELL, "tags": ["a", ""]}, "tags[1]", "must not be empty"),
        ({"command": "  "}, "command", "non-empty"),
        ({"command": [1]}, "command", "list of arguments"),
        ({"command": "ls", "cwd": 5}, "cwd", "path of a directory"),
        ({"command": "ls", "env": {"A": 1}}, "env", "object of strings"),
        ({"name": "shell", "kwargs": {"command": "ls", "x": 1}}, "kwargs.x", "unknown"),
    ],
)
def test_an_invalid_value_is_named_with_its_field(
    fields: dict[str, object], field: str, rule: str
) -> None:
    with pytest.raises(InvalidField) as caught:
        submission.parse(fields)
    assert caught.value.field == field
    assert rule in caught.value.rule


def test_arguments_above_the_limit_are_too_large() -> None:
    with pytest.raises(TooLarge, match="the limit is 1,048,576"):
        submission.parse({"name": "examples.tasks.add", "args": ["x" * 10_000_000]})


def test_a_bulk_names_the_index_of_the_invalid_task() -> None:
    with pytest.raises(InvalidField, match=r"^tasks\[1\]\.priority: is 500"):
        submission.parse_many([SHELL, {**SHELL, "priority": 500}])


@pytest.mark.parametrize(("count", "error"), [(0, InvalidField), (100_001, TooLarge)])
def test_the_size_of_a_bulk_is_limited(count: int, error: type[InvalidField]) -> None:
    with pytest.raises(error, match=r"^tasks: "):
        submission.parse_many([SHELL] * count)
