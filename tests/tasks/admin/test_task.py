"""Test tasks in the admin: view, submit, cancel, retry."""

from __future__ import annotations

import json

import pytest

from taskmaster.tasks import registry
from taskmaster.tasks.models import Task, TaskOutput
from tests.factories import stored
from tests.tasks.admin.pages import LIST, client, page

pytestmark = pytest.mark.django_db

NEW = f"{LIST}add/"


def form(**fields: str) -> dict[str, str]:
    empty = dict.fromkeys(("args", "kwargs", "scheduled_at_0", "scheduled_at_1", "tags"), "")
    limits = {"max_attempts": "", "timeout_s": "", "queue": "", "priority": ""}
    return {**empty, **limits, **fields}


def test_the_list_shows_status_and_command() -> None:
    stored(kwargs='{"command":"seq 3 | sort -r"}')
    shown = page(client("view_task").get(LIST))
    assert "shell: seq 3 | sort -r" in shown
    assert '<span class="mark pending">' in shown


@pytest.mark.parametrize("query", ["?q={id}", "?q=shel", "?q=urgent", "?queue=mail", "?name=shell"])
def test_search_and_filters_find_only_the_task(query: str) -> None:
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


def test_a_submitted_form_stores_a_task_for_its_user() -> None:
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


def test_the_form_shows_the_options_that_the_selected_task_declares(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TASKMASTER_TASK_MODULES", "examples.tasks,tests.tasks.sample_tasks")
    registry.load.cache_clear()
    try:
        browser = client("add_task")
        empty = browser.get(NEW).context["adminform"].form
        selected = browser.post(NEW, form(name="tests.tasks.sample_tasks.careful", args="[]"))
    finally:
        registry.load.cache_clear()
    bound = selected.context["adminform"].form
    shown = {name: bound.fields[name].widget.attrs.get("placeholder") for name in bound.fields}
    assert shown["queue"] == "mail"
    assert (shown["priority"], shown["max_attempts"], shown["timeout_s"]) == ("7", "1", "5")
    assert (shown["retry_base_s"], shown["retry_cap_s"], shown["tags"]) == ("2", "8", "once")
    assert bound.fields["on_lost_contact"].choices[0] == ("", "stop")
    assert empty.fields["queue"].widget.attrs["placeholder"] == ""
    assert not any(empty[name].value() for name in ("queue", "priority", "on_lost_contact"))
    declared = json.loads(empty.fields["name"].widget.attrs["data-declared"])
    assert declared["tests.tasks.sample_tasks.careful"]["queue"] == "mail"
    assert declared["examples.tasks.add"]["timeout_s"] == "3600"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "examples.tasks.add", "args": "[1,"}, "is not valid JSON"),
        ({"name": "examples.tasks.add", "args": '{"a": 1}'}, "must be a list, not an object"),
        ({"name": "examples.tasks.add", "priority": "101"}, "it must be from -100 to 100"),
        ({"name": "examples.tasks.add", "queue": "no spaces"}, "may contain only letters, digits"),
        ({"name": "shell", "kwargs": "{}"}, "kwargs.command"),
        ({"name": "shell", "kwargs": '{"command": "true"}'}, "is not one of the available choices"),
    ],
)
def test_an_invalid_field_is_named_and_nothing_is_stored(
    fields: dict[str, str], message: str
) -> None:
    may_shell = () if "true" in fields.get("kwargs", "") else ("submit_shell",)
    answer = client("add_task", *may_shell).post(NEW, form(**fields))
    assert answer.status_code == 200
    assert message in page(answer)
    assert Task.objects.count() == 0


def test_a_task_can_be_cancelled_and_retried_from_its_page() -> None:
    [task_id] = stored()
    browser = client("view_task", "change_task", "submit_shell")
    assert "Cancel task" in page(browser.get(f"{LIST}{task_id}/change/"))
    browser.post(f"{LIST}{task_id}/cancel/")
    assert Task.objects.get().status == "cancelled"
    refused = browser.post(f"{LIST}{task_id}/cancel/", follow=True)
    assert f"Task {task_id} is cancelled: only tasks that have not ended can be cancelled." in page(
        refused
    )
    assert "Retry task" in page(refused)
    browser.post(f"{LIST}{task_id}/retry/")
    assert Task.objects.get().status == "pending"


def test_retrying_a_shell_task_needs_the_permission_to_submit_one() -> None:
    [task_id] = stored()
    browser = client("view_task", "change_task")
    browser.post(f"{LIST}{task_id}/cancel/")
    refused = browser.post(f"{LIST}{task_id}/retry/", follow=True)
    assert "This needs the permission taskmaster_tasks.submit_shell." in page(refused)
    assert Task.objects.get().status == "cancelled"


def test_actions_need_their_permission_and_a_post() -> None:
    [task_id] = stored()
    looker = client("view_task")
    assert looker.post(f"{LIST}{task_id}/cancel/").status_code == 403
    assert "Cancel task" not in page(looker.get(f"{LIST}{task_id}/change/"))
    assert looker.get(f"{LIST}{task_id}/cancel/").status_code == 405
    assert Task.objects.get().status == "pending"


def test_tasks_cannot_be_edited_or_deleted() -> None:
    [task_id] = stored()
    browser = client("view_task", "change_task", "delete_task")
    assert browser.post(f"{LIST}{task_id}/delete/").status_code == 403
    browser.post(f"{LIST}{task_id}/change/", form(name="shell", priority="9"))
    assert Task.objects.get().priority == 0


def test_a_task_s_page_shows_the_pending_reason() -> None:
    [task_id] = stored()
    assert "No coordinator seems to be running" in page(
        client("view_task").get(f"{LIST}{task_id}/change/")
    )


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_an_impossible_id_is_not_found(verb: str) -> None:
    refused = client("view_task", "change_task").post(f"{LIST}{2**63}/{verb}/", follow=True)
    assert refused.status_code == 200
    assert f"There is no task {2**63}." in page(refused)
