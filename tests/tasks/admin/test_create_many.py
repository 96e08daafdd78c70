"""Test the creation of many tasks in the admin."""

from __future__ import annotations

import pytest

from taskmaster.tasks.models import Task
from tests.tasks.admin.pages import LIST, client, page

pytestmark = pytest.mark.django_db

MANY = f"{LIST}create-many/"
SHELL = {"name": "shell", "count": "3", "arguments": "true", "queue": "", "delay_s": ""}


def test_the_list_links_to_the_form_with_permission() -> None:
    assert MANY in page(client("view_task", "add_task").get(LIST))


def test_the_list_has_no_link_to_the_form_without_permission() -> None:
    browser = client("view_task", "change_task")
    assert MANY not in page(browser.get(LIST))
    assert browser.get(MANY).status_code == 403
    assert browser.post(MANY, SHELL).status_code == 403
    assert not Task.objects.exists()


def test_a_valid_form_stores_the_number_of_tasks_for_its_user() -> None:
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


def test_the_empty_form_shows_the_queue_of_the_first_task() -> None:
    form = client("add_task", "submit_shell").get(MANY).context["form"]
    assert form["name"].value() == form.fields["name"].choices[0][0]
    assert form.fields["queue"].widget.attrs["placeholder"] == "default"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"count": "0"}, "must be from 1 to 1,000"),
        ({"count": "1001"}, "must be from 1 to 1,000"),
        ({"count": "many"}, "must be a whole number"),
        ({"name": ""}, "Choose a task."),
        ({"name": "gone.task"}, "gone.task is not a registered task"),
        ({"queue": "no spaces"}, "may contain only letters, digits"),
        ({"delay_s": "-1"}, "must not be negative"),
        ({"arguments": ""}, "arguments: must be a script"),
    ],
)
def test_errors_appear_at_their_fields_and_nothing_is_stored(
    fields: dict[str, str], message: str
) -> None:
    answer = client("add_task", "submit_shell").post(MANY, {**SHELL, **fields})
    assert answer.status_code == 200
    assert message in page(answer)
    assert not Task.objects.exists()


def test_shell_needs_its_permission() -> None:
    browser = client("add_task")
    assert '<option value="shell">' not in page(browser.get(MANY))
    assert "shell is not a registered task" in page(browser.post(MANY, SHELL))
    assert not Task.objects.exists()
