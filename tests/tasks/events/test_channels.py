"""Parse the channels of a stream, and check the permissions to read them."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, Permission, User

from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.events import channels
from taskmaster.tasks.models import Event

WORKER = "worker-6f1c9c7e-0d3b-4a58-9f0e-3b1f6a1f2c55"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["all"]),
        ("all", ["all"]),
        ("dashboard, dashboard-workers", ["dashboard", "dashboard-workers"]),
        ("task-1,task-1,task-22", ["task-1", "task-22"]),
        ("queue-a.b:c-d_1", ["queue-a.b:c-d_1"]),
        (WORKER, [WORKER]),
        ("schedules,all", ["schedules", "all"]),
    ],
)
def test_known_channels_are_accepted(text: str, names: list[str]) -> None:
    assert channels.parse(text) == names


@pytest.mark.parametrize(
    "text",
    [
        "nothing",
        "task-",
        "task-0",
        "task-1x",
        "task-9223372036854775808",
        "task-99999999999999999999",
        "queue-",
        "queue-a b",
        "queue-" + "x" * 65,
        "worker-1",
        "worker-{6f1c9c7e-0d3b-4a58-9f0e-3b1f6a1f2c55}",
        "all,,task-1",
        "task-1\x00",
        "<script>",
        ",".join(f"task-{n}" for n in range(1, 12)),
    ],
)
def test_unknown_channels_are_refused(text: str) -> None:
    with pytest.raises(InvalidField, match=r"channels.*must be all, dashboard"):
        channels.parse(text)


def test_an_event_is_sent_on_the_channels_of_its_task_queue_and_worker() -> None:
    event = Event(task_id=5, queue="mail", worker_id=WORKER.removeprefix("worker-"))
    assert channels.for_event(event) == ["all", "task-5", "queue-mail", WORKER]
    assert channels.for_event(Event(queue="")) == ["all"]
    assert channels.for_event(Event(kind="schedule", queue="")) == ["all", "schedules"]


def test_the_events_of_schedules_need_only_the_permission_to_view_schedules() -> None:
    assert channels.permissions("schedules") == ("taskmaster_tasks.view_schedule",)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("permissions", "readable"),
    [
        ([], []),
        (["view_task"], ["all", "task-1", "queue-mail", "dashboard"]),
        (["view_worker"], ["workers"]),
        (["view_coordinator"], []),
        (
            ["view_task", "view_coordinator"],
            ["all", "task-1", "queue-mail", "dashboard", "coordinators"],
        ),
        (
            ["view_task", "view_worker"],
            ["all", "task-1", "queue-mail", "dashboard", WORKER, "dashboard-workers", "workers"],
        ),
    ],
)
def test_reading_a_channel_needs_its_permissions(
    permissions: list[str], readable: list[str]
) -> None:
    user = User.objects.create_user("eve")
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    every = [
        "all", "task-1", "queue-mail", "dashboard", WORKER, "dashboard-workers", "coordinators",
        "workers",
    ]  # fmt: skip
    assert [name for name in every if user.has_perms(channels.permissions(name))] == readable
    assert not any(AnonymousUser().has_perms(channels.permissions(name)) for name in every)
