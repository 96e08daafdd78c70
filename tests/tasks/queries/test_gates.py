"""Test what a pending task has passed and what holds it."""

from __future__ import annotations

from uuid import uuid4

import pytest

from taskmaster.tasks.models import KnownNames, QueueState, Task
from taskmaster.tasks.policies import pausing
from taskmaster.tasks.queries.gates import gates
from tests.factories import in_s, stored

pytestmark = pytest.mark.django_db


def kinds(**fields: object) -> list[str]:
    [task] = stored(**fields)
    return [gate.kind for gate in gates(Task.objects.get(pk=task))]


def shown(task: int) -> list[tuple[str, str]]:
    """Return name and fact of each gate."""
    return [(gate.name, gate.fact) for gate in gates(Task.objects.get(pk=task))]


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
    pausing.pause("queue", "paused", "", user=None)
    assert kinds(queue="paused") == ["pending"] + ["later"] * 5
    assert kinds(scheduled_at=in_s(60)) == ["complete", "pending"] + ["later"] * 4
    assert kinds() == ["complete"] * 2 + ["pending"] + ["later"] * 3
    serve("mail", workers=0, slots=0, free=0)
    assert kinds(queue="mail") == ["complete"] * 3 + ["pending"] + ["later"] * 2
    serve("mail", workers=2, slots=8, free=0, names=["other.name"])
    assert kinds(queue="mail") == ["complete"] * 4 + ["pending", "later"]
    serve("mail", workers=2, slots=8, free=0)
    assert kinds(queue="mail") == ["complete"] * 5 + ["pending"]
    KnownNames.objects.filter(names__isnull=False).delete()
    serve("mail", workers=1, slots=4, free=1)
    assert kinds(queue="mail") == ["complete"] * 6


def test_a_parked_task_is_held_by_its_name() -> None:
    serve("mail", workers=1, slots=4, free=4, names=["other.name"])
    [task] = stored(queue="mail")
    Task.objects.filter(pk=task).update(status="waiting", waiting_reason="unknown_name")
    held = [gate.kind for gate in gates(Task.objects.get(pk=task))]
    assert held == ["complete"] * 4 + ["pending", "later"]


def test_each_gate_states_what_is_known() -> None:
    serve("mail", workers=1, slots=4, free=1)
    [task] = stored(queue="mail")
    paused, due, *others = shown(task)
    assert paused == ("Nothing is paused", "neither the queue mail nor its name")
    assert due[0] == "It is due"
    assert others == [
        ("Coordinators run", "1 reported in the last 15 s"),
        ("Workers serve its queue", "1 worker for the queue mail"),
        ("A worker knows its name", "shell"),
        ("A slot is free", "1 of 4 slots free"),
    ]


def test_a_gate_that_is_not_passed_does_not_read_as_passed() -> None:
    [task] = stored(queue="mail")
    assert shown(task)[2] == ("No coordinator runs", "none reported in the last 15 s")
    serve("mail", workers=0, slots=0, free=0)
    assert shown(task)[3] == ("No worker serves its queue", "0 workers for the queue mail")
    serve("mail", workers=2, slots=8, free=0, names=["other.name"])
    assert shown(task)[4] == ("No worker knows its name", "none that serves mail knows shell")
    KnownNames.objects.update(names=["shell"])
    assert shown(task)[5] == ("No slot is free", "0 of 8 slots free")


def test_gates_after_the_one_that_holds_the_task_are_not_checked() -> None:
    serve("mail", workers=1, slots=4, free=1)
    [task] = stored(queue="mail", scheduled_at=in_s(3_600))
    _, due, *later = shown(task)
    assert (due[0], due[1][:3]) == ("Due time", "in ")
    assert later == [
        ("A running coordinator", "not checked"),
        ("A worker for its queue", "not checked"),
        ("A worker for its name", "not checked"),
        ("A free slot", "not checked"),
    ]


def test_free_slots_do_not_count_if_some_workers_do_not_know_the_name() -> None:
    serve("mail", workers=1, slots=1, free=0, names=["shell"])
    serve("mail", workers=1, slots=8, free=8, names=["other.name"])
    [task] = stored(queue="mail")
    assert kinds(queue="mail") == ["complete"] * 5 + ["pending"]
    assert shown(task)[5] == ("A free slot", "of a worker that knows shell")


def test_a_task_that_is_not_pending_has_no_gates() -> None:
    [task] = stored()
    Task.objects.filter(pk=task).update(status="failed")
    assert gates(Task.objects.get(pk=task)) == []
