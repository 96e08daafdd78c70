"""Test the sentence that explains why a task is not running."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from taskmaster.tasks.fleet import CAPACITY_AGE_MAX_S
from taskmaster.tasks.lifecycle import Status
from taskmaster.tasks.models import KnownNames, QueueState, Task
from taskmaster.tasks.permissions import PAUSE_QUEUE, VIEW
from taskmaster.tasks.policies import pausing
from taskmaster.tasks.queries.pending_reason import explain_pending
from taskmaster.tasks.statements import statement
from tests.factories import in_s, stored, user_with

pytestmark = pytest.mark.django_db

ONE, TWO = UUID(int=1), UUID(int=2)
SUBMITTED = ("queue", "priority", "scheduled_at")


def a_task(**fields: Any) -> Task:
    """Store a task; fields that cannot be submitted are updated afterwards."""
    [task_id] = stored(**{key: fields.pop(key) for key in SUBMITTED if key in fields})
    if fields:
        Task.objects.filter(pk=task_id).update(**fields)
    return Task.objects.get(pk=task_id)


def store_capacity(
    coordinator: UUID, queue: str, workers: int, slots: int, free: int, age_s: float = 0
) -> None:
    """Store a coordinator's capacity row of this age. Its workers take every task."""
    at = timezone.now() - timedelta(seconds=age_s)
    QueueState.objects.create(
        coordinator=coordinator, queue=queue, workers=workers, slots=slots, free=free, at=at
    )
    store_names(coordinator, [queue] if queue else None, None)


def store_names(coordinator: UUID, queues: list[str] | None, names: list[str] | None) -> None:
    """Store names that workers of a coordinator know. None: every queue, and every name."""
    KnownNames.objects.create(coordinator=coordinator, queues=queues, names=names)


def failed(attempt: int, how: str = "raised") -> dict[str, Any]:
    return {"attempt": attempt, "max_attempts": 3, "errors": [{"attempt": attempt, "class": how}]}


def test_running_and_finished_tasks_have_no_reason() -> None:
    task = a_task()
    for status in (Status.STARTED, Status.COMPLETE, Status.FAILED, Status.CANCELLED):
        task.status = status
        assert explain_pending(task) is None


def test_a_scheduled_task_shows_its_time() -> None:
    assert explain_pending(a_task(scheduled_at=in_s(250))) == "The task is due in 4 min."


def test_a_name_that_no_worker_of_the_queue_knows_is_named() -> None:
    store_capacity(ONE, "", 1, 4, 4)
    KnownNames.objects.all().delete()
    store_names(ONE, None, ["shop.tasks.send"])
    parked = {"status": "waiting", "waiting_reason": "unknown_name", "waiting_for": "shell"}
    for fields in ({}, parked):
        assert explain_pending(a_task(**fields)) == "No connected worker knows shell."
    store_names(TWO, ["mail"], ["shell"])
    store_capacity(TWO, "", 1, 4, 4, age_s=CAPACITY_AGE_MAX_S + 1)
    assert explain_pending(a_task()) == "No connected worker knows shell."
    QueueState.objects.update(at=timezone.now())
    KnownNames.objects.filter(coordinator=TWO, queues=None).delete()
    assert explain_pending(a_task()) == (
        "No connected worker that serves the queue `default` knows shell."
    )
    assert str(explain_pending(a_task(queue="mail"))).startswith("The task waits for a free slot")
    assert explain_pending(a_task(queue="mail", **parked)) == (
        "A worker that knows shell has connected; the task is pending again soon."
    )


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (failed(2), r"Attempt 2 of 3 failed; the next is due in \d+\.\d s\."),
        (failed(1, "lost"), r"Attempt 1 of 3 was lost with its worker; the next is due in .* s\."),
        # Started, released and rescheduled, so its last change was not a failed attempt.
        (failed(2) | {"attempt": 1}, r"The task is due in .* s\."),
        (failed(1) | {"attempt": 0}, r"The task is due in .* s\."),
    ],
)
def test_a_task_between_two_attempts_shows_the_last_attempt(
    fields: dict[str, Any], reason: str
) -> None:
    assert re.fullmatch(reason, str(explain_pending(a_task(scheduled_at=in_s(8), **fields))))


def test_free_slots_of_workers_that_do_not_know_the_name_do_not_count() -> None:
    store_capacity(ONE, "", 2, 9, 8)
    KnownNames.objects.all().delete()
    store_names(ONE, ["mail"], ["shell"])
    store_names(ONE, ["mail"], ["other.name"])
    task = a_task(queue="mail")
    assert explain_pending(task) == (
        "The task waits for a free slot of a worker that knows shell; "
        "other workers that serve the queue `mail` do not know it."
    )
    # Neither workers of another queue nor those of a silent coordinator matter.
    KnownNames.objects.filter(names=["other.name"]).update(queues=["reports"])
    store_names(TWO, None, ["other.name"])
    store_capacity(TWO, "", 1, 1, 1, age_s=CAPACITY_AGE_MAX_S + 1)
    assert explain_pending(task) == "The task is due and waits to be claimed."
    QueueState.objects.update(at=timezone.now())
    assert "of a worker that knows shell" in str(explain_pending(task))


def test_a_dead_coordinator_counts_as_none() -> None:
    task = a_task()
    silent = "No coordinator seems to be running: none has reported for 15 s."
    assert explain_pending(task) == silent
    store_capacity(ONE, "", 1, 4, 4, age_s=CAPACITY_AGE_MAX_S + 1)
    store_capacity(ONE, "default", 1, 4, 4)
    assert explain_pending(task) == silent


