"""Test a task's page and its buttons."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from taskmaster.tasks.models import Event, Task, TaskOutput
from tests.factories import in_s, stored, user_with
from tests.schedule_rows import a_run, nightly
from tests.taskmaster_site.pages.people import client, press, text

pytestmark = pytest.mark.django_db


TRACEBACK = """Traceback (most recent call last):
  File "/srv/shop/orders.py", line 41, in send_receipt
    deliver("<b>")
  File "/usr/lib/python3.11/smtplib.py", line 405, in getreply
    raise OSError
ValueError: <script>alert(1)</script>
"""


def entry(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "attempt": number, "worker": "heron", "due": "2026-01-01T00:00:00+00:00",
        "started": f"2026-01-01T00:00:0{number}+00:00", "at": f"2026-01-01T00:01:0{number}+00:00",
        "class": "raised", "exception": "shop.errors.NoStock", "message": "NoStock: <b>none</b>",
        "traceback": TRACEBACK, **fields,
    }  # fmt: skip


def ended(status: str, *entries: dict[str, Any], **fields: Any) -> int:
    """Store a task that ended with these failed attempts."""
    [task] = stored(1, **{key: fields.pop(key) for key in ("args", "kwargs") if key in fields})
    Task.objects.filter(pk=task).update(
        status=status, attempt=max(1, len(entries)), max_attempts=max(1, len(entries)),
        errors=list(entries), worker="heron", **fields,
    )  # fmt: skip
    return task


def shown(task: int) -> str:
    """Return the page as a viewer sees it."""
    browser = Client()
    browser.force_login(user_with("taskmaster_tasks.view_task"))
    return text(browser.get(f"/tasks/{task}/"))


def test_the_page_shows_command_reason_and_arguments() -> None:
    [task] = stored(1, kwargs='{"command":"sleep 1 && echo <b>"}', tags=["nightly"])
    page = shown(task)
    assert "sleep 1 &amp;&amp; echo &lt;b&gt;" in page
    assert "nightly" in page
    assert '<h2 id="answer">No coordinator seems to be running' in page
    assert 'No coordinator runs<span class="visually-hidden">, holds the task</span>' in page
    assert 'A free slot<span class="visually-hidden">, later</span></b> <span>not checked<' in page
    assert f'data-stream="/api/tasks/{task}/events/"' in page
    assert f'data-socket="/ws/tasks/{task}/console/"' in page


def test_a_lost_attempt_is_labelled_lost_in_the_colour_of_a_failure() -> None:
    lost = entry(1, **{"class": "lost"})
    page = shown(ended("failed", lost, entry(2), failed_at=in_s(0)))
    assert '<p class="end failed">lost <small>after 1 min</small></p>' in page
    assert '<p class="end failed">failed <small>after 1 min</small></p>' in page


def test_the_answer_of_a_failed_task_is_its_error_with_folded_libraries() -> None:
    page = shown(ended("failed", entry(1), entry(2), failed_at=in_s(0)))
    answer = page.split('class="card answer failed"')[1].split("</section>")[0]
    assert "<code>NoStock</code> &lt;b&gt;none&lt;/b&gt;" in answer
    assert "Raised after 1 min in <b>send_receipt</b>, /srv/shop/orders.py:41, on heron." in answer
    assert "Both attempts ended like this." in answer
    assert "<mark>deliver(&quot;&lt;b&gt;&quot;)</mark>" in answer
    assert "1 frame in smtplib" in answer
    assert "ValueError: &lt;script&gt;" in answer
    assert "<script>alert" not in page
    # The answer precedes the attempts and the console, and the first attempt keeps its error.
    places = [page.index(each) for each in ("card answer", "card attempts", "card console")]
    assert places == sorted(places)
    assert "Attempt 1: <b>NoStock</b>" in page


def test_errors_that_are_no_exceptions_are_named() -> None:
    exit_code = {"class": "exit_code", "code": 3, "message": "exit code 3"}
    plain = {"exception": "", "traceback": "", **exit_code}
    assert "<code>Exit code 3</code>" in shown(ended("failed", entry(1, **plain)))
    timeout = {**plain, "class": "timeout", "message": "exceeded its time-out of 2 s"}
    del timeout["code"]
    task = ended("failed", entry(1, **timeout))
    page = shown(task)
    assert "<code>Timed out</code> exceeded its time-out of 2 s" in page
    assert "Stopped after 1 min, on heron." in page


def test_the_answer_of_a_complete_task_is_its_result_as_it_is_stored() -> None:
    task = ended(
        "complete", completed_at=in_s(0), started_at=in_s(-2), kwargs='{"b":1e16,"a":-0.0}'
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE taskmaster_tasks_task SET result = %s::json WHERE id = %s",
            ['{"z":1.0e3,"<i>":[12345678901234567890.50]}', task],
        )
    page = shown(task)
    result = page.split('<pre id="result"')[1].split("</pre>")[0]
    assert "&quot;z&quot;: 1.0e3" in result
    assert "12345678901234567890.50" in result
    assert "&lt;i&gt;" in result
    assert "&quot;b&quot;: 1e16" in page


def test_a_deeply_nested_result_does_not_break_the_page() -> None:
    task = ended("complete", completed_at=in_s(0), started_at=in_s(-2))
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE taskmaster_tasks_task SET result = %s::json WHERE id = %s",
            ["[" * 2_000 + "]" * 2_000, task],
        )
    assert "[[[[" in shown(task)


def test_a_scheduled_task_is_due_in_the_future_and_does_not_wait() -> None:
    [task] = stored(1, scheduled_at=in_s(3_565))
    page = shown(task)
    assert re.search(r"due <time [^>]*data-ago>in 59 min</time>", page)
    assert "Due time" in page
    for wrong in ("Waited", "until it was due", "waiting <b>"):
        assert wrong not in page


def test_a_cancelled_task_shows_whether_it_ran() -> None:
    before = ended("cancelled", cancelled_at=in_s(0))
    Task.objects.filter(pk=before).update(attempt=0, worker="")
    assert "It was cancelled before it started." in shown(before)


def test_the_gap_in_the_output_is_named_with_its_size() -> None:
    task = ended("complete", completed_at=in_s(0), started_at=in_s(-2))
    for seq, chunk in enumerate(("h" * 600, "\n… 12,345 bytes cut …\n", "t" * 600)):
        TaskOutput.objects.create(
            task_id=task, lease=1, attempt=1, seq=seq, stream="stdout", text=chunk
        )
    page = shown(task)
    assert "12,345 bytes in the middle are not stored" in page
    assert "It printed 13,545 bytes; the first 600 and the last 600 are kept." in page
    assert f'href="/api/tasks/{task}/output/?plain=1" download="task-{task}.txt"' in page


def test_only_this_page_allows_inline_styles_and_no_page_inline_scripts() -> None:
    [task] = stored(1)
    browser = client("view_task")
    policy = browser.get(f"/tasks/{task}/").headers["Content-Security-Policy"]
    assert "style-src 'self' 'unsafe-inline'" in policy
    assert "script-src" not in policy
    for address in ("/", f"/tasks/{task}0000/"):
        assert "unsafe" not in browser.get(address).headers["Content-Security-Policy"]


def test_values_are_shown_only_to_those_who_may_view_tasks() -> None:
    task = ended("failed", entry(1), failed_at=in_s(0), kwargs='{"command":"secret"}')
    browser = client("change_task", "add_task")
    for headers in ({}, {"HX-Request": "true"}):
        answer = browser.get(f"/tasks/{task}/", headers=headers)
        assert answer.status_code == 403
        assert "secret" not in text(answer)
        assert "NoStock" not in text(answer)


def test_a_script_gets_only_the_changing_part() -> None:
    [task] = stored(1)
    page = text(client("view_task").get(f"/tasks/{task}/", headers={"HX-Request": "true"}))
    assert "task-head" in page
    assert "<html" not in page


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}])
def test_only_staff_see_the_link_to_the_admin(headers: dict[str, str]) -> None:
    [task] = stored(1)
    browser = client("view_task")
    assert "Open in admin" not in text(browser.get(f"/tasks/{task}/", headers=headers))
    User.objects.update(is_staff=True)
    assert "Open in admin" in text(browser.get(f"/tasks/{task}/", headers=headers))


def test_the_axis_has_few_labels_so_that_none_overlap() -> None:
    axis = shown(ended("failed", entry(1), failed_at=in_s(0))).partition('<li class="axis"')[2]
    assert axis.partition("</li>")[0].count("<time") == 3


def test_a_message_cannot_forge_the_frame_of_the_headline() -> None:
    forged = 'Traceback (most recent call last):\n  File "/b", line 1, in evil\nEvil: x\n'
    trace = TRACEBACK.replace("ValueError: <script>", f"shop.errors.NoStock: x\n{forged}")
    failed = entry(1, message="NoStock: x", traceback=trace)
    page = shown(ended("failed", failed, failed_at=in_s(0)))
    assert "in <b>send_receipt</b>, /srv/shop/orders.py:41" in page
    assert "<b>evil</b>" not in page


@pytest.mark.parametrize("task_id", [987_654_321, 10**30])
def test_an_unknown_task_is_a_404(task_id: int) -> None:
    browser = client("view_task")
    answer = browser.get(f"/tasks/{task_id}/")
    assert answer.status_code == 404
    assert f"<h1>Task {task_id} does not exist</h1>" in text(answer)
    assert "<p>No task has this number yet. <a" in text(answer)
    script = browser.get(f"/tasks/{task_id}/", headers={"HX-Request": "true"})
    assert script.status_code == 404


def test_a_deleted_task_names_the_retention_time_if_it_can_have_expired() -> None:
    first, second, third, newest = stored(4)
    Task.objects.filter(pk__in=(first, third)).delete()
    browser = client("view_task")
    expired = "<p>It was deleted after its retention time"
    rule = "Finished tasks are kept: complete 7 days, failed 30 days, cancelled 30 days."
    page = text(browser.get(f"/tasks/{first}/"))
    assert expired in page
    assert rule in page
    assert rule in text(browser.get("/tasks/"))
    page = text(browser.get(f"/tasks/{third}/"))
    assert "<p>It was deleted by a user, or its submission was rolled back. <a" in page
    Task.objects.filter(pk=second).update(created_at=in_s(-8 * 86_400))
    assert expired in text(browser.get(f"/tasks/{third}/"))
    Task.objects.filter(pk=newest).delete()
    assert "It was deleted by a user" not in text(browser.get(f"/tasks/{newest}/"))


def test_queue_and_tags_lead_to_the_list_of_their_tasks() -> None:
    [task] = stored(1, queue="mail", tags=("a b",))
    page = text(client("view_task").get(f"/tasks/{task}/"))
    assert '<a href="/tasks/?queue=mail">mail</a>' in page
    assert '<a href="/tasks/?tag=a%20b">a b</a>' in page


def test_characters_that_change_the_direction_are_shown_as_codes() -> None:
    evil = "exe\u202egnp"
    failed = entry(1, message=f"Evil: {evil}", worker=f"w{evil}", traceback=f"raised {evil}")
    task = ended("failed", failed, failed_at=in_s(0))
    Task.objects.filter(pk=task).update(queue=evil, tags=[evil], name=f"shop.{evil}")
    Event.objects.create(kind="failed", task_id=task, task=evil, text=f"because {evil}")
    Event.objects.create(kind="operator", text=f"note {evil}", user=evil)
    browser = client("view_task")
    for address in (f"/tasks/{task}/", "/tasks/", "/"):
        page = re.sub(r"<title>.*</title>|<datalist.*?</datalist>", "", text(browser.get(address)))
        assert "exeU+202Egnp" in page
        assert "\u202e" not in page


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


def test_a_failed_task_without_an_error_claims_nothing() -> None:
    assert "It failed; no error is stored." in shown(ended("failed", failed_at=in_s(0)))


def test_a_task_of_a_schedule_links_to_it_with_its_due_time() -> None:
    schedule = nightly(timezone="Europe/Berlin")
    run = a_run(schedule, datetime(2026, 3, 17, 1, 30, tzinfo=UTC), status="complete")
    page = text(client("view_task", "view_schedule").get(f"/tasks/{run.task_id}/"))
    assert f'of the schedule <a href="/schedules/{schedule.pk}/">nightly-backup</a>, for' in page
    assert ">Tue 17 Mar 2026 02:30</time>" in page


def test_without_the_permission_a_schedule_is_only_named_and_a_deleted_one_keeps_its_id() -> None:
    schedule = nightly()
    run = a_run(schedule, in_s(-60), status="complete")
    browser = client("view_task")
    page = text(browser.get(f"/tasks/{run.task_id}/"))
    assert "of the schedule nightly-backup, for" in page
    assert f"/schedules/{schedule.pk}/" not in page
    number = schedule.pk
    schedule.delete()
    page = text(browser.get(f"/tasks/{run.task_id}/"))
    assert f"of the schedule {number} (deleted), for" in page
