"""Why a task is not running, in a sentence that is never false."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from tasks.lifecycle import Status
from tasks.models import QueueState, Task
from tasks.reasons import SILENCE_S, why
from tasks.statements import statement
from tests.tasks.sample import in_s, stored

pytestmark = pytest.mark.django_db

ONE, TWO = UUID(int=1), UUID(int=2)
SUBMITTED = ("queue", "priority", "scheduled_at")


def a_task(**fields: Any) -> Task:
    """A stored task; what cannot be submitted is written over it."""
    [task_id] = stored(**{key: fields.pop(key) for key in SUBMITTED if key in fields})
    if fields:
        Task.objects.filter(pk=task_id).update(**fields)
    return Task.objects.get(pk=task_id)


def says(
    coordinator: UUID, queue: str, workers: int, slots: int, free: int, age_s: float = 0
) -> None:
    """A coordinator has written this so many seconds ago."""
    at = timezone.now() - timedelta(seconds=age_s)
    QueueState.objects.create(
        coordinator=coordinator, queue=queue, workers=workers, slots=slots, free=free, at=at
    )


def failed(attempt: int, how: str = "raised") -> dict[str, Any]:
    return {"attempt": attempt, "max_attempts": 3, "errors": [{"attempt": attempt, "class": how}]}


def test_what_runs_or_has_ended_needs_no_reason() -> None:
    task = a_task()
    for status in (Status.STARTED, Status.COMPLETE, Status.FAILED, Status.CANCELLED):
        task.status = status
        assert why(task) is None


def test_what_is_due_later_says_when() -> None:
    assert why(a_task(scheduled_at=in_s(250))) == "It is due in 4 min."
    waiting = a_task(status="waiting", scheduled_at=in_s(-5))
    assert why(waiting) == "It waits for other tasks to end."


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (failed(2), r"Attempt 2 of 3 failed; the next is due in \d+\.\d s\."),
        (failed(1, "lost"), r"Attempt 1 of 3 was lost with its worker; the next is due in .* s\."),
        # Begun, handed back and moved: no attempt was the last that happened.
        (failed(2) | {"attempt": 1}, r"It is due in .* s\."),
        (failed(1) | {"attempt": 0}, r"It is due in .* s\."),
    ],
)
def test_what_is_between_two_attempts_says_so(fields: dict[str, Any], said: str) -> None:
    assert re.fullmatch(said, str(why(a_task(scheduled_at=in_s(8), **fields))))


def test_no_coordinator_and_one_that_has_gone_are_the_same() -> None:
    task = a_task()
    silent = "No coordinator seems to run: none has been heard of for 15 s."
    assert why(task) == silent
    says(ONE, "", 1, 4, 4, age_s=SILENCE_S + 1)
    says(ONE, "default", 1, 4, 4)
    assert why(task) == silent


def test_no_worker_for_its_queue() -> None:
    says(ONE, "", 0, 0, 0)
    says(ONE, "mail", 2, 8, 8)
    assert why(a_task(queue="reports")) == "No worker serves the queue `reports`."
    assert why(a_task(queue="mail")) == "It is due and waits to be claimed."


def test_busy_slots_are_counted_over_all_coordinators_that_are_alive() -> None:
    task = a_task(queue="mail")
    says(ONE, "", 0, 0, 0)
    says(ONE, "mail", 1, 3, 0, age_s=3_600)
    # This one has a worker for every queue, and none that names this one.
    says(TWO, "", 1, 5, 0)
    says(UUID(int=3), "", 9, 90, 90, age_s=SILENCE_S + 1)
    assert why(task) == (
        "None of the 8 slots of the 2 workers that serve `mail` is free; "
        "it is the next of its queue."
    )
    QueueState.objects.filter(coordinator=ONE).delete()
    assert "5 slots of the worker that serves `mail` is free" in str(why(task))
    QueueState.objects.filter(coordinator=TWO).update(free=1)
    assert why(task) == "It is due and waits to be claimed."


def before(task: Task) -> str:
    return str(why(task)).partition("; ")[2]


def test_those_before_it_are_those_that_are_claimed_before_it() -> None:
    says(ONE, "", 1, 2, 0)
    when = in_s(-60)
    [first, task, same_moment] = [a_task(scheduled_at=when) for _ in range(3)]
    assert before(task) == "1 task of the queue is before it."
    assert before(first) == "it is the next of its queue."
    assert before(same_moment) == "2 tasks of the queue are before it."
    stored(priority=1, scheduled_at=in_s(-1))
    stored(priority=7, scheduled_at=in_s(-900))
    # None of these: of lower rank, later, not due, of another queue, not pending any more.
    stored(priority=-1, scheduled_at=in_s(-900))
    stored(scheduled_at=in_s(-59))
    stored(priority=9, scheduled_at=in_s(60))
    stored(queue="mail", priority=9)
    a_task(priority=9, status="started")
    assert before(task) == "3 tasks of the queue are before it."


def test_more_than_a_thousand_are_not_counted() -> None:
    says(ONE, "", 1, 1, 0)
    stored(1_000, priority=5)
    task = a_task()
    assert before(task) == "1,000 tasks of the queue are before it."
    stored(500, priority=6)
    assert before(task) == "more than 1,000 tasks of the queue are before it."


def test_the_count_steps_over_future_tasks_of_a_higher_priority() -> None:
    stored(20_000, priority=9, scheduled_at=in_s(86_400))
    task = a_task()
    parameters = {"id": task.pk, "queue": "default", "priority": 0, "most": 1_001}
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE tasks_task")
        cursor.execute(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {statement('before')}",
            {**parameters, "scheduled_at": task.scheduled_at},
        )
        plan = cursor.fetchone()[0][0]["Plan"]
    read = [node for node in nodes(plan) if node.get("Index Name")]
    assert {node["Index Name"] for node in read} == {"idx_tasks_scheduled_at"}
    assert sum(node.get("Rows Removed by Filter", 0) for node in read) < 10
    assert sum(node["Actual Rows"] for node in read) < 10


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(each for child in plan.get("Plans", []) for each in nodes(child))]


def test_what_a_coordinator_holds_says_so_as_long_as_that_one_is_alive() -> None:
    held = a_task(scheduled_at=in_s(12), status="picked", coordinator=ONE, lease=1)
    says(TWO, "", 1, 1, 1)
    assert why(held) == "The coordinator that holds it has not been heard of for 15 s."
    says(ONE, "", 1, 1, 1)
    assert re.fullmatch(r"A coordinator holds it until its time, in 1\d\.\d s\.", str(why(held)))
    again = a_task(scheduled_at=in_s(9), status="picked", coordinator=ONE, lease=2, **failed(1))
    assert str(why(again)).startswith("Attempt 1 of 3 failed; the next is due in ")
    offered = a_task(scheduled_at=in_s(-1), status="picked", coordinator=ONE, lease=1)
    assert why(offered) == "A coordinator has claimed it; no worker has accepted it yet."
