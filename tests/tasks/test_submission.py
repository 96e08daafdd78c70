"""What may be submitted, and what is said of the rest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tasks import submission
from tasks.errors import InvalidField, TooLarge, UnknownTaskName
from tests.tasks.sample import in_s

SHELL = {"name": "shell", "kwargs": {"command": "true"}}


def test_defaults_fill_what_is_absent() -> None:
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


def test_unknown_task_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(UnknownTaskName, match=r"nearest names are .*examples\.tasks\.checksum"):
        submission.parse({"name": "examples.tasks.chcksum"})


@pytest.mark.parametrize(
    ("fields", "field", "rule"),
    [
        ({"name": 5}, "name", "must be text"),
        ({"name": ""}, "name", "must not be empty"),
        ({"name": "x" * 201}, "name", "at most 200"),
        ({}, "name", "is required"),
        ({**SHELL, "colour": "red"}, "colour", "unknown field"),
        ({**SHELL, "args": "x"}, "args", "must be a list, not text"),
        ({**SHELL, "args": [1]}, "args", "a shell task has none"),
        ({"name": "examples.tasks.add", "args": [{1, 2}]}, "args", "is no JSON"),
        ({"name": "examples.tasks.add", "args": [float("nan")]}, "args", "is no JSON"),
        ({"name": "examples.tasks.add", "args": ["a\0b"]}, "args", "U+0000"),
        ({"name": "examples.tasks.add", "args": ["\ud800"]}, "args", "surrogate"),
        ({"name": "examples.tasks.add", "kwargs": []}, "kwargs", "must be an object, not a list"),
        ({"name": "examples.tasks.add", "kwargs": {1: 2}}, "kwargs", "names must be strings"),
        ({**SHELL, "queue": "q" * 65}, "queue", "has 65 characters; at most 64"),
        ({**SHELL, "queue": "a b"}, "queue", "letters, digits"),
        ({**SHELL, "priority": -101}, "priority", "is -101; it must be from -100 to 100"),
        ({**SHELL, "priority": 1.5}, "priority", "whole number"),
        ({**SHELL, "priority": True}, "priority", "whole number, not true or false"),
        ({**SHELL, "scheduled_at": "2020-01-01T00:00:00Z"}, "scheduled_at", "lies in the past"),
        ({**SHELL, "scheduled_at": "2099-01-01T00:00:00"}, "scheduled_at", "has no zone"),
        ({**SHELL, "scheduled_at": "tomorrow"}, "scheduled_at", "is no time like"),
        ({**SHELL, "scheduled_at": "2099-13-01T00:00:00Z"}, "scheduled_at", "is no time like"),
        ({**SHELL, "scheduled_at": "9999-12-31T23:59:59-14:00"}, "scheduled_at", "too far away"),
        ({**SHELL, "scheduled_at": 5}, "scheduled_at", "not a number"),
        ({**SHELL, "max_attempts": 0}, "max_attempts", "from 1 to 100"),
        ({**SHELL, "timeout_s": -1}, "timeout_s", "is -1"),
        ({**SHELL, "timeout_s": float("nan")}, "timeout_s", "is nan"),
        ({**SHELL, "timeout_s": "5"}, "timeout_s", "not text"),
        ({**SHELL, "tags": "red"}, "tags", "must be a list"),
        ({**SHELL, "tags": ["a"] * 21}, "tags", "at most 20"),
        ({**SHELL, "tags": ["a", ""]}, "tags[1]", "must not be empty"),
        ({"command": "  "}, "kwargs.command", "not empty"),
        ({"command": [1]}, "kwargs.command", "list of arguments"),
        ({"command": "ls", "cwd": 5}, "kwargs.cwd", "path of a folder"),
        ({"command": "ls", "env": {"A": 1}}, "kwargs.env", "object of texts"),
        ({"name": "shell", "kwargs": {"command": "ls", "x": 1}}, "kwargs.x", "unknown"),
    ],
)
def test_a_broken_rule_is_named_with_its_field(
    fields: dict[str, object], field: str, rule: str
) -> None:
    with pytest.raises(InvalidField) as caught:
        submission.parse(fields)
    assert caught.value.field == field
    assert rule in caught.value.rule


def test_arguments_above_the_limit_are_too_large() -> None:
    with pytest.raises(TooLarge, match="at most 1,048,576"):
        submission.parse({"name": "examples.tasks.add", "args": ["x" * 10_000_000]})


def test_a_backslash_before_u0000_is_no_nul() -> None:
    assert submission.payload(["\\u0000"], {}) == ('["\\\\u0000"]', "{}")


def test_a_bulk_names_the_place_of_the_broken_rule() -> None:
    with pytest.raises(InvalidField, match=r"^tasks\[1\]\.priority: is 500"):
        submission.parse_many([SHELL, {**SHELL, "priority": 500}])


@pytest.mark.parametrize(("count", "error"), [(0, InvalidField), (100_001, TooLarge)])
def test_a_bulk_has_a_size(count: int, error: type[InvalidField]) -> None:
    with pytest.raises(error, match=r"^tasks: "):
        submission.parse_many([SHELL] * count)


def test_a_time_keeps_its_moment_in_any_zone() -> None:
    when = in_s(3600)
    with_offset = when.astimezone(tz=None).isoformat()
    assert submission.scheduled_time(with_offset) == when


def test_now_is_not_the_past_after_a_second_on_the_way() -> None:
    now = datetime.now(UTC)
    assert submission.scheduled_time(now - timedelta(milliseconds=900), now=now) is not None
