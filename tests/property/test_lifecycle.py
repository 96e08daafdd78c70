"""Whatever happens in whatever order: only legal transitions change a row, and leases only grow."""

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

from coordinator.database import conninfo
from tasks import operations, store
from tasks.errors import IllegalTransition
from tasks.lifecycle import LEGAL, Status, Transition, sources
from tasks.models import Task
from tasks.reports import Completion, Failure, Release, Start
from tasks.statements import statement
from tasks.store import Connection
from tests.tasks.sample import in_s, stored

ME = UUID(int=1)
ROW = (
    "SELECT status, lease, attempt, result, errors, started_at, completed_at, failed_at, "
    "cancelled_at, scheduled_at, queue, priority FROM tasks_task WHERE id = %s"
)

steps = st.lists(
    st.tuples(
        st.sampled_from(list(Transition)),
        # Which lease a report carries: the live one, or one from before.
        st.sampled_from([0, 0, 0, -1, -2, 5]),
    ),
    max_size=14,
)


def reporting(
    task_id: int, lease: int, attempt: int
) -> dict[Transition, Callable[[Connection], Awaitable[Any]]]:
    """The transitions that a report with a lease asks for."""
    head = (task_id, lease, attempt, 0.1)
    return {
        Transition.START: lambda c: store.start(c, [Start(*head, "w", ME)]),
        Transition.COMPLETE: lambda c: store.complete(
            c, [Completion(*head, 0.0, "w", ME, '"done"')]
        ),
        Transition.FAIL: lambda c: store.fail(
            c, [Failure(*head, 0.0, "w", ME, "{}", final=False, pause_s=0.0)]
        ),
        Transition.RELEASE: lambda c: store.release(c, [Release(task_id, lease, True)], ME),
    }


def asking(task_id: int) -> dict[Transition, Callable[[], None]]:
    """The transitions that a person asks for."""
    return {
        Transition.CANCEL: lambda: operations.cancel(task_id),
        Transition.RETRY: lambda: operations.retry(task_id),
        Transition.MOVE: lambda: operations.move(task_id, in_s(0)),
        Transition.REQUEUE: lambda: execute(
            "requeue", {"ids": [task_id], "queue": "mail", "priority": 3}
        ),
    }


def execute(name: str, parameters: dict[str, Any]) -> None:
    """Runs a statement that many tasks share."""
    with psycopg.connect(conninfo(), autocommit=True) as connection:
        connection.execute(statement(name), parameters)


async def claim(connection: Connection) -> None:
    """Claims whatever is pending."""
    pairs = await store.scan(connection)
    sinces = [pair.first_at for pair in pairs]
    await store.claim(connection, pairs, sinces=sinces, within_s=60, room=10, coordinator=ME)


def apply(transition: Transition, task_id: int, lease: int, attempt: int) -> None:
    """Asks for a transition; what it does is seen in the row."""
    asked = asking(task_id).get(transition)
    if asked is not None:
        with suppress(IllegalTransition):
            asked()
        return

    async def report() -> None:
        async with await psycopg.AsyncConnection.connect(conninfo(), autocommit=True) as connection:
            if transition is Transition.CLAIM:
                await claim(connection)
            elif transition is Transition.RESCUE:
                await store.rescue(connection, ME, stoppable=True)
            elif transition is Transition.RELEASE_HELD:
                await store.release_held(connection, ME, future=False)
            else:
                await reporting(task_id, lease, attempt)[transition](connection)

    asyncio.run(report())


def row(task_id: int) -> tuple[Any, ...]:
    """What a transition may change."""
    with psycopg.connect(conninfo()) as connection:
        found = connection.execute(ROW, [task_id]).fetchone()
    assert found is not None
    return found


#: These name no lease: what they do depends on the status alone.
UNFENCED = {
    Transition.CLAIM,
    Transition.RESCUE,
    Transition.RELEASE_HELD,
    Transition.CANCEL,
    Transition.RETRY,
    Transition.MOVE,
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
        if transition is Transition.CLAIM and legal:
            assert after[1] == lease + 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("status", list(Status))
def test_only_what_has_not_begun_changes_its_place(status: Status) -> None:
    [task_id] = stored()
    Task.objects.filter(pk=task_id).update(status=status)
    before = row(task_id)
    execute("requeue", {"ids": [task_id], "queue": "mail", "priority": None})
    if status in sources(Transition.REQUEUE):
        assert row(task_id)[-2:] == ("mail", 0)
    else:
        assert row(task_id) == before


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("status", list(Status))
def test_of_many_tasks_only_finished_ones_are_deleted(status: Status) -> None:
    [task_id] = stored()
    Task.objects.filter(pk=task_id).update(status=status)
    execute("delete", {"ids": [task_id]})
    assert Task.objects.filter(pk=task_id).exists() != status.finished


@pytest.mark.django_db(transaction=True)
def test_a_finished_result_is_never_written_again() -> None:
    [task_id] = stored()
    apply(Transition.CLAIM, task_id, 0, 0)
    apply(Transition.COMPLETE, task_id, 1, 1)
    first = row(task_id)
    for transition in (Transition.COMPLETE, Transition.FAIL, Transition.START, Transition.RELEASE):
        apply(transition, task_id, 1, 2)
    assert row(task_id) == first
