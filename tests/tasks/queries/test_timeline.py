"""Test the attempts of a task and their places on the timeline."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from taskmaster.tasks.models import Task
from taskmaster.tasks.queries.timeline import (
    AXIS_WIDTH,
    attempts,
    describe_failure,
    precise,
    timeline,
)

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def failure(number: int, due: float, started: float, ended: float, **more: Any) -> dict[str, Any]:
    return {
        "attempt": number,
        "worker": "heron",
        "due": at(due).isoformat(),
        "started": at(started).isoformat(),
        "at": at(ended).isoformat(),
        "class": "raised",
        **more,
    }


def task(**fields: Any) -> Task:
    return Task(
        **{"id": 1, "name": "x", "created_at": BEGIN, "scheduled_at": BEGIN, "errors": [], **fields}
    )


def parts_of(of: Task, now: float, *parked: float) -> list[tuple[int, str, float, float]]:
    """Return number, kind, begin and end in seconds of all parts."""
    drawn = timeline(of, attempts(of), at(now), [at(each) for each in parked])
    scale = drawn.seconds / AXIS_WIDTH
    return [
        (row.attempt.number, part.kind, round(part.x * scale, 1), round(part.end * scale, 1))
        for row in drawn.rows
        for part in row.parts
    ]


def test_a_due_task_waits_and_a_scheduled_one_is_not_due() -> None:
    due = task(status="pending", scheduled_at=at(3))
    assert parts_of(due, 5) == [(1, "pause", 0, 3), (1, "wait", 3, 5)]
    assert timeline(due, attempts(due), at(5)).totals == (3, 2, 0)
    scheduled = task(status="pending", scheduled_at=at(3600))
    drawn = timeline(scheduled, attempts(scheduled), at(60))
    assert parts_of(scheduled, 60) == [(1, "pause", 0, 3600)]
    # Only the time that has passed is counted.
    assert (drawn.end, drawn.totals) == (at(3600), (60, 0, 0))
    assert drawn.rows[0].label == "not due for 1 h"


def test_the_time_in_which_a_task_was_parked_is_drawn_as_waiting() -> None:
    # Unparking after 60 s gives it a new due time.
    released = task(status="pending", scheduled_at=at(60))
    assert parts_of(released, 70, 0.2) == [(1, "wait", 0, 70)]
    assert parts_of(released, 70, 20, 40) == [(1, "pause", 0, 20), (1, "wait", 20, 70)]
    assert parts_of(released, 70) == [(1, "pause", 0, 60), (1, "wait", 60, 70)]
    retried = task(
        status="complete", attempt=2, errors=[failure(1, 50, 60, 70)], scheduled_at=at(100),
        started_at=at(110), completed_at=at(120), worker="heron",
    )  # fmt: skip
    first = [(1, "pause", 0, 10), (1, "wait", 10, 60), (1, "failed", 60, 70)]
    assert parts_of(retried, 200, 10) == [
        *first, (2, "pause", 70, 100), (2, "wait", 100, 110), (2, "complete", 110, 120),
    ]  # fmt: skip
    assert parts_of(retried, 200, 10, 80)[3:5] == [(2, "pause", 70, 80), (2, "wait", 80, 110)]


def test_a_complete_task_has_a_wait_and_a_run() -> None:
    done = task(status="complete", attempt=1, worker="heron", started_at=at(1), completed_at=at(4))
    assert parts_of(done, 99) == [(1, "wait", 0, 1), (1, "complete", 1, 4)]
    [attempt] = attempts(done)
    assert (attempt.outcome, attempt.worker, attempt.run_s) == ("returned", "heron", 3)


def test_each_attempt_has_its_own_stored_times() -> None:
    retried = task(
        status="started", attempt=2, started_at=at(6), scheduled_at=at(5),
        errors=[failure(1, 0, 1, 3)],
    )  # fmt: skip
    expected = [
        (1, "wait", 0, 1), (1, "failed", 1, 3), (2, "pause", 3, 5), (2, "wait", 5, 6),
        (2, "running", 6, 8),
    ]  # fmt: skip
    assert parts_of(retried, 8) == expected
    assert timeline(retried, attempts(retried), at(8)).totals == (2, 2, 4)


def test_a_retry_by_a_user_changes_no_earlier_attempt() -> None:
    errors = [failure(1, 0, 1, 3), failure(2, 4, 5, 6)]
    failed = task(status="failed", attempt=2, started_at=at(5), failed_at=at(6), errors=errors)
    before = attempts(failed)
    retried = task(status="pending", attempt=2, scheduled_at=at(50), errors=errors)
    *earlier, following = attempts(retried)
    assert earlier == before
    assert [(each.number, each.started, each.ended) for each in earlier] == [
        (1, at(1), at(3)),
        (2, at(5), at(6)),
    ]
    assert (following.number, following.kind, following.started) == (3, "pending", None)


def test_an_entry_without_a_start_claims_none() -> None:
    entry = failure(1, 0, 1, 3)
    del entry["started"], entry["due"]
    old = task(status="failed", attempt=1, started_at=at(1), failed_at=at(3), errors=[entry])
    [attempt] = attempts(old)
    assert (attempt.started, attempt.run_s) == (None, None)
    [row] = timeline(old, [attempt], at(9)).rows
    assert row.label == "its start is not stored"


def test_a_task_cancelled_before_it_started_says_so() -> None:
    cancelled = task(status="cancelled", cancelled_at=at(2))
    [attempt] = attempts(cancelled)
    assert (attempt.number, attempt.outcome) == (1, "cancelled before it started")
    assert parts_of(cancelled, 9) == [(1, "wait", 0, 2)]


def test_a_task_cancelled_while_it_ran_has_one_entry() -> None:
    entry = {**failure(1, 0, 1, 2), "class": "cancelled"}
    stopped = task(
        status="cancelled", attempt=1, started_at=at(1), cancelled_at=at(2), errors=[entry]
    )
    [attempt] = attempts(stopped)
    assert (attempt.kind, attempt.run_s) == ("cancelled", 1)
    # Retried, and cancelled again while it waited.
    again = task(status="cancelled", attempt=1, cancelled_at=at(9), errors=[entry])
    assert [each.number for each in attempts(again)] == [1, 2]


def test_a_lost_attempt_is_called_lost_and_has_the_colour_of_a_failed_one() -> None:
    errors = [failure(1, 0, 1, 2, **{"class": "lost"}), failure(2, 2, 3, 4)]
    failed = task(status="failed", attempt=2, started_at=at(3), failed_at=at(4), errors=errors)
    states = [(each.kind, each.state) for each in attempts(failed)]
    assert states == [("failed", "lost"), ("failed", "failed")]


def test_a_short_run_beside_a_long_pause_stays_visible() -> None:
    late = task(
        status="complete", attempt=1, scheduled_at=at(86_400), started_at=at(86_400),
        completed_at=at(86_400.1),
    )  # fmt: skip
    run = timeline(late, attempts(late), at(90_000)).rows[0].parts[-1]
    assert run.width >= 4
    assert run.end <= AXIS_WIDTH


def test_each_outcome_of_an_attempt_has_a_description() -> None:
    assert describe_failure({"class": "raised", "exception": "ValueError"}) == "raised (ValueError)"
    assert describe_failure({"class": "exit_code", "code": 3}) == "exit code (3)"
    assert describe_failure({"class": "lost"}) == "lost"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.003, "3 ms"), (30, "30.0 s"), (60, "1 min"), (90, "1 min 30 s"), (3_600, "1 h"),
        (11_520, "3 h 12 min"), (180_000, "2 d 2 h"),
    ],
)  # fmt: skip
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert precise(seconds) == text
