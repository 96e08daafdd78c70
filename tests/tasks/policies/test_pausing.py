"""Test pausing and resuming queues, task names and everything."""

from __future__ import annotations

import threading
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from taskmaster.tasks.errors import Conflict, InvalidField, NotAllowed, PauseNotFound
from taskmaster.tasks.events.publish import drain
from taskmaster.tasks.models import Event, Pause, Task
from taskmaster.tasks.permissions import PAUSE_QUEUE, VIEW
from taskmaster.tasks.policies import pausing
from tests.factories import locked, stored, user_with

ONE = UUID(int=1)


def picked(status: str = "picked", **fields: Any) -> int:
    """Store a task in flight."""
    [task_id] = stored(**fields)
    Task.objects.filter(pk=task_id).update(
        status=status, lease=3, attempt=1, coordinator=ONE, unused_leases=1
    )
    return task_id


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "target", "returned"),
    [
        ("queue", "mail", {"mail", "mail of another name"}),
        ("name", "shell", {"mail", "default"}),
        ("everything", "", {"mail", "mail of another name", "default"}),
    ],
)
def test_picked_tasks_are_pending_again_and_started_ones_continue(
    kind: str, target: str, returned: set[str]
) -> None:
    ids = {
        "mail": picked(queue="mail"),
        "mail of another name": picked(queue="mail", name="any.name"),
        "default": picked(),
    }
    started = picked("started", queue="mail")
    pausing.pause(kind, target, "", user=None)
    pending = {name for name, pk in ids.items() if Task.objects.get(pk=pk).status == "pending"}
    assert pending == returned
    row = Task.objects.get(pk=ids["mail"])
    assert (row.lease, row.attempt, row.unused_leases) == (3, 1, 1)
    assert (row.coordinator, row.picked_at) == (None, None)
    assert Task.objects.get(pk=started).status == "started"


@pytest.mark.django_db(transaction=True)
def test_a_task_that_is_being_started_is_not_waited_for() -> None:
    one, other = picked(queue="mail"), picked(queue="mail")
    with locked(one):
        pausing.pause("queue", "mail", "", user=None)
    assert Task.objects.get(pk=one).status == "picked"
    assert Task.objects.get(pk=other).status == "pending"


@pytest.mark.django_db(transaction=True)
def test_a_pause_has_a_user_and_a_reason_and_both_changes_are_events() -> None:
    user = user_with(VIEW, PAUSE_QUEUE)
    task_id = picked(queue="mail")
    made = pausing.pause("queue", "mail", " the server moves ", user=user)
    assert (made.paused_by, made.reason) == (user.username, "the server moves")
    pausing.resume("queue", "mail", user=user)
    assert not Pause.objects.exists()
    assert drain()
    events = Event.objects.filter(kind="operator").order_by("pk")
    assert list(events.values_list("text", "queue", "user")) == [
        ("paused the queue mail: the server moves", "mail", user.username),
        ("resumed the queue mail", "mail", user.username),
    ]
    [released] = Event.objects.filter(kind="released")
    assert released.task_id == task_id
    assert released.text == "returned to the queue: the queue mail is paused"


@pytest.mark.django_db
def test_a_second_pause_and_a_second_resume_are_conflicts_that_change_nothing() -> None:
    pausing.pause("everything", "", "power cut", user=None)
    with pytest.raises(Conflict, match=r"^Everything is paused since .* UTC: power cut Resume it"):
        pausing.pause("everything", None, "again", user=None)
    # Another kind with the same target is another pause.
    pausing.pause("queue", "shell", "", user=None)
    made = pausing.pause("name", "shell", "", user=None)
    pausing.resume("name", "shell", user=None)
    with pytest.raises(Conflict, match="The task name shell is not paused"):
        pausing.resume("name", "shell", user=None)
    with pytest.raises(PauseNotFound):
        pausing.resume_by_id(str(made.pk), user=None)
    left = Pause.objects.values_list("kind", "target", "reason")
    assert set(left) == {("everything", "", "power cut"), ("queue", "shell", "")}


@pytest.mark.django_db(transaction=True)
def test_of_two_concurrent_pauses_one_is_a_conflict() -> None:
    barrier, outcomes = threading.Barrier(2), []

    def pause() -> None:
        barrier.wait()
        try:
            outcomes.append(pausing.pause("queue", "mail", "", user=None).target)
        except Conflict:
            outcomes.append("conflict")
        finally:
            connection.close()

    threads = [threading.Thread(target=pause) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["conflict", "mail"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "target", "reason", "field", "rule"),
    [
        ("queues", "mail", "", "kind", "is 'queues'; it must be everything, queue or name."),
        (None, "mail", "", "kind", "is None; it must be"),
        ([], "mail", "", "kind", "it must be"),
        ("queue", "a b", "", "target", "it may contain only letters"),
        ("queue", None, "", "target", "must be a string, not null."),
        ("queue", "q" * 65, "", "target", "has 65 characters; the limit is 64."),
        ("name", "shop.tasks.gone", "", "target", "is not a registered task"),
        ("name", "", "", "target", "must not be empty."),
        ("everything", "mail", "", "target", "must be empty if everything is paused."),
        ("queue", "mail", "r" * 301, "reason", "has 301 characters; the limit is 300."),
        ("queue", "mail", 7, "reason", "must be a string, not a number."),
    ],
)
def test_an_invalid_pause_names_the_field_and_the_rule(
    kind: Any, target: Any, reason: Any, field: str, rule: str
) -> None:
    task_id = picked(queue="mail")
    with pytest.raises(InvalidField) as caught:
        pausing.pause(kind, target, reason, user=None)
    assert caught.value.field == field
    assert rule in caught.value.rule
    assert not Pause.objects.exists()
    assert Task.objects.get(pk=task_id).status == "picked"


@pytest.mark.django_db
@pytest.mark.parametrize("permissions", [(), (VIEW,), (PAUSE_QUEUE,)])
def test_a_user_needs_both_permissions(permissions: tuple[str, ...]) -> None:
    user = user_with(*permissions)
    made = pausing.pause("queue", "mail", "", user=None)
    for change in (
        lambda: pausing.pause("queue", "other", "", user=user),
        lambda: pausing.resume("queue", "mail", user=user),
        # The answer does not show what is paused.
        lambda: pausing.pause("queue", "mail", "", user=user),
        lambda: pausing.resume_by_id(str(made.pk), user=user),
        lambda: pausing.resume_by_id("1", user=user),
    ):
        with pytest.raises(NotAllowed):
            change()
    assert Pause.objects.count() == 1
