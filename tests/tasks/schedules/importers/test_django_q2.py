"""Test the import of django-q2's table, without the package."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import override_settings

from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.schedules.importers import django_q2
from taskmaster.tasks.schedules.importers.found import FoundSchedule
from tests.tasks.schedules.importers import tables

pytestmark = pytest.mark.django_db

SEND = "shop.tasks.send"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
#: 03:30 on Thursday, 25 June, in Berlin.
NEXT = datetime(2026, 6, 25, 1, 30, tzinfo=UTC)


def found() -> list[FoundSchedule]:
    with override_settings(TIME_ZONE="Europe/Berlin"):
        return list(django_q2.find(NOW))


def only(kind: str, **fields: Any) -> FoundSchedule:
    tables.create_q2_table()
    tables.q2_schedule(SEND, kind, **{"name": "nightly", "next_run": NEXT, **fields})
    [each] = found()
    return each


@pytest.mark.parametrize(
    ("kind", "expression"),
    [
        ("D", "30 3 * * *"),
        ("W", "30 3 * * 4"),
        ("M", "30 3 25 * *"),
        ("BM", "30 3 25 2,4,6,8,10,12 *"),
        ("Q", "30 3 25 3,6,9,12 *"),
        ("Y", "30 3 25 6 *"),
    ],
)
def test_a_period_of_days_keeps_the_local_time(kind: str, expression: str) -> None:
    each = only(kind)
    assert each.fields["cron"] == expression
    assert each.fields["timezone"] == "Europe/Berlin"
    assert each.notes == ()


@pytest.mark.parametrize(
    ("kind", "minutes", "seconds"), [("I", 7, 420), ("I", None, 60), ("H", None, 3600)]
)
def test_a_period_of_minutes_is_an_interval_from_the_next_run(
    kind: str, minutes: int | None, seconds: float
) -> None:
    each = only(kind, minutes=minutes)
    assert (each.fields["interval_s"], each.fields["anchor"]) == (seconds, NEXT)


def test_two_weeks_are_an_interval_that_daylight_saving_moves() -> None:
    each = only("BW")
    assert each.fields["interval_s"] == 1_209_600
    assert each.notes == ("every 14 days of 24 hours: the local time moves with daylight saving",)


def test_a_cron_expression_is_taken_as_it_is() -> None:
    each = only("C", cron="*/5 9-17 * * 1-5", repeats=10)
    assert (each.fields["cron"], each.fields["max_runs"]) == ("*/5 9-17 * * 1-5", 10)


def test_one_run_becomes_a_date() -> None:
    assert only("O").fields["dates"] == [NEXT]


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        (None, None, ([], {})),
        ("1, 2, 'John'", "{'x': 1}", ([1, 2, "John"], {"x": 1})),
        ("7", "x=1, name='John'", ([7], {"x": 1, "name": "John"})),
    ],
)
def test_arguments_are_read_as_literals(args: str, kwargs: str, expected: Any) -> None:
    each = only("D", args=args, kwargs=kwargs)
    assert (each.fields["args"], each.fields["kwargs"]) == expected


def test_omitted_settings_are_noted() -> None:
    each = only(
        "D",
        next_run=NEXT.replace(second=17),
        kwargs="{'a': 1, 'q_options': {'timeout': 5}}",
        hook="a.b",
        cluster="c",
        intended_date_kwarg="day",
    )
    assert each.notes == (
        "due at 03:30, not at 03:30:17",
        "option timeout is left out",
        "hook is left out",
        "cluster is left out",
        "day is left out: use current_task().scheduled_for",
    )
    assert each.fields["kwargs"] == {"a": 1}


@pytest.mark.parametrize(
    ("kind", "fields", "obstacle"),
    [
        ("D", {"repeats": 0}, "repeats: is 0: the schedule has no run left."),
        ("M", {"next_run": datetime(2026, 7, 31, tzinfo=UTC)}, "next_run: is on day 31, which"),
        ("X", {}, "schedule_type: is 'X', which is unknown."),
        ("D", {"args": "open('x')"}, "args: is \"open('x')\", which is not a Python literal."),
        ("D", {"args": "{[]: 1}"}, "args: is '{[]: 1}', which is not a Python literal."),
        ("D", {"kwargs": "1"}, "kwargs: is '1', which are no keyword arguments."),
        ("D", {"kwargs": "x=f()"}, "kwargs: is 'x=f()', which are no keyword arguments."),
    ],
)
def test_a_schedule_that_cannot_be_imported_has_the_reason(
    kind: str, fields: dict[str, Any], obstacle: str
) -> None:
    assert only(kind, **fields).obstacle.startswith(obstacle)


def test_names_that_are_used_twice_get_the_id() -> None:
    tables.create_q2_table()
    for name in ("nightly", "nightly", None):
        tables.q2_schedule(SEND, "D", name=name, next_run=NEXT)
    assert [each.name for each in found()] == ["nightly #1", "nightly #2", SEND]


def test_a_database_without_the_table_is_refused() -> None:
    with pytest.raises(InvalidField, match="the database has no table django_q_schedule"):
        found()
