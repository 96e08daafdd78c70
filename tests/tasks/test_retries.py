"""Test the retry options of tasks and submissions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from taskmaster import task
from taskmaster.tasks.compat import InvalidTask
from taskmaster.tasks.retries import MAX_AFTER_S, Discard, Retry
from tests.tasks.sample_tasks import fail


def test_a_delay_can_be_seconds_a_timedelta_or_a_time() -> None:
    assert Retry(after=5).after_s == 5
    assert Retry(after=timedelta(minutes=2)).after_s == 120
    later = Retry(after=datetime.now(UTC) + timedelta(seconds=60)).after_s
    assert later is not None
    assert 59 < later <= 60
    assert Retry("busy").after_s is None
    assert str(Retry("busy")) == "busy"
    assert str(Discard("gone")) == "gone"


def test_a_delay_is_neither_negative_nor_infinite() -> None:
    assert Retry(after=-5).after_s == 0
    assert Retry(after=datetime(2020, 1, 1, tzinfo=UTC)).after_s == 0
    assert Retry(after=timedelta(days=10_000)).after_s == MAX_AFTER_S
    with pytest.raises(ValueError, match="has no time zone"):
        Retry(after=datetime(2030, 1, 1))


def test_the_exceptions_without_a_retry_are_declared_as_a_list() -> None:
    assert task(no_retry_on=[KeyError])(fail.func).no_retry_on == (KeyError,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"retry_base": -1}, "retry_base: is -1"),
        (
            {"retry_base": 10, "retry_cap": 5},
            "retry_base: is 10; it must not exceed",
        ),
        ({"on_lost_contact": "pause"}, "on_lost_contact: is 'pause'; it must be continue or stop"),
        ({"no_retry_on": ["KeyError"]}, "no_retry_on: must be a list of exception classes"),
        ({"no_retry_on": KeyError}, "no_retry_on: must be a list of exception classes"),
        ({"tags": "abc"}, "tags: must be a list of strings"),
    ],
)
def test_an_invalid_policy_is_refused_at_the_declaration(
    options: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidTask, match=message):
        task(**options)(fail.func)


@pytest.mark.django_db
def test_delays_double_up_to_the_cap_with_a_quarter_of_jitter() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT n, min(s), max(s) FROM "
            "(SELECT n, EXTRACT(EPOCH FROM taskmaster_tasks_pause(n, 2, 60)) AS s "
            "FROM generate_series(1, 8) AS n, generate_series(1, 300)) AS drawn "
            "GROUP BY n ORDER BY n"
        )
        drawn = cursor.fetchall()
        cursor.execute("SELECT EXTRACT(EPOCH FROM taskmaster_tasks_pause(2147483647, 1, 600))")
        [farthest] = cursor.fetchone()
    for attempt, least, most in drawn:
        full = min(60, 2 * 2 ** (attempt - 1))
        assert 0.75 * full <= least < 0.79 * full
        assert 0.96 * full < most <= full
    assert 450 <= farthest <= 600
