"""Test what a pending task has passed and what holds it."""

from __future__ import annotations

from uuid import uuid4

import pytest

from taskmaster.tasks.models import KnownNames, QueueState, Task
from taskmaster.tasks.queries.gates import gates
from tests.factories import in_s, stored

pytestmark = pytest.mark.django_db


def kinds(**fields: object) -> list[str]:
    [task] = stored(**fields)
    return [gate.kind for gate in gates(Task.objects.get(pk=task))]


def serve(
    queue: str, *, workers: int, slots: int, free: int, names: list[str] | None = None
) -> None:
    """Store what a coordinator knows of its workers. Without `names` they announced none."""
    coordinator = uuid4()
    if workers:
        KnownNames.objects.create(coordinator=coordinator, queues=[queue], names=names)
    for name in ("", queue):
        QueueState.objects.create(
            coordinator=coordinator, queue=name, workers=workers, slots=slots, free=free
        )


def test_the_first_gate_that_is_not_passed_holds_the_task() -> None:
    assert kinds(scheduled_at=in_s(60)) == ["pending"] + ["later"] * 4
    assert kinds() == ["complete", "pending"] + ["later"] * 3
    serve("mail", workers=0, slots=0, free=0)
    assert kinds(queue="mail") == ["complete"] * 2 + ["pending"] + ["later"] * 2
    serve("mail", workers=2, slots=8, free=0, names=["other.name"])
    assert kinds(queue="mail") == ["complete"] * 3 + ["pending", "later"]
    serve("mail", workers=2, slots=8, free=0)
    assert kinds(queue="mail") == ["complete"] * 4 + ["pending"]
    serve("mail", workers=1, slots=4, free=1)
    assert kinds(queue="mail") == ["complete"] * 5


def test_a_parked_task_is_held_by_its_name() -> None:
    serve("mail", workers=1, slots=4, free=4, names=["other.name"])
    [task] = stored(queue="mail")
    Task.objects.filter(pk=task).update(status="waiting", waiting_reason="unknown_name")
    held = [gate.kind for gate in gates(Task.objects.get(pk=task))]
    assert held == ["complete"] * 3 + ["pending", "later"]


def test_each_gate_states_what_is_known() -> None:
    serve("mail", workers=1, slots=4, free=1)
    [task] = stored(queue="mail", scheduled_at=in_s(3_600))
    due, coordinators, workers, name, slots = gates(Task.objects.get(pk=task))
    assert (due.name, due.fact[:7]) == ("Due time", "in 59 m") or due.fact == "in 1 h"
    assert coordinators.fact == "1 reported in the last 15 s"
    assert workers.fact == "1 worker for the queue mail"
    assert (name.name, name.fact) == ("A worker knows its name", "shell")
    assert slots.fact == "1 of 4 slots free"


def test_a_task_that_is_not_pending_has_no_gates() -> None:
    [task] = stored()
    Task.objects.filter(pk=task).update(status="failed")
    assert gates(Task.objects.get(pk=task)) == []
