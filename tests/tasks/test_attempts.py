"""Attempts and spans of a task's life."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tasks.attempts import attempts, ended, spans
from tasks.models import Task

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def failure(number: int, seconds: float, **fields: Any) -> dict[str, Any]:
    return {
        "attempt": number,
        "worker": "heron",
        "at": at(seconds).isoformat(),
        "class": "raised",
        **fields,
    }


def task(**fields: Any) -> Task:
    return Task(
        **{"id": 1, "name": "x", "created_at": BEGIN, "scheduled_at": BEGIN, "errors": [], **fields}
    )


def told(of: Task, now: float, starts: tuple[float, ...] = ()) -> list[tuple[str, str, float]]:
    tried = attempts(of, [at(start) for start in starts])
    return [(span.kind, span.label, span.seconds) for span in spans(of, tried, at(now))]


def test_a_task_that_waits_has_waited_since_it_was_due() -> None:
    assert told(task(status="pending", scheduled_at=at(3)), 5) == [
        ("planned", "until it was due", 3),
        ("pending", "waiting", 2),
    ]


def test_a_complete_task_waited_and_ran() -> None:
    done = task(status="complete", attempt=1, worker="heron", started_at=at(1), completed_at=at(4))
    assert told(done, 99) == [("pending", "waiting", 1), ("complete", "attempt 1", 3)]
    [attempt] = attempts(done)
    assert (attempt.outcome, attempt.worker) == ("returned", "heron")


def test_an_earlier_attempt_begins_where_an_event_says_so() -> None:
    retried = task(
        status="started", attempt=2, started_at=at(6), scheduled_at=at(5), errors=[failure(1, 3)]
    )
    assert told(retried, 8, starts=(1, 6)) == [
        ("pending", "waiting", 1),
        ("failed", "attempt 1", 2),
        ("pending", "waiting", 3),
        ("running", "attempt 2", 2),
    ]


def test_without_events_the_wait_before_an_attempt_is_told_with_it() -> None:
    retried = task(
        status="pending", attempt=1, started_at=at(1), scheduled_at=at(9), errors=[failure(1, 3)]
    )
    retried.attempt, retried.errors = 2, [failure(1, 3), failure(2, 6)]
    retried.started_at = at(5)
    assert told(retried, 7) == [
        ("failed", "attempt 1, with the wait before it", 3),
        ("pending", "waiting", 2),
        ("failed", "attempt 2", 1),
        ("planned", "pause", 1),
    ]


def test_a_task_cancelled_before_it_began_has_no_attempt() -> None:
    cancelled = task(status="cancelled", cancelled_at=at(2))
    assert attempts(cancelled) == []
    assert sum(seconds for _, _, seconds in told(cancelled, 9)) == 2


def test_how_an_attempt_ended_is_said_in_words() -> None:
    assert ended({"class": "raised", "exception": "ValueError"}) == "raised (ValueError)"
    assert ended({"class": "exit_code", "code": 3}) == "exit code (3)"
    assert ended({"class": "lost"}) == "lost"
