"""Tasks in the admin: seen, submitted, cancelled, retried."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from tasks.models import Task, TaskOutput
from tests.tasks.sample import stored

pytestmark = pytest.mark.django_db

LIST = "/admin/tasks/task/"
NEW = f"{LIST}add/"


def client(*permissions: str) -> Client:
    user = User.objects.create_user("operator", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    browser = Client()
    browser.force_login(user)
    return browser


def form(**fields: str) -> dict[str, str]:
    empty = dict.fromkeys(("args", "kwargs", "scheduled_at_0", "scheduled_at_1", "tags"), "")
    limits = {"max_attempts": "", "timeout_s": "", "queue": "default", "priority": "0"}
    return {**empty, **limits, **fields}


def page(answer: Any) -> str:
    return str(answer.content.decode())


def test_the_list_shows_status_and_command() -> None:
    stored(kwargs='{"command":"seq 3 | sort -r"}')
    shown = page(client("view_task").get(LIST))
    assert "shell: seq 3 | sort -r" in shown
    assert '<span class="mark pending">' in shown


@pytest.mark.parametrize("query", ["?q={id}", "?q=shel", "?q=urgent", "?queue=mail", "?name=shell"])
def test_search_and_filters_find_the_task_and_no_other(query: str) -> None:
    [task_id] = stored(queue="mail", tags=("urgent",))
    stored(name="examples.tasks.add", kwargs="{}")
    shown = client("view_task").get(LIST + query.format(id=task_id))
    assert [task.pk for task in shown.context["cl"].result_list] == [task_id]


def test_a_task_s_page_shows_arguments_errors_and_output_as_text() -> None:
    [task_id] = stored(kwargs='{"command":"echo <b>"}')
    error = {"attempt": 1, "worker": "w", "at": "now", "class": "raised", "traceback": "<i>Oh"}
    Task.objects.filter(pk=task_id).update(errors=[error])
    TaskOutput.objects.create(
        task_id=task_id, lease=1, attempt=1, seq=0, stream="stdout", text="<script>x"
    )
    shown = page(client("view_task").get(f"{LIST}{task_id}/change/"))
    assert "echo &lt;b&gt;" in shown
    assert "&lt;i&gt;Oh" in shown
    assert "&lt;script&gt;x" in shown
    assert "<script>x" not in shown


def test_a_submitted_form_stores_a_task_of_its_user() -> None:
    browser = client("add_task", "view_task", "submit_shell")
    fields = form(name="shell", kwargs='{"command": "true"}', tags="a, b", priority="7")
    assert browser.post(NEW, fields).status_code == 302
    task = Task.objects.select_related("created_by").get()
    assert (task.name, task.kwargs, task.tags, task.priority) == (
        "shell",
        {"command": "true"},
        ["a", "b"],
        7,
    )
    assert task.created_by is not None
    assert task.created_by.get_username() == "operator"
    assert task.status == "pending"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "examples.tasks.add", "args": "[1,"}, "is no JSON"),
        ({"name": "examples.tasks.add", "args": '{"a": 1}'}, "must be a list, not an object"),
        ({"name": "examples.tasks.add", "priority": "101"}, "it must be from -100 to 100"),
        ({"name": "examples.tasks.add", "queue": "no spaces"}, "may hold letters, digits"),
        ({"name": "shell", "kwargs": "{}"}, "kwargs.command"),
        ({"name": "shell", "kwargs": '{"command": "true"}'}, "is not one of the available choices"),
        (
            {"name": "examples.tasks.add", "scheduled_at_0": "2001-01-01", "scheduled_at_1": "0:0"},
            "lies in the past",
        ),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_stored(fields: dict[str, str], said: str) -> None:
    may_shell = () if "true" in fields.get("kwargs", "") else ("submit_shell",)
    answer = client("add_task", *may_shell).post(NEW, form(**fields))
    assert answer.status_code == 200
    assert said in page(answer)
    assert Task.objects.count() == 0


def test_a_task_is_cancelled_and_retried_from_its_page() -> None:
    [task_id] = stored()
    browser = client("view_task", "change_task", "submit_shell")
    assert "Cancel task" in page(browser.get(f"{LIST}{task_id}/change/"))
    browser.post(f"{LIST}{task_id}/cancel/")
    assert Task.objects.get().status == "cancelled"
    refused = browser.post(f"{LIST}{task_id}/cancel/", follow=True)
    assert f"Task {task_id} is cancelled: it cannot be cancelled any more." in page(refused)
    assert "Retry task" in page(refused)
    browser.post(f"{LIST}{task_id}/retry/")
    assert Task.objects.get().status == "pending"


def test_retrying_a_shell_task_needs_the_right_to_submit_one() -> None:
    [task_id] = stored()
    browser = client("view_task", "change_task")
    browser.post(f"{LIST}{task_id}/cancel/")
    refused = browser.post(f"{LIST}{task_id}/retry/", follow=True)
    assert "This needs the permission tasks.submit_shell." in page(refused)
    assert Task.objects.get().status == "cancelled"


def test_steering_needs_its_permission_and_a_post() -> None:
    [task_id] = stored()
    looker = client("view_task")
    assert looker.post(f"{LIST}{task_id}/cancel/").status_code == 403
    assert "Cancel task" not in page(looker.get(f"{LIST}{task_id}/change/"))
    assert looker.get(f"{LIST}{task_id}/cancel/").status_code == 405
    assert Task.objects.get().status == "pending"


def test_nobody_edits_or_deletes_a_task() -> None:
    [task_id] = stored()
    browser = client("view_task", "change_task", "delete_task")
    assert browser.post(f"{LIST}{task_id}/delete/").status_code == 403
    browser.post(f"{LIST}{task_id}/change/", form(name="shell", priority="9"))
    assert Task.objects.get().priority == 0


def test_a_task_s_page_says_why_it_is_not_running() -> None:
    [task_id] = stored()
    assert "No coordinator seems to run" in page(
        client("view_task").get(f"{LIST}{task_id}/change/")
    )


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_an_id_that_no_task_can_have_is_said_to_be_none(verb: str) -> None:
    refused = client("view_task", "change_task").post(f"{LIST}{2**63}/{verb}/", follow=True)
    assert refused.status_code == 200
    assert f"There is no task {2**63}." in page(refused)
