"""A task's page, and its buttons."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client

from tasks.models import Task
from tests.taskmaster_site.pages.people import client, press, text
from tests.tasks.sample import in_s, stored

pytestmark = pytest.mark.django_db


def test_the_page_tells_what_why_and_with_which_arguments() -> None:
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
        cursor.execute("UPDATE tasks_task SET attempt = 1 WHERE id = %s", [task])
    Task.objects.filter(pk=task).update(errors=[entry])
    page = text(client("view_task").get(f"/tasks/{task}/"))
    assert "raised (builtins.ValueError)" in page
    assert "ValueError: &lt;script&gt;" in page


def test_a_script_gets_what_changes_alone() -> None:
    [task] = stored(1)
    page = text(client("view_task").get(f"/tasks/{task}/", headers={"HX-Request": "true"}))
    assert "task-head" in page
    assert "<html" not in page


@pytest.mark.parametrize("task_id", [987_654_321, 10**30])
def test_an_unknown_task_is_a_404(task_id: int) -> None:
    answer = client("view_task").get(f"/tasks/{task_id}/")
    assert answer.status_code == 404
    assert "There is nothing here" in text(answer)


def test_an_anonymous_visitor_comes_back_after_the_login() -> None:
    answer = Client().get("/tasks/7/")
    assert answer.headers["Location"] == "/admin/login/?next=/tasks/7/"


def test_cancelling_what_has_not_begun_is_undone_at_its_old_time() -> None:
    when = in_s(3_600)
    [task] = stored(1, scheduled_at=when)
    browser = client("view_task", "change_task", "submit_shell")
    answer = press(browser, f"/tasks/{task}/cancel/")
    assert "is cancelled" in text(answer)
    assert Task.objects.get(pk=task).status == "cancelled"
    undo = text(answer).split('hx-post="')[1].split('"')[0].replace("&amp;", "&")
    assert "is pending again" in text(press(browser, undo))
    again = Task.objects.get(pk=task)
    assert (again.status, again.scheduled_at) == ("pending", when)


def test_what_cannot_be_done_is_refused_in_words() -> None:
    [task] = stored(1)
    answer = press(client("view_task", "change_task", "submit_shell"), f"/tasks/{task}/retry/")
    assert answer.status_code == 409
    assert "only failed and cancelled tasks can be retried" in text(answer)


def test_pressing_needs_the_permission_and_a_post() -> None:
    [task] = stored(1)
    browser = client("view_task")
    answer = press(browser, f"/tasks/{task}/cancel/")
    assert answer.status_code == 403
    assert "tasks.change_task" in text(answer)
    assert browser.get(f"/tasks/{task}/cancel/").status_code == 405
    assert Task.objects.get(pk=task).status == "pending"
