"""Test the conversion of Celery's crontabs, whose times were compared with Celery's own."""

from __future__ import annotations

from typing import Any

import pytest

from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.schedules.importers.celery_crontab import cron_expression


def converted(**fields: Any) -> str:
    names = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
    return cron_expression(*(fields.get(name, "*") for name in names))


@pytest.mark.parametrize(
    ("fields", "expression"),
    [
        ({}, "* * * * *"),
        ({"minute": "*/15", "hour": 3}, "*/15 3 * * *"),
        ({"minute": "0", "hour": "0, 12"}, "0 0,12 * * *"),
        ({"minute": [30, 0], "hour": {5}}, "0,30 5 * * *"),
        # Ranges over the end, which cron does not have.
        ({"minute": 0, "hour": "22-2"}, "0 0-2,22,23 * * *"),
        ({"minute": 0, "hour": 0, "day_of_week": "fri-mon"}, "0 0 * * 0,1,5,6"),
        ({"minute": 0, "hour": 0, "day_of_week": "mon-fri"}, "0 0 * * 1-5"),
        ({"minute": 0, "hour": 0, "day_of_week": "Monday,wednesday"}, "0 0 * * 1,3"),
        # All values mean every day, also if they are listed.
        ({"minute": 0, "hour": 0, "day_of_week": "0-6", "day_of_month": "1"}, "0 0 1 * *"),
        ({"minute": 0, "hour": 0, "month_of_year": "*/3"}, "0 0 * */3 *"),
        ({"minute": "50-10/5", "hour": 1}, "0,5,10,50,55 1 * * *"),
    ],
)
def test_a_crontab_becomes_the_expression_of_the_same_times(
    fields: dict[str, Any], expression: str
) -> None:
    assert converted(**fields) == expression


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"day_of_month": "1", "day_of_week": "mon"}, "Celery requires both"),
        ({"minute": "61"}, "minute: is '61'; it must be from 0 to 59"),
        ({"day_of_week": "someday-7"}, "day_of_week: is 'someday-7'"),
        ({"minute": "*/0"}, "minute: is '\\*/0'; the step must be a number above 0"),
        ({"hour": "*/x"}, "hour: is '\\*/x'; the step"),
        ({"hour": f"*/{'9' * 5_000}"}, "hour: is '\\*/999"),
        ({"minute": "9" * 5_000}, "minute: is '999"),
    ],
)
def test_a_crontab_without_an_expression_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidField, match=message):
        converted(**fields)