def test_a_queue_without_workers_is_named() -> None:
    store_capacity(ONE, "", 0, 0, 0)
    store_capacity(ONE, "mail", 2, 8, 8)
    assert explain_pending(a_task(queue="reports")) == "No worker serves the queue `reports`."
    assert explain_pending(a_task(queue="mail")) == "The task is due and waits to be claimed."


def test_busy_slots_of_all_live_coordinators_are_counted() -> None:
    task = a_task(queue="mail")
    store_capacity(ONE, "", 0, 0, 0)
    store_capacity(ONE, "mail", 1, 3, 0, age_s=3_600)
    # This coordinator has a worker for every queue, and none that names this one.
    store_capacity(TWO, "", 1, 5, 0)
    store_capacity(UUID(int=3), "", 9, 90, 90, age_s=CAPACITY_AGE_MAX_S + 1)
    assert explain_pending(task) == (
        "None of the 8 slots of the 2 workers that serve `mail` is free; "
        "the task is the next in its queue."
    )
    QueueState.objects.filter(coordinator=ONE).delete()
    assert "5 slots of the worker that serves `mail` is free" in str(explain_pending(task))
    QueueState.objects.filter(coordinator=TWO).update(free=1)
    assert explain_pending(task) == "The task is due and waits to be claimed."


def before(task: Task) -> str:
    return str(explain_pending(task)).partition("; ")[2]


def test_tasks_that_are_claimed_earlier_are_counted() -> None:
    store_capacity(ONE, "", 1, 2, 0)
    when = in_s(-60)
    [first, task, same_moment] = [a_task(scheduled_at=when) for _ in range(3)]
    assert before(task) == "1 task in the queue is ahead of it."
    assert before(first) == "the task is the next in its queue."
    assert before(same_moment) == "2 tasks in the queue are ahead of it."
    stored(priority=1, scheduled_at=in_s(-1))
    stored(priority=7, scheduled_at=in_s(-900))
    # None of these: lower priority, later, not due, another queue, no longer pending.
    stored(priority=-1, scheduled_at=in_s(-900))
    stored(scheduled_at=in_s(-59))
    stored(priority=9, scheduled_at=in_s(60))
    stored(queue="mail", priority=9)
    a_task(priority=9, status="started")
    assert before(task) == "3 tasks in the queue are ahead of it."


def test_at_most_a_thousand_earlier_tasks_are_counted() -> None:
    store_capacity(ONE, "", 1, 1, 0)
    stored(1_000, priority=5)
    task = a_task()
    assert before(task) == "1,000 tasks in the queue are ahead of it."
    stored(500, priority=6)
    assert before(task) == "more than 1,000 tasks in the queue are ahead of it."


def test_the_count_skips_future_tasks_of_a_higher_priority() -> None:
    stored(20_000, priority=9, scheduled_at=in_s(86_400))
    task = a_task()
    parameters = {"id": task.pk, "queue": "default", "priority": 0, "limit": 1_001}
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE taskmaster_tasks_task")
        cursor.execute(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {statement('count_tasks_ahead')}",
            {**parameters, "scheduled_at": task.scheduled_at},
        )
        plan = cursor.fetchone()[0][0]["Plan"]
    read = [node for node in nodes(plan) if node.get("Index Name")]
    assert {node["Index Name"] for node in read} == {"idx_tasks_scheduled_at"}
    assert sum(node.get("Rows Removed by Filter", 0) for node in read) < 10
    assert sum(node["Actual Rows"] for node in read) < 10


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(each for child in plan.get("Plans", []) for each in nodes(child))]


def test_a_held_task_shows_its_coordinator_while_that_is_alive() -> None:
    held = a_task(scheduled_at=in_s(12), status="picked", coordinator=ONE, lease=1)
    store_capacity(TWO, "", 1, 1, 1)
    assert explain_pending(held) == "The coordinator that holds the task has not reported for 15 s."
    store_capacity(ONE, "", 1, 1, 1)
    assert re.fullmatch(
        r"A coordinator holds the task until it is due in 1\d\.\d s\.", str(explain_pending(held))
    )
    again = a_task(scheduled_at=in_s(9), status="picked", coordinator=ONE, lease=2, **failed(1))
    assert str(explain_pending(again)).startswith("Attempt 1 of 3 failed; the next is due in ")
    offered = a_task(scheduled_at=in_s(-1), status="picked", coordinator=ONE, lease=1)
    assert (
        explain_pending(offered)
        == "A coordinator has claimed the task; no worker has accepted it yet."
    )


def test_a_paused_task_shows_who_paused_it_and_why_the_widest_pause_first() -> None:
    user = user_with(VIEW, PAUSE_QUEUE)
    task, other = a_task(queue="mail"), a_task(queue="other")
    for kind, target, subject in (
        ("name", "shell", "The task name `shell`"),
        ("queue", "mail", "The queue `mail`"),
        ("everything", "", "Everything"),
    ):
        made = pausing.pause(kind, target, "the server moves", user=user)
        since = f"{made.paused_at:%Y-%m-%d %H:%M:%S} UTC"
        assert explain_pending(task) == (
            f"{subject} is paused by {user.username} since {since}: the server moves"
        )
    for kind, target in (("everything", ""), ("name", "shell")):
        pausing.resume(kind, target, user=None)
    assert "is paused" not in str(explain_pending(other))
    # Only pending tasks are held back.
    task.status = Status.STARTED
    assert explain_pending(task) is None
