"""Test the form that creates tasks."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from taskmaster.taskmaster_site.pages.create import creatable_tasks
from taskmaster.tasks.models import Task
from tests.taskmaster_site.pages.people import client, press, text

pytestmark = pytest.mark.django_db
ADD = "examples.tasks.add"


@pytest.fixture(autouse=True)
def _no_task() -> None:
    Task.objects.all().delete()


def test_creates_the_number_of_tasks_with_queue_and_time() -> None:
    answer = press(
        client("add_task"), "/create/",
        name=ADD, count="3", delay_s="60", queue="mail", arguments='{"a": 1, "b": 2}',
    )  # fmt: skip
    assert "Created 3 tasks" in text(answer)
    tasks = list(Task.objects.all())
    assert [(task.name, task.queue, task.kwargs) for task in tasks] == 3 * [
        (ADD, "mail", {"a": 1, "b": 2})
    ]
    late = timezone.now() + timedelta(seconds=60)
    assert all(abs((task.scheduled_at - late).total_seconds()) < 5 for task in tasks)


def test_a_list_is_passed_as_positional_arguments() -> None:
    press(client("add_task"), "/create/", name=ADD, count="1", arguments="[1, 2]")
    assert Task.objects.get().args == [1, 2]


def test_the_text_of_a_shell_task_is_its_command() -> None:
    browser = client("add_task", "submit_shell")
    press(browser, "/create/", name="shell", count="1", arguments="seq 3 | sort -r")
    assert Task.objects.get().kwargs == {"command": "seq 3 | sort -r"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"count": "0"}, "must be from 1 to 1,000."),
        ({"count": "1001"}, "must be from 1 to 1,000."),
        ({"count": "many"}, "must be a whole number"),
        ({"delay_s": "-1"}, "must not be negative"),
        ({"delay_s": "nan"}, "must be a number of seconds."),
        ({"queue": "not so"}, "may contain only letters, digits"),
        ({"arguments": "{"}, "is not valid JSON"),
        ({"arguments": "7"}, "must be a list such as"),
        ({"arguments": '{"a": 1}'}, "arguments: missing argument &#x27;b&#x27;"),
        ({"arguments": '{"a": "\\u0000"}'}, "contains U+0000"),
        ({"name": "os.system"}, "os.system is not a registered task"),
        ({"name": "shell", "arguments": "true"}, "shell is not a registered task"),
        ({"name": "<script>"}, "&lt;script&gt; is not a registered task"),
    ],
)
def test_invalid_input_is_explained_and_creates_nothing(
    wrong: dict[str, str], message: str
) -> None:
    fields = {"name": ADD, "count": "2", "arguments": "[1, 2]", **wrong}
    assert message in text(press(client("add_task"), "/create/", **fields))
    assert not Task.objects.exists()


def test_creating_needs_the_permission() -> None:
    answer = press(client("view_task"), "/create/", name=ADD, count="1")
    assert answer.status_code == 403
    assert "taskmaster_tasks.add_task" in text(answer)


def test_a_task_name_has_a_description_and_example_arguments() -> None:
    class NoPermissions:
        def has_perm(self, perm: str) -> bool:
            return False

    found = creatable_tasks(NoPermissions())
    assert "shell" not in found
    assert found["examples.tasks.count_down"]["template"] == '{"seconds": 5}'
    assert found["examples.tasks.checksum"]["what"] == "Return the SHA-256 and size of a file."
