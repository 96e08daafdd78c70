"""Test the import of django-celery-beat's tables, without the package."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection

from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.schedules.importers import celery_beat
from taskmaster.tasks.schedules.importers.found import FoundSchedule
from tests.factories import in_s
from tests.tasks.schedules.importers import tables

pytestmark = pytest.mark.django_db

SEND = "shop.tasks.send"


@pytest.fixture(autouse=True)
def _tables() -> None:
    tables.create_beat_tables()


def found() -> dict[str, FoundSchedule]:
    return {each.name: each for each in celery_beat.find()}


def only(schedule: dict[str, Any], **fields: Any) -> FoundSchedule:
    tables.periodic_task("nightly", SEND, schedule, **fields)
    return found()["nightly"]


def test_a_crontab_keeps_its_zone_and_the_call() -> None:
    schedule = tables.crontab("*/5", "22-2", timezone="Europe/Berlin")
    each = only(schedule, args=[1, "a"], kwargs={"b": None}, queue="mail")
    assert each == FoundSchedule(
        "nightly",
        SEND,
        {
            "cron": "*/5 0-2,22,23 * * *",
            "timezone": "Europe/Berlin",
            "task": SEND,
            "args": [1, "a"],
            "kwargs": {"b": None},
            "queue": "mail",
        },
    )


@pytest.mark.parametrize(
    ("every", "period", "seconds"),
    [(2, "days", 172_800), (90, "seconds", 90), (500_000, "microseconds", 0.5)],
)
def test_an_interval_is_converted_to_seconds(every: int, period: str, seconds: float) -> None:
    assert only(tables.interval(every, period)).fields["interval_s"] == seconds


def test_an_interval_continues_from_the_last_run() -> None:
    last = datetime(2026, 5, 1, 12, 0, 7, tzinfo=UTC)
    each = only(tables.interval(1, "hours"), last_run_at=last)
    assert each.fields["anchor"] == last


def test_start_end_and_one_off_are_rules_of_the_schedule() -> None:
    start, end = in_s(3600), in_s(7200)
    each = only(tables.interval(1, "minutes"), start_time=start, expires=end, one_off=True)
    assert (each.fields["starts_at"], each.fields["ends_at"]) == (start, end)
    assert each.fields["max_runs"] == 1


def test_a_clocked_task_becomes_a_date() -> None:
    when = in_s(3600)
    each = only(tables.clocked(when))
    assert each.fields["dates"] == [when]
    assert "max_runs" not in each.fields


def test_a_disabled_task_is_paused() -> None:
    each = only(tables.crontab(), enabled=False)
    assert each.pause_reason == "Disabled in django-celery-beat."
    assert each.notes == ("disabled: it is created paused",)


def test_omitted_settings_are_noted() -> None:
    each = only(
        tables.crontab(),
        exchange="e",
        routing_key="r",
        headers='{"a": 1}',
        priority=0,
        expire_seconds=60,
    )
    assert each.notes == (
        "exchange is left out",
        "routing_key is left out",
        "headers is left out",
        "priority 0 is left out: it is the broker's, with another scale",
        "expires after 60 s is left out: a task does not expire",
    )
    assert "priority" not in each.fields


def test_a_schedule_that_cannot_be_imported_has_the_reason() -> None:
    tables.periodic_task("sun", SEND, tables.solar())
    both = tables.crontab(day_of_month="1", day_of_week="mon")
    tables.periodic_task("both", SEND, both)
    tables.periodic_task("own", "celery.backend_cleanup", tables.crontab())
    tables.periodic_task("none", SEND, {})
    tables.periodic_task("long", SEND, tables.interval(2**31 - 1, "days"))
    tables.periodic_task("text", SEND, tables.crontab())
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_celery_beat_periodictask SET args = '[' WHERE name = 'text'")
    assert {name: each.obstacle for name, each in found().items()} == {
        "sun": "solar: It follows the sun, which TaskMaster does not support.",
        "both": "crontab: has the day of month 1 and the day of week 1. Celery requires both, "
        "but a cron expression is due on either of them.",
        "own": "It is a task of Celery itself.",
        "none": "schedule: is missing; the row names no schedule.",
        "long": "interval: is 2147483647 days, which is not a duration.",
        "text": "args: is '[', which is not JSON.",
    }


def test_an_old_version_has_fewer_columns_and_tables() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE django_celery_beat_periodictask DROP COLUMN clocked_id, "
            "DROP COLUMN one_off, DROP COLUMN start_time, DROP COLUMN expire_seconds"
        )
        cursor.execute("DROP TABLE django_celery_beat_clockedschedule")
        cursor.execute(
            "INSERT INTO django_celery_beat_intervalschedule (every, period) VALUES (5, 'minutes')"
        )
        cursor.execute(
            "INSERT INTO django_celery_beat_periodictask (name, task, interval_id, args, kwargs, "
            "headers, enabled, total_run_count, date_changed, description) SELECT 'old', 'a.b', "
            "id, '', '', '', true, 0, now(), '' FROM django_celery_beat_intervalschedule"
        )
    assert found()["old"].fields == {
        "interval_s": 300.0,
        "task": "a.b",
        "args": [],
        "kwargs": {},
    }


def test_a_database_without_the_tables_is_refused() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE django_celery_beat_periodictask")
    with pytest.raises(
        InvalidField, match="the database has no table django_celery_beat_periodictask"
    ):
        found()
