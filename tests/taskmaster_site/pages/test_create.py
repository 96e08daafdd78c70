"""The creation form."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from taskmaster_site.pages.create import kinds
from tasks.models import Task
from tests.taskmaster_site.pages.people import client, press, text

pytestmark = pytest.mark.django_db
ADD = "examples.tasks.add"


@pytest.fixture(autouse=True)
def _no_task() -> None:
    Task.objects.all().delete()


def test_as_many_tasks_as_asked_for_are_created_in_their_queue_and_later() -> None:
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


def test_a_list_is_positional_arguments() -> None:
    press(client("add_task"), "/create/", name=ADD, count="1", arguments="[1, 2]")
    assert Task.objects.get().args == [1, 2]


def test_of_a_shell_task_the_text_is_the_command() -> None:
    browser = client("add_task", "submit_shell")
    press(browser, "/create/", name="shell", count="1", arguments="seq 3 | sort -r")
    assert Task.objects.get().kwargs == {"command": "seq 3 | sort -r"}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"count": "0"}, "must be from 1 to 1,000."),
        ({"count": "1001"}, "must be from 1 to 1,000."),
        ({"count": "many"}, "must be a whole number"),
        ({"delay_s": "-1"}, "must not be negative"),
        ({"delay_s": "nan"}, "must be a number of seconds."),
        ({"queue": "not so"}, "may hold letters, digits"),
        ({"arguments": "{"}, "is no JSON"),
        ({"arguments": "7"}, "must be a list like"),
        ({"arguments": '{"a": "\\u0000"}'}, "holds U+0000"),
        ({"name": "os.system"}, "You may not create os.system"),
        ({"name": "shell", "arguments": "true"}, "You may not create shell"),
        ({"name": "<script>"}, "You may not create &lt;script&gt;"),
    ],
)
def test_what_is_wrong_is_said_in_words_and_creates_nothing(
    wrong: dict[str, str], words: str
) -> None:
    fields = {"name": ADD, "count": "2", "arguments": "[1, 2]", **wrong}
    assert words in text(press(client("add_task"), "/create/", **fields))
    assert not Task.objects.exists()


def test_creating_needs_the_permission() -> None:
    answer = press(client("view_task"), "/create/", name=ADD, count="1")
    assert answer.status_code == 403
    assert "tasks.add_task" in text(answer)


def test_a_kind_brings_what_it_does_and_arguments_to_begin_with() -> None:
    class Nobody:
        def has_perm(self, perm: str) -> bool:
            return False

    found = kinds(Nobody())
    assert "shell" not in found
    assert found["examples.tasks.count_down"]["template"] == '{"seconds": 5}'
    assert found["examples.tasks.checksum"]["what"] == "The SHA-256 and size of a file."
