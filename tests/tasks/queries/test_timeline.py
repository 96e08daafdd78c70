"""Test the attempts and spans in a task's timeline."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from taskmaster.tasks.models import Task
from taskmaster.tasks.queries.timeline import attempts, describe_failure, spans

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


def timeline_of(
    of: Task, now: float, starts: tuple[float, ...] = ()
) -> list[tuple[str, str, float]]:
    tried = attempts(of, [at(start) for start in starts])
    return [(span.kind, span.label, span.seconds) for span in spans(of, tried, at(now))]


def test_a_pending_task_has_waited_since_it_was_due() -> None:
    assert timeline_of(task(status="pending", scheduled_at=at(3)), 5) == [
        ("planned", "until it was due", 3),
        ("pending", "waiting", 2),
    ]


def test_a_complete_task_has_a_wait_and_a_run() -> None:
    done = task(status="complete", attempt=1, worker="heron", started_at=at(1), completed_at=at(4))
    assert timeline_of(done, 99) == [("pending", "waiting", 1), ("complete", "attempt 1", 3)]
    [attempt] = attempts(done)
    assert (attempt.outcome, attempt.worker) == ("returned", "heron")


def test_an_earlier_attempt_begins_at_its_start_event() -> None:
    retried = task(
        status="started", attempt=2, started_at=at(6), scheduled_at=at(5), errors=[failure(1, 3)]
    )
    assert timeline_of(retried, 8, starts=(1, 6)) == [
        ("pending", "waiting", 1),
        ("failed", "attempt 1", 2),
        ("pending", "waiting", 3),
        ("running", "attempt 2", 2),
    ]


def test_without_events_an_attempt_includes_the_wait_before_it() -> None:
    retried = task(
        status="pending", attempt=1, started_at=at(1), scheduled_at=at(9), errors=[failure(1, 3)]
    )
    retried.attempt, retried.errors = 2, [failure(1, 3), failure(2, 6)]
    retried.started_at = at(5)
    assert timeline_of(retried, 7) == [
        ("failed", "attempt 1, with the wait before it", 3),
        ("pending", "waiting", 2),
        ("failed", "attempt 2", 1),
        ("planned", "pause", 1),
    ]


def test_a_task_cancelled_before_it_began_has_no_attempt() -> None:
    cancelled = task(status="cancelled", cancelled_at=at(2))
    assert attempts(cancelled) == []
    assert sum(seconds for _, _, seconds in timeline_of(cancelled, 9)) == 2


def test_each_outcome_of_an_attempt_has_a_description() -> None:
    assert describe_failure({"class": "raised", "exception": "ValueError"}) == "raised (ValueError)"
    assert describe_failure({"class": "exit_code", "code": 3}) == "exit code (3)"
    assert describe_failure({"class": "lost"}) == "lost"
