"""Test a task's page and its buttons."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client

from taskmaster.tasks.models import Task
from tests.factories import in_s, stored
from tests.taskmaster_site.pages.people import client, press, text

pytestmark = pytest.mark.django_db


def test_the_page_shows_command_reason_and_arguments() -> None:
    [task] = stored(1, kwargs='{"command":"sleep 1 && echo <b>"}', tags=["nightly"])
    page = text(client("view_task").get(f"/tasks/{task}/"))
    assert "sleep 1 &amp;&amp; echo &lt;b&gt;" in page
    assert "nightly" in page
    assert '<p class="reason">' in page
    assert f'data-stream="/api/tasks/{task}/events/"' in page
    assert f'data-socket="/ws/tasks/{task}/console/"' in page


def test_a_failed_attempt_is_shown_with_its_traceback_as_text() -> None:
    [task] = stored(1)
    entry = {
        "attempt": 1, "worker": "heron", "at": "2026-01-01T00:00:00+00:00", "class": "raised",
        "exception": "builtins.ValueError", "traceback": "Traceback …\nValueError: <script>",
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("UPDATE taskmaster_tasks_task SET attempt = 1 WHERE id = %s", [task])
    Task.objects.filter(pk=task).update(errors=[entry])
    page = text(client("view_task").get(f"/tasks/{task}/"))
    assert "raised (builtins.ValueError)" in page
    assert "ValueError: &lt;script&gt;" in page


def test_a_script_gets_only_the_changing_part() -> None:
    [task] = stored(1)
    page = text(client("view_task").get(f"/tasks/{task}/", headers={"HX-Request": "true"}))
    assert "task-head" in page
    assert "<html" not in page


@pytest.mark.parametrize("task_id", [987_654_321, 10**30])
def test_an_unknown_task_is_a_404(task_id: int) -> None:
    answer = client("view_task").get(f"/tasks/{task_id}/")
    assert answer.status_code == 404
    assert "Page not found" in text(answer)


def test_an_anonymous_visitor_returns_to_the_page_after_the_login() -> None:
    answer = Client().get("/tasks/7/")
    assert answer.headers["Location"] == "/login/?next=/tasks/7/"


def test_undoing_a_cancellation_restores_the_scheduled_time() -> None:
    when = in_s(3_600)
    [task] = stored(1, scheduled_at=when)
    browser = client("view_task", "change_task", "submit_shell")
    answer = press(browser, f"/tasks/{task}/cancel/")
    assert "was cancelled" in text(answer)
    assert Task.objects.get(pk=task).status == "cancelled"
    undo = text(answer).split('hx-post="')[1].split('"')[0].replace("&amp;", "&")
    assert "is pending again" in text(press(browser, undo))
    again = Task.objects.get(pk=task)
    assert (again.status, again.scheduled_at) == ("pending", when)


def test_an_impossible_action_is_refused_with_a_message() -> None:
    [task] = stored(1)
    answer = press(client("view_task", "change_task", "submit_shell"), f"/tasks/{task}/retry/")
    assert answer.status_code == 409
    assert "only failed and cancelled tasks can be retried" in text(answer)


def test_actions_need_the_permission_and_a_post() -> None:
    [task] = stored(1)
    browser = client("view_task")
    answer = press(browser, f"/tasks/{task}/cancel/")
    assert answer.status_code == 403
    assert "taskmaster_tasks.change_task" in text(answer)
    assert browser.get(f"/tasks/{task}/cancel/").status_code == 405
    assert Task.objects.get(pk=task).status == "pending"
