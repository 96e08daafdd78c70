"""A chunk changes the next tasks once, counts them, and leaves the others alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from coordinator.database import conninfo
from tasks import wake
from tasks.bulk import chunk, operate
from tasks.bulk.chunk import run_chunk
from tasks.models import Operation, Sleeper, Statistic, Task, TaskOutput
from tasks.statistics.read import overview
from tests.tasks.api.people import user_with
from tests.tasks.bulk.sample import an_operation, in_status, statuses
from tests.tasks.sample import in_s, stored

pytestmark = pytest.mark.django_db(transaction=True)

CHANGE, SHELL = "tasks.change_task", "tasks.submit_shell"


def run(operation: Operation) -> Operation:
    """To its end."""
    while run_chunk() is not None:
        pass
    operation.refresh_from_db()
    return operation


def finished(action: str, user: Any = None, **fields: object) -> Operation:
    return run(an_operation(action, user, **fields))


@contextmanager
def held(task_id: int) -> Iterator[psycopg.Connection[Any]]:
    """Somebody else is at the task."""
    with psycopg.connect(conninfo()) as other:
        other.execute("SELECT FROM tasks_task WHERE id = %s FOR UPDATE", [task_id])
        yield other


# ---- what each action does ------------------------------------------------------------------


def test_cancel_cancels_what_has_not_ended() -> None:
    ids = [in_status(status)[0] for status in ("pending", "picked", "started", "complete")]
    operation = finished("cancel", filter={})
    assert statuses(ids) == ["cancelled", "cancelled", "cancelled", "complete"]
    assert (operation.state, operation.total, operation.done) == ("complete", 3, 3)
    assert operation.refused == {}
    assert operation.started_at is not None
    assert operation.finished_at is not None
    assert Task.objects.get(pk=ids[2]).errors[0]["class"] == "cancelled"


def test_the_coordinators_of_cancelled_tasks_are_told() -> None:
    from uuid import uuid4

    held_, loose = in_status("started", coordinator=uuid4(), lease=7)[0], in_status("pending")[0]
    with psycopg.connect(conninfo(), autocommit=True) as listener:
        listener.execute("LISTEN taskmaster_cancel")
        finished("cancel", ids=[held_, loose])
        heard = [each.payload for each in listener.notifies(timeout=0.5)]
    assert heard == [f"{held_} 7"]


def test_retry_makes_pending_again() -> None:
    ids = [in_status(status, attempt=3)[0] for status in ("failed", "cancelled", "complete")]
    finished("retry", filter={})
    assert statuses(ids) == ["pending", "pending", "complete"]
    assert Task.objects.get(pk=ids[0]).max_attempts == 4


def test_run_now_makes_due_what_is_not() -> None:
    [later] = stored(scheduled_at=in_s(3600))
    [due] = stored()
    before = Task.objects.get(pk=due).scheduled_at
    operation = finished("run_now", ids=[later, due])
    assert Task.objects.get(pk=later).scheduled_at <= timezone.now()
    assert Task.objects.get(pk=due).scheduled_at == before
    assert (operation.done, operation.refused) == (1, {"is due already": 1})


def test_queue_and_priority_change_for_what_has_not_begun() -> None:
    [waiting], [pending], [picked], [started] = map(
        in_status, ("waiting", "pending", "picked", "started")
    )
    finished("set_queue", filter={}, queue="mail")
    finished("set_priority", filter={}, priority=-3)
    places = [(t.queue, t.priority) for t in Task.objects.order_by("pk")]
    assert places == [("mail", -3)] * 3 + [("default", 0)]
    assert statuses([waiting, pending, picked, started]) == [
        "waiting",
        "pending",
        "pending",
        "started",
    ]
    assert Task.objects.get(pk=picked).lease == 2, "its coordinator would still offer it"


def test_delete_removes_what_is_finished_with_its_output() -> None:
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
def test_sleeping_coordinators_are_woken_where_there_is_work(
    status: str, asked: dict[str, Any], wakes: bool
) -> None:
    [task_id] = stored(scheduled_at=in_s(3600))
    Task.objects.filter(pk=task_id).update(status=status)
    Sleeper.objects.create(coordinator=uuid_of(1))
    wake.forget()
    with psycopg.connect(conninfo(), autocommit=True) as listener:
        listener.execute("LISTEN taskmaster_wake")
        assert finished(**asked, filter={}).done == 1
        heard = list(listener.notifies(timeout=0.3, stop_after=1))
    assert bool(heard) == wakes


def test_the_totals_follow() -> None:
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


# ---- which tasks ----------------------------------------------------------------------------


def test_a_large_operation_takes_chunk_after_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk, "CHUNK", 10)
    stored(25)
    operation, done = an_operation("cancel", filter={}), []
    while run_chunk() is not None:
        operation.refresh_from_db()
        done.append((operation.done, operation.state))
    assert done == [(10, "running"), (20, "running"), (25, "complete")]


def test_a_rare_task_among_many_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk, "_WINDOW", 10)
    stored(35)
    rare = stored(queue="rare")
    stored(35)
    operation = finished("cancel", filter={"queue": "rare"})
    assert (operation.done, operation.total) == (1, 1)
    assert statuses(rare) == ["cancelled"]
    assert Task.objects.filter(status="pending").count() == 70


@pytest.mark.parametrize(("status", "done"), [("pending", 1), ("failed", 0)])
def test_it_walks_through_no_history_before_its_first_task(
    monkeypatch: pytest.MonkeyPatch, status: str, done: int
) -> None:
    monkeypatch.setattr(chunk, "_WINDOW", 2)
    in_status("complete", 9)
    in_status(status)
    operation = an_operation("cancel", filter={})
    assert run_chunk() is not None
    operation.refresh_from_db()
    assert (operation.state, operation.done) == ("complete", done)


@pytest.mark.parametrize("window", [4, 1_000])
def test_tasks_that_come_later_are_not_touched(
    window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk, "_WINDOW", window)
    ids = stored(3)
    operation = an_operation("cancel", filter={})
    later = stored(2)
    run(operation)
    assert statuses(ids + later) == ["cancelled"] * 3 + ["pending"] * 2


def test_what_it_makes_fit_its_own_filter_is_not_handled_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chunk, "CHUNK", 4)
    ids = in_status("failed", 10, attempt=1)
    operation = an_operation("retry", filter={"status": "failed"})
    while run_chunk() is not None:
        Task.objects.filter(status="pending").update(status="failed", attempt=2)
    operation.refresh_from_db()
    assert operation.done == 10
    assert set(Task.objects.filter(pk__in=ids).values_list("max_attempts", flat=True)) == {3}


def test_of_named_tasks_those_that_do_not_fit_are_refused_by_reason() -> None:
    [pending], ended = in_status("pending"), in_status("complete", 2)
    [failed] = in_status("failed")
    operation = finished("cancel", ids=[pending, *ended, failed, 2**60, 2**61])
    rule = "only tasks that have not ended can be cancelled"
    assert operation.done == 1
    assert operation.refused == {
        f"complete: {rule}": 2,
        f"failed: {rule}": 1,
        "there is no such task": 2,
    }
    assert statuses(ended) == ["complete", "complete"]


def test_it_ends_where_there_are_no_tasks() -> None:
    assert finished("cancel", filter={}).state == "complete"


# ---- who may --------------------------------------------------------------------------------


def test_shell_tasks_are_refused_to_whoever_may_not_submit_them() -> None:
    shell = in_status("failed", 2)
    [other] = in_status("failed", name="examples.tasks.add")
    operation = finished("retry", user_with(CHANGE), filter={})
    assert statuses([*shell, other]) == ["failed", "failed", "pending"]
    assert operation.state == "complete"
    assert operation.refused == {"shell: This needs the permission tasks.submit_shell.": 2}
    assert finished("retry", user_with(CHANGE, SHELL), filter={}).done == 2


def test_the_right_to_shell_is_asked_for_when_it_runs() -> None:
    shell, user = in_status("failed"), user_with(CHANGE, SHELL)
    operation = an_operation("retry", user, filter={})
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert list(run(operation).refused.values()) == [1]
    gone = user_with(CHANGE, SHELL)
    operation = an_operation("retry", gone, filter={})
    gone.delete()
    assert f"there is no user {operation.user}" in next(iter(run(operation).refused))
    assert statuses(shell) == ["failed"]


# ---- who else is there ----------------------------------------------------------------------


def test_what_somebody_else_is_at_is_left_to_the_next_chunk() -> None:
    ids = stored(5)
    operation = an_operation("cancel", filter={})
    with held(ids[2]):
        run_chunk()
        operation.refresh_from_db()
        assert (operation.done, operation.cursor, operation.state) == (2, ids[2] - 1, "running")
        assert statuses(ids)[3:] == ["pending", "pending"]
        # The very next task is held: a chunk waits for it, a while, and changes nothing.
        run_chunk()
        operation.refresh_from_db()
        assert (operation.done, operation.state) == (2, "running")
    assert run(operation).done == 5


def test_it_waits_for_one_lock_only_while_it_holds_none_on_tasks() -> None:
    ids = stored(5)
    an_operation("cancel", filter={})
    with held(ids[0]) as other:
        waiting = threading.Thread(target=in_thread)
        waiting.start()
        until_it_waits()
        # In a deadlock one of both would fail.
        other.execute("SELECT FROM tasks_task WHERE id = %s FOR UPDATE", [ids[4]])
        other.rollback()
        waiting.join()
    assert statuses(ids[:1]) == ["cancelled"]


def in_thread() -> None:
    try:
        run_chunk()
    finally:
        connection.close()


def until_it_waits() -> None:
    query = "SELECT FROM pg_locks WHERE NOT granted"
    with psycopg.connect(conninfo(), autocommit=True) as watching:
        until = timezone.now() + timedelta(seconds=5)
        while watching.execute(query).fetchone() is None:
            assert timezone.now() < until, "nobody waits"


def test_a_task_that_no_longer_fits_when_it_is_free_is_left_alone() -> None:
    ids = stored(2)
    operation = an_operation("cancel", filter={"status": "pending"})
    with held(ids[0]) as other:
        waiting = threading.Thread(target=in_thread)
        waiting.start()
        until_it_waits()
        other.execute("UPDATE tasks_task SET status = 'started' WHERE id = %s", [ids[0]])
        other.commit()
        waiting.join()
    assert run(operation).done == 1
    assert statuses(ids) == ["started", "cancelled"]


def test_an_operation_that_another_coordinator_is_at_is_not_taken() -> None:
    stored(1)
    operation = an_operation("cancel", filter={})
    with psycopg.connect(conninfo()) as other:
        other.execute("SELECT FROM tasks_operation WHERE id = %s FOR UPDATE", [operation.pk])
        assert run_chunk() is None
    assert run_chunk() is not None


def test_operations_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk, "CHUNK", 2)
    stored(6, queue="large")
    stored(2, queue="small")
    large = an_operation("cancel", filter={"queue": "large"})
    small = an_operation("cancel", filter={"queue": "small"})
    for _ in range(3):
        run_chunk()
    large.refresh_from_db()
    small.refresh_from_db()
    assert (large.done, small.done) == (4, 2)


def test_a_cancelled_operation_does_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk, "CHUNK", 2)
    ids = stored(5)
    operation = an_operation("cancel", filter={})
    run_chunk()
    operate.cancel(operation.pk, None)
    assert run_chunk() is None
    assert statuses(ids) == ["cancelled"] * 2 + ["pending"] * 3


def test_an_operation_that_cannot_run_fails_with_the_error_and_stops_nobody() -> None:
    ids = stored(2)
    broken = an_operation("cancel", filter={})
    Operation.objects.filter(pk=broken.pk).update(filter={"created_after": "never"})
    turn = run_chunk()
    assert turn is not None
    assert turn.ended is not None
    assert "filter.created_after" in turn.ended.text
    broken.refresh_from_db()
    assert broken.state == "failed"
    assert broken.error.startswith("filter.created_after: must be a time")
    assert statuses(ids) == ["pending", "pending"]
    assert finished("cancel", filter={}).done == 2


def test_the_end_is_told_with_what_was_done() -> None:
    stored(3, queue="mail")
    user = user_with(CHANGE)
    an_operation("cancel", user, filter={"queue": "mail"})
    turn = run_chunk()
    assert turn is not None
    assert turn.ended is not None
    assert turn.ended.text == "cancelled 3 tasks (queue=mail)"
    assert (turn.ended.kind, turn.ended.user, turn.ended.count) == (
        "operator",
        user.get_username(),
        3,
    )
