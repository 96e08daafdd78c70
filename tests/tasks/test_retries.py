"""What a task may say of its own retries, and what a submission may."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from examples.tasks import add
from tasks import submission
from tasks.compat import InvalidTask, task
from tasks.errors import InvalidField
from tasks.models import Task
from tasks.retries import MAX_AFTER_S, Discard, Retry
from tests.tasks.sample import stored
from tests.tasks.sample_tasks import fail


def test_a_pause_may_be_seconds_a_timedelta_or_a_moment() -> None:
    assert Retry(after=5).after_s == 5
    assert Retry(after=timedelta(minutes=2)).after_s == 120
    later = Retry(after=datetime.now(UTC) + timedelta(seconds=60)).after_s
    assert later is not None
    assert 59 < later <= 60
    assert Retry("busy").after_s is None
    assert str(Retry("busy")) == "busy"
    assert str(Discard("gone")) == "gone"


def test_a_pause_is_never_negative_nor_endless() -> None:
    assert Retry(after=-5).after_s == 0
    assert Retry(after=datetime(2020, 1, 1, tzinfo=UTC)).after_s == 0
    assert Retry(after=timedelta(days=10_000)).after_s == MAX_AFTER_S
    with pytest.raises(ValueError, match="has no zone"):
        Retry(after=datetime(2030, 1, 1))


@pytest.mark.django_db
def test_a_declaration_carries_its_policy_to_the_row() -> None:
    declare = task(retry_base=0.5, retry_cap=20, on_lost_contact="stop", no_retry_on=[KeyError])
    picky = declare(fail.func)
    assert picky.no_retry_on == (KeyError,)  # type: ignore[attr-defined]
    fields = {**submission_of(picky), "name": "examples.tasks.add"}
    new = submission.parse(fields)
    assert (new.retry_base_s, new.retry_cap_s, new.on_lost_contact) == (0.5, 20.0, "stop")
    [task_id] = stored(retry_base_s=0.5, retry_cap_s=20.0, on_lost_contact="stop")
    row = Task.objects.get(pk=task_id)
    assert (row.retry_base_s, row.retry_cap_s, row.on_lost_contact) == (0.5, 20.0, "stop")
    add.enqueue(1, 2)
    plain = Task.objects.exclude(pk=task_id).get()
    assert (plain.retry_base_s, plain.retry_cap_s, plain.on_lost_contact) == (1, 600, "continue")


def submission_of(declared: object) -> dict[str, object]:
    from tasks.enqueue import declared as fields

    return {k: v for k, v in fields(declared).items() if v is not None}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"retry_base": -1}, "retry_base_s: is -1"),
        ({"retry_base": 10, "retry_cap": 5}, "retry_base_s: is 10, above retry_cap_s"),
        ({"on_lost_contact": "pause"}, "on_lost_contact: is 'pause'; it must be continue or stop"),
        ({"no_retry_on": ["KeyError"]}, "no_retry_on: must be a list of exception classes"),
        ({"no_retry_on": KeyError}, "no_retry_on: must be a list of exception classes"),
        ({"tags": "abc"}, "tags: must be a list of strings"),
    ],
)
def test_a_wrong_policy_is_refused_at_the_declaration(
    options: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidTask, match=message):
        task(**options)(fail.func)


@pytest.mark.parametrize(
    ("base", "cap", "expected"),
    [
        (None, None, (1.0, 600.0)),
        (0, None, (0.0, 600.0)),
        (900, None, (900.0, 900.0)),
        (None, 0.25, (0.25, 0.25)),
        (2, 8, (2.0, 8.0)),
    ],
)
def test_what_a_policy_leaves_out_fits_to_what_it_says(
    base: float | None, cap: float | None, expected: tuple[float, float]
) -> None:
    assert submission.pauses(base, cap) == expected


@pytest.mark.parametrize("value", ["1", True, float("nan"), float("inf"), 31 * 86_400])
def test_a_pause_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(InvalidField, match="retry_cap_s"):
        submission.pauses(None, value)


@pytest.mark.django_db
def test_pauses_double_up_to_the_cap_less_a_quarter_at_random() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT n, min(s), max(s) FROM (SELECT n, EXTRACT(EPOCH FROM tasks_pause(n, 2, 60)) "
            "AS s FROM generate_series(1, 8) AS n, generate_series(1, 300)) AS drawn "
            "GROUP BY n ORDER BY n"
        )
        drawn = cursor.fetchall()
        cursor.execute("SELECT EXTRACT(EPOCH FROM tasks_pause(2147483647, 1, 600))")
        [farthest] = cursor.fetchone()
    for attempt, least, most in drawn:
        full = min(60, 2 * 2 ** (attempt - 1))
        assert 0.75 * full <= least < 0.79 * full
        assert 0.96 * full < most <= full
    assert 450 <= farthest <= 600
