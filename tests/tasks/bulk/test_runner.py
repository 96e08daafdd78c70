"""Test that a chunk changes the next tasks once, counts them, and leaves the others alone."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from taskmaster.coordinator.support.database import conninfo
from taskmaster.tasks import wakeup
from taskmaster.tasks.bulk import runner, service
from taskmaster.tasks.bulk.runner import run_chunk
from taskmaster.tasks.models import IdleCoordinator, Operation, Statistic, Task, TaskOutput
from taskmaster.tasks.statistics.read import overview
from tests.factories import in_s, locked, stored, user_with
from tests.tasks.bulk.sample import (
    an_operation,
    in_status,
    in_thread,
    statuses,
    wait_for_blocked_session,
)

pytestmark = pytest.mark.django_db(transaction=True)

CHANGE, SHELL = "taskmaster_tasks.change_task", "taskmaster_tasks.submit_shell"
VIEW = "taskmaster_tasks.view_task"


def run(operation: Operation) -> Operation:
    """Run the operation to its end."""
    while run_chunk() is not None:
        pass
    operation.refresh_from_db()
    return operation


def finished(action: str, user: Any = None, **fields: object) -> Operation:
    return run(an_operation(action, user, **fields))


# ---- effect of each action ------------------------------------------------------------------


def test_cancel_cancels_unfinished_tasks() -> None:
    ids = [in_status(status)[0] for status in ("pending", "picked", "started", "complete")]
    Task.objects.filter(pk=ids[2]).update(started_at=in_s(-5))
    operation = finished("cancel", filter={})
    assert statuses(ids) == ["cancelled", "cancelled", "cancelled", "complete"]
    assert (operation.state, operation.total, operation.done) == ("complete", 3, 3)
    assert operation.refused == {}
    assert operation.started_at is not None
    assert operation.finished_at is not None
    stopped = Task.objects.get(pk=ids[2])
    assert stopped.errors[0]["class"] == "cancelled"
    assert datetime.fromisoformat(stopped.errors[0]["due"]) == stopped.scheduled_at
    assert stopped.started_at is not None
    assert datetime.fromisoformat(stopped.errors[0]["started"]) == stopped.started_at


def test_the_coordinators_of_cancelled_tasks_are_notified() -> None:
    from uuid import uuid4

    held_, loose = in_status("started", coordinator=uuid4(), lease=7)[0], in_status("pending")[0]
    with psycopg.connect(conninfo(), autocommit=True) as listener:
        listener.execute("LISTEN taskmaster_cancel")
        finished("cancel", ids=[held_, loose])
        heard = [each.payload for each in listener.notifies(timeout=0.5)]
    assert heard == [f"{held_} 7"]


def test_retry_makes_tasks_pending() -> None:
    ids = [in_status(status, attempt=3)[0] for status in ("failed", "cancelled", "complete")]
    entry = {"attempt": 3, "class": "raised", "started": "2026-01-01T00:00:00+00:00"}
    Task.objects.filter(pk=ids[0]).update(errors=[entry])
    finished("retry", filter={})
    assert statuses(ids) == ["pending", "pending", "complete"]
    assert Task.objects.get(pk=ids[0]).errors == [entry]
    assert Task.objects.get(pk=ids[0]).max_attempts == 4


def test_run_now_makes_scheduled_tasks_due() -> None:
    [later] = stored(scheduled_at=in_s(3600))
    [due] = stored()
    before = Task.objects.get(pk=due).scheduled_at
    operation = finished("run_now", ids=[later, due])
    assert Task.objects.get(pk=later).scheduled_at <= timezone.now()
    assert Task.objects.get(pk=due).scheduled_at == before
    assert (operation.done, operation.refused) == (1, {"the task is already due": 1})


def test_queue_and_priority_change_for_tasks_that_have_not_begun() -> None:
    [waiting], [pending], [picked], [started] = map(
        in_status, ("waiting", "pending", "picked", "started")
    )
    finished("set_queue", filter={}, queue="mail")
    finished("set_priority", filter={}, priority=-3)
    places = [(t.queue, t.priority) for t in Task.objects.order_by("pk")]
    assert places == [("mail", -3)] * 3 + [("default", 0)]
    # Workers of the other queue may know the name of the parked task.
    assert statuses([waiting, pending, picked, started]) == [
        "pending",
        "pending",
        "pending",
        "started",
    ]
    assert Task.objects.get(pk=picked).lease == 2, "its coordinator would still offer it"


def test_delete_removes_finished_tasks_and_their_output() -> None:
    ids = [in_status(status)[0] for status in ("complete", "failed", "cancelled", "started")]
    for task_id in ids:
        TaskOutput.objects.create(
            task_id=task_id, lease=1, attempt=1, seq=0, stream="stdout", text="x"
        )
    finished("delete", filter={})
    assert statuses(ids) == ["gone", "gone", "gone", "started"]
    assert list(TaskOutput.objects.values_list("task_id", flat=True)) == [ids[3]]


@pytest.mark.parametrize(
    ("status", "asked", "wakes"),
    [
        ("failed", {"action": "retry"}, True),
        ("pending", {"action": "run_now"}, True),
        ("pending", {"action": "set_queue", "queue": "mail"}, True),
        ("pending", {"action": "set_priority", "priority": 1}, True),
        ("pending", {"action": "cancel"}, False),
        ("failed", {"action": "delete"}, False),
    ],
)
def test_idle_coordinators_are_woken_when_tasks_become_due(
    status: str, asked: dict[str, Any], wakes: bool
) -> None:
    [task_id] = stored(scheduled_at=in_s(3600))
    Task.objects.filter(pk=task_id).update(status=status)
    IdleCoordinator.objects.create(coordinator=uuid_of(1))
    wakeup.clear_cache()
    with psycopg.connect(conninfo(), autocommit=True) as listener:
        listener.execute("LISTEN taskmaster_wake")
        assert finished(**asked, filter={}).done == 1
        heard = list(listener.notifies(timeout=0.3, stop_after=1))
    assert bool(heard) == wakes


def test_the_totals_are_updated() -> None:
    for status, count in (("complete", 5), ("failed", 4), ("cancelled", 3), ("pending", 2)):
        in_status(status, count, queue=status)
    Statistic.objects.create(at=timezone.now(), source=uuid_of(9), complete=5, failed=4,
                             cancelled=3, wait=[], run=[])  # fmt: skip
    finished("cancel", filter={"queue": "pending"})
    finished("retry", filter={"status": "failed"})
    finished("delete", filter={"queue": "complete"})
    counters = overview()
    assert (counters.complete, counters.failed, counters.cancelled) == (0, 0, 5)


def uuid_of(number: int) -> Any:
    from uuid import UUID

    return UUID(int=number << 64)


# ---- selection of tasks ---------------------------------------------------------------------


def test_a_large_operation_runs_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "CHUNK", 10)
    stored(25)
    operation, done = an_operation("cancel", filter={}), []
    while run_chunk() is not None:
        operation.refresh_from_db()
        done.append((operation.done, operation.state))
    assert done == [(10, "running"), (20, "running"), (25, "complete")]


def test_a_rare_task_among_many_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_WINDOW", 10)
    stored(35)
    rare = stored(queue="rare")
    stored(35)
    operation = finished("cancel", filter={"queue": "rare"})
    assert (operation.done, operation.total) == (1, 1)
    assert statuses(rare) == ["cancelled"]
    assert Task.objects.filter(status="pending").count() == 70


@pytest.mark.parametrize(("status", "done"), [("pending", 1), ("failed", 0)])
def test_a_chunk_does_not_scan_history_before_its_first_task(
    monkeypatch: pytest.MonkeyPatch, status: str, done: int
) -> None:
    monkeypatch.setattr(runner, "_WINDOW", 2)
    in_status("complete", 9)
    in_status(status)
    operation = an_operation("cancel", filter={})
    assert run_chunk() is not None
    operation.refresh_from_db()
    assert (operation.state, operation.done) == ("complete", done)


@pytest.mark.parametrize("window", [4, 1_000])
def test_later_tasks_are_not_changed(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_WINDOW", window)
    ids = stored(3)
    operation = an_operation("cancel", filter={})
    later = stored(2)
    run(operation)
    assert statuses(ids + later) == ["cancelled"] * 3 + ["pending"] * 2


def test_a_changed_task_that_still_matches_the_filter_is_handled_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "CHUNK", 4)
    ids = in_status("failed", 10, attempt=1)
    operation = an_operation("retry", filter={"status": "failed"})
    while run_chunk() is not None:
        Task.objects.filter(status="pending").update(status="failed", attempt=2)
    operation.refresh_from_db()
    assert operation.done == 10
    assert set(Task.objects.filter(pk__in=ids).values_list("max_attempts", flat=True)) == {3}


def test_listed_tasks_that_cannot_be_changed_are_refused_with_a_reason() -> None:
    [pending], ended = in_status("pending"), in_status("complete", 2)
    [failed] = in_status("failed")
    operation = finished("cancel", ids=[pending, *ended, failed, 2**60, 2**61])
    rule = "only tasks that have not ended can be cancelled"
    assert operation.done == 1
    assert operation.refused == {
        f"complete: {rule}": 2,
        f"failed: {rule}": 1,
        "the task does not exist": 2,
    }
    assert statuses(ended) == ["complete", "complete"]


def test_an_operation_without_tasks_ends() -> None:
    assert finished("cancel", filter={}).state == "complete"


# ---- permissions ----------------------------------------------------------------------------


def test_shell_tasks_are_refused_without_the_permission_to_submit_them() -> None:
    shell = in_status("failed", 2)
    [other] = in_status("failed", name="examples.tasks.add")
    operation = finished("retry", user_with(VIEW, CHANGE), filter={})
    assert statuses([*shell, other]) == ["failed", "failed", "pending"]
    assert operation.state == "complete"
    assert operation.refused == {
        "shell: This needs the permission taskmaster_tasks.submit_shell.": 2
    }
    assert finished("retry", user_with(VIEW, CHANGE, SHELL), filter={}).done == 2


def test_the_shell_permission_is_checked_when_the_operation_runs() -> None:
    shell, user = in_status("failed"), user_with(VIEW, CHANGE, SHELL)
    operation = an_operation("retry", user, filter={})
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert list(run(operation).refused.values()) == [1]
    gone = user_with(VIEW, CHANGE, SHELL)
    operation = an_operation("retry", gone, filter={})
    gone.delete()
    assert f"the user {operation.user} no longer exists" in next(iter(run(operation).refused))
    assert statuses(shell) == ["failed"]


# ---- concurrent sessions --------------------------------------------------------------------


def test_a_locked_task_is_left_to_the_next_chunk() -> None:
    ids = stored(5)
    operation = an_operation("cancel", filter={})
    with locked(ids[2]):
        run_chunk()
        operation.refresh_from_db()
        assert (operation.done, operation.cursor, operation.state) == (2, ids[2] - 1, "running")
        assert statuses(ids)[3:] == ["pending", "pending"]
        # The very next task is locked: a chunk waits for it for a while and changes nothing.
        run_chunk()
        operation.refresh_from_db()
        assert (operation.done, operation.state) == (2, "running")
    assert run(operation).done == 5


def test_a_chunk_waits_for_a_lock_only_while_it_holds_none() -> None:
    ids = stored(5)
    an_operation("cancel", filter={})
    with locked(ids[0]) as other:
        waiting = threading.Thread(target=in_thread, args=(run_chunk,))
        waiting.start()
        wait_for_blocked_session()
        # In a deadlock one of the two would fail.
        other.execute("SELECT FROM taskmaster_tasks_task WHERE id = %s FOR UPDATE", [ids[4]])
        other.rollback()
        waiting.join()
    assert statuses(ids[:1]) == ["cancelled"]


def test_a_locked_task_that_no_longer_matches_is_left_alone() -> None:
    ids = stored(2)
    operation = an_operation("cancel", filter={"status": "pending"})
    with locked(ids[0]) as other:
        waiting = threading.Thread(target=in_thread, args=(run_chunk,))
        waiting.start()
        wait_for_blocked_session()
        other.execute("UPDATE taskmaster_tasks_task SET status = 'started' WHERE id = %s", [ids[0]])
        other.commit()
        waiting.join()
    assert run(operation).done == 1
    assert statuses(ids) == ["started", "cancelled"]


def test_an_operation_of_another_coordinator_is_not_claimed() -> None:
    stored(1)
    operation = an_operation("cancel", filter={})
    with psycopg.connect(conninfo()) as other:
        other.execute(
            "SELECT FROM taskmaster_tasks_operation WHERE id = %s FOR UPDATE", [operation.pk]
        )
        assert run_chunk() is None
    assert run_chunk() is not None


def test_operations_alternate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "CHUNK", 2)
    stored(6, queue="large")
    stored(2, queue="small")
    large = an_operation("cancel", filter={"queue": "large"})
    small = an_operation("cancel", filter={"queue": "small"})
    for _ in range(3):
        run_chunk()
    large.refresh_from_db()
    small.refresh_from_db()
    assert (large.done, small.done) == (4, 2)


def test_a_cancelled_operation_changes_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "CHUNK", 2)
    ids = stored(5)
    operation = an_operation("cancel", filter={})
    run_chunk()
    service.cancel(operation.pk, None)
    assert run_chunk() is None
    assert statuses(ids) == ["cancelled"] * 2 + ["pending"] * 3


def test_an_operation_that_cannot_run_fails_and_does_not_block_others() -> None:
    ids = stored(2)
    broken = an_operation("cancel", filter={})
    Operation.objects.filter(pk=broken.pk).update(filter={"created_after": "never"})
    result = run_chunk()
    assert result is not None
    assert result.ended is not None
    assert "filter.created_after" in result.ended.text
    broken.refresh_from_db()
    assert broken.state == "failed"
    assert broken.error.startswith("filter.created_after: must be a time")
    assert statuses(ids) == ["pending", "pending"]
    assert finished("cancel", filter={}).done == 2


def test_the_end_is_published_with_the_counts() -> None:
    stored(3, queue="mail")
    user = user_with(VIEW, CHANGE)
    an_operation("cancel", user, filter={"queue": "mail"})
    result = run_chunk()
    assert result is not None
    assert result.ended is not None
    assert result.ended.text == "cancelled 3 tasks (queue=mail)"
    assert (result.ended.kind, result.ended.user, result.ended.count) == (
        "operator",
        user.get_username(),
        3,
    )
