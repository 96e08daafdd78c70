"""Many tasks at once from the admin."""

from __future__ import annotations

import pytest

from tasks.models import Task
from tests.tasks.admin.test_task import LIST, client, page

pytestmark = pytest.mark.django_db

MANY = f"{LIST}create-many/"
SHELL = {"name": "shell", "count": "3", "arguments": "true", "queue": "", "delay_s": ""}


def test_the_list_leads_to_it_for_who_may() -> None:
    assert MANY in page(client("view_task", "add_task").get(LIST))


def test_who_may_not_submit_is_not_led_there() -> None:
    browser = client("view_task", "change_task")
    assert MANY not in page(browser.get(LIST))
    assert browser.get(MANY).status_code == 403
    assert browser.post(MANY, SHELL).status_code == 403
    assert not Task.objects.exists()


def test_a_right_form_stores_so_many_tasks_of_its_user() -> None:
    browser = client("view_task", "add_task", "submit_shell")
    assert "shell" in page(browser.get(MANY))
    fields = {**SHELL, "queue": "mail", "delay_s": "3600"}
    answer = browser.post(MANY, fields, follow=True)
    assert "Created 3 tasks, " in page(answer)
    tasks = list(Task.objects.select_related("created_by"))
    assert len(tasks) == 3
    for task in tasks:
        assert (task.queue, task.kwargs, task.status) == ("mail", {"command": "true"}, "pending")
        assert task.created_by is not None
        assert task.created_by.get_username() == "operator"
        assert (task.scheduled_at - task.created_at).total_seconds() == pytest.approx(3600, abs=5)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"count": "0"}, "must be from 1 to 1,000"),
        ({"count": "1001"}, "must be from 1 to 1,000"),
        ({"count": "many"}, "must be a whole number"),
        ({"name": ""}, "Choose a task."),
        ({"name": "gone.task"}, "You may not create gone.task"),
        ({"queue": "no spaces"}, "may hold letters, digits"),
        ({"delay_s": "-1"}, "must not be negative"),
        ({"arguments": ""}, "kwargs.command"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_stored(
    fields: dict[str, str], said: str
) -> None:
    answer = client("add_task", "submit_shell").post(MANY, {**SHELL, **fields})
    assert answer.status_code == 200
    assert said in page(answer)
    assert not Task.objects.exists()


def test_shell_needs_its_permission() -> None:
    browser = client("add_task")
    assert '<option value="shell">' not in page(browser.get(MANY))
    assert "You may not create shell" in page(browser.post(MANY, SHELL))
    assert not Task.objects.exists()
