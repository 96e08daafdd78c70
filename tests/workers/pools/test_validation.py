"""Test the validation of the fields of a pool."""

from __future__ import annotations

from typing import Any

import pytest

from taskmaster.tasks.errors import InvalidField
from taskmaster.workers.pools import validation


def test_valid_fields_are_returned_with_their_types() -> None:
    fields = {
        "name": "herons",
        "provider": "local",
        "desired": 3,
        "queues": ["mail", "mail", "bulk"],
        "environment": {"TZ": "UTC"},
        "stop_limit_s": 30,
        "autoscale": True,
    }
    assert validation.parse(fields) == {**fields, "queues": ["mail", "bulk"], "stop_limit_s": 30.0}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("size", 1, "unknown field"),
        ("name", "a-", "must be 1 to 63 of a-z, 0-9 and -"),
        ("desired", True, "must be a whole number from 0 to 10,000"),
        ("concurrency", 0, "must be a whole number from 1 to 10,000"),
        ("provider", "docker", "must be one of local, compose, kubernetes"),
        ("stop_limit_s", 10**400, "must be a number of seconds"),
        ("autoscale", 1, "must be true or false"),
        ("queues", "mail", "must be a list"),
        ("environment", [], "must be an object whose values are strings"),
        ("environment", {"1A": "x"}, "is not a valid variable name"),
        ("environment", {"TZ": 1}, "must be text"),
        ("environment", {"TZ": "x" * 65_536}, "is too long"),
        ("environment", {"TASKMASTER_SHUTDOWN_GRACE_S": "1"}, "change stop_limit_s of the pool"),
    ],
)
def test_an_invalid_field_is_named_with_its_rule(field: str, value: Any, message: str) -> None:
    with pytest.raises(InvalidField) as caught:
        validation.parse({field: value})
    assert caught.value.field.partition(".")[0] == field
    assert message in caught.value.rule


@pytest.mark.parametrize(("minimum", "desired", "maximum"), [(2, 2, 1), (1, 0, 2), (0, 3, 2)])
def test_the_desired_number_must_be_within_the_bounds(
    minimum: int, desired: int, maximum: int
) -> None:
    with pytest.raises(InvalidField):
        validation.check_bounds(minimum, desired, maximum)


def test_secrets_are_hidden_and_a_hidden_secret_keeps_its_value() -> None:
    stored = {"TZ": "UTC", "API_TOKEN": "secret"}
    shown = validation.shown(stored)
    assert shown == {"TZ": "UTC", "API_TOKEN": validation.HIDDEN}
    assert validation.merged({**shown, "TZ": "CET"}, stored) == {"TZ": "CET", "API_TOKEN": "secret"}
