"""Test that any sequence of calls makes only legal transitions, and leases only grow."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskmaster.coordinator.support.database import conninfo
from taskmaster.tasks import task_actions
from taskmaster.tasks.errors import IllegalTransition
from taskmaster.tasks.lifecycle import LEGAL, Status, Transition, sources
from taskmaster.tasks.messages import Completion, Failure, Lease, Release, Start
from taskmaster.tasks.models import Task
from taskmaster.tasks.statements import Connection
from taskmaster.tasks.store import async_store as store
from taskmaster.tasks.store import policy_changes, sync_store
from tests.coordinator.sample import claimed
from tests.factories import in_s, stored

ME = UUID(int=1)
ROW = (
    "SELECT status, lease, attempt, result, errors, started_at, completed_at, failed_at, "
    "cancelled_at, scheduled_at, waiting_reason, waiting_for, queue, priority "
    "FROM taskmaster_tasks_task WHERE id = %s"
)

steps = st.lists(
    st.tuples(
        st.sampled_from(list(Transition)),
        # The lease of a report: the live one, or an older one.
        st.sampled_from([0, 0, 0, -1, -2, 5]),
    ),
    max_size=14,
)


def requests_by_report(
    task_id: int, lease: int, attempt: int
) -> dict[Transition, Callable[[Connection], Awaitable[Any]]]:
    """Return the transitions that a report with a lease requests."""
    head = (task_id, lease, attempt, 0.1)
    return {
        Transition.START: lambda c: store.start_attempts(c, [Start(*head, "w", ME)]),
        Transition.COMPLETE: lambda c: store.complete_attempts(
            c, [Completion(*head, 0.0, "w", ME, '"done"')]
        ),
        Transition.FAIL: lambda c: store.fail_attempts(
            c, [Failure(*head, 0.0, "w", ME, "{}", final=False, pause_s=0.0)]
        ),
        Transition.RELEASE: lambda c: store.release_tasks(
            c, [Release(task_id, lease, True, True)], ME
        ),
        Transition.PARK: lambda c: store.park_tasks(c, [Lease(task_id, lease)], ME),
    }


def requests_by_user(task_id: int) -> dict[Transition, Callable[[], object]]:
    """Return the transitions that a user requests."""
    return {
        Transition.CANCEL: lambda: task_actions.cancel(task_id),
        Transition.RETRY: lambda: task_actions.retry(task_id),
        Transition.RESCHEDULE: lambda: task_actions.reschedule(task_id, in_s(0)),
        Transition.REQUEUE: lambda: sync_store.requeue_tasks([task_id], queue="mail", priority=3),
        Transition.RELEASE_PAUSED: policy_changes.release_paused_tasks,
    }


async def claim(connection: Connection) -> None:
    """Claim all pending tasks."""
    pairs = await store.list_due_queues(connection)
    low_marks = [pair.first_at for pair in pairs]
    await store.claim_tasks(
        connection, pairs, low_marks=low_marks, within_s=60, limit=10, coordinator=ME
    )


def apply(transition: Transition, task_id: int, lease: int, attempt: int) -> None:
    """Request a transition; the row shows its effect."""
    asked = requests_by_user(task_id).get(transition)
    if asked is not None:
        with suppress(IllegalTransition):
            asked()
        return

    async def report() -> None:
        async with await psycopg.AsyncConnection.connect(conninfo(), autocommit=True) as connection:
            if transition is Transition.CLAIM:
                await claim(connection)
            elif transition is Transition.RESCUE:
                await store.rescue_orphans(connection, ME, stoppable=True)
            elif transition is Transition.RELEASE_HELD:
                await store.release_held_tasks(connection, ME, only_future=False)
            elif transition is Transition.PARK_DUE:
                found = claimed(task_id=task_id, scheduled_at=in_s(-60))
                for queue, priority in (("default", 0), ("mail", 3)):
                    place = found._replace(queue=queue, priority=priority)
                    await store.park_due_tasks(connection, [place], limit=10)
            elif transition is Transition.UNPARK:
                names = await store.list_waiting_names(connection)
                await store.unpark_tasks(connection, names, limit=10)
            else:
                await requests_by_report(task_id, lease, attempt)[transition](connection)

    asyncio.run(report())


def row(task_id: int) -> tuple[Any, ...]:
    """Return the columns that a transition can change."""
    with psycopg.connect(conninfo()) as connection:
        found = connection.execute(ROW, [task_id]).fetchone()
    assert found is not None
    return found


#: These name no lease: their effect depends only on the status.
UNFENCED = {
    Transition.CLAIM,
    Transition.RESCUE,
    Transition.RELEASE_HELD,
    Transition.PARK_DUE,
    Transition.UNPARK,
    Transition.CANCEL,
    Transition.RETRY,
    Transition.RESCHEDULE,
    Transition.REQUEUE,
}


@pytest.mark.django_db(transaction=True)
@given(history=steps)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_only_legal_transitions_change_a_row(history: list[tuple[Transition, int]]) -> None:
    Task.objects.all().delete()
    [task_id] = stored(max_attempts=2)
    for transition, offset in history:
        before = row(task_id)
        status, lease, attempt = Status(before[0]), before[1], before[2]
        apply(transition, task_id, lease + offset, attempt + 1)
        after = row(task_id)
        legal = LEGAL[status].get(transition, frozenset())
        fenced = transition not in UNFENCED and offset != 0
        if fenced or not legal:
            assert after == before, f"{transition} changed a {status} row"
        elif transition is Transition.REQUEUE:
            assert (Status(after[0]) in legal, after[1], *after[-2:]) == (
                True,
                lease + 1,
                "mail",
                3,
            )
        else:
            assert Status(after[0]) in legal, f"{transition} of {status} led to {after[0]}"
            assert after[1] >= lease
        assert (after[0] == Status.WAITING) == (after[10:12] == ("unknown_name", "shell"))
        if transition is Transition.CLAIM and legal:
            assert after[1] == lease + 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("status", list(Status))
def test_only_tasks_that_have_not_begun_change_queue_or_priority(status: Status) -> None:
    [task_id] = stored()
    parked = {"waiting_reason": "unknown_name", "waiting_for": "shell"}
    reason = parked if status == Status.WAITING else {}
    Task.objects.filter(pk=task_id).update(status=status, **reason)
    before = row(task_id)
    sync_store.requeue_tasks([task_id], queue="mail")
    if status in sources(Transition.REQUEUE):
        assert row(task_id)[-2:] == ("mail", 0)
    else:
        assert row(task_id) == before


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("status", list(Status))
def test_deletes_only_finished_tasks_of_a_bulk(status: Status) -> None:
    [task_id] = stored()
    Task.objects.filter(pk=task_id).update(status=status)
    sync_store.delete_tasks([task_id])
    assert Task.objects.filter(pk=task_id).exists() != status.finished


@pytest.mark.django_db(transaction=True)
def test_a_finished_result_is_never_overwritten() -> None:
    [task_id] = stored()
    apply(Transition.CLAIM, task_id, 0, 0)
    apply(Transition.COMPLETE, task_id, 1, 1)
    first = row(task_id)
    for transition in (Transition.COMPLETE, Transition.FAIL, Transition.START, Transition.RELEASE):
        apply(transition, task_id, 1, 2)
    assert row(task_id) == first
