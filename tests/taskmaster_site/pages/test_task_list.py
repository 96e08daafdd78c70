"""Test the page of tasks: who sees it, its filters, its pages and the errors in its rows."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from taskmaster.taskmaster_site.pages.task_table import PAGE_ROWS
from taskmaster.tasks.models import QueueDepth, Task
from taskmaster.tasks.queries import search
from tests.factories import in_s, stored
from tests.schedule_rows import a_run, nightly
from tests.taskmaster_site.pages.people import client, text

pytestmark = pytest.mark.django_db
SCRIPT = {"HX-Request": "true"}
HOSTILE = "<img src=x onerror=alert(1)> {{ 7|add:1 }}"


def fail(task_id: int, message: str, exception: str = "builtins.RuntimeError") -> None:
    entry = {"class": "raised", "exception": exception, "message": message}
    Task.objects.filter(pk=task_id).update(status="failed", errors=[entry])


def shown(answer: Any) -> list[int]:
    """Return the ids of the rows, in their order."""
    return [int(each) for each in re.findall(r'<tr id="task-(\d+)"', text(answer))]


def link(answer: Any, rel: str) -> str:
    """Return the address of the link to a neighbouring page."""
    [found] = re.findall(rf'rel="{rel}" href="([^"]*)"', text(answer))
    return f"/tasks/{unescape(found)}"


def test_a_viewer_without_staff_sees_tasks_and_reaches_them_from_every_page() -> None:
    [task] = stored()
    browser = client("view_task")
    assert shown(browser.get("/tasks/")) == [task]
    assert '<a href="/tasks/" data-go="t"' in text(browser.get("/"))
    assert '<a href="/tasks/" data-go="t" aria-current="page"' in text(browser.get("/tasks/"))


def test_without_the_permission_the_page_shows_neither_tasks_nor_counts() -> None:
    stored(7, queue="secret-queue")
    browser = client("view_worker", "add_task", "change_task")
    for address in ("/tasks/", "/tasks/?queue=secret-queue"):
        answer = browser.get(address)
        assert answer.status_code == 403
        page = re.sub(r"<svg.*?</svg>", "", text(answer), flags=re.S)
        assert "<code>taskmaster_tasks.view_task</code>" in page
        for hidden in ("secret", "7 ", 'data-go="t"'):
            assert hidden not in page
    assert browser.get("/tasks/", headers=SCRIPT).status_code == 403
    answer = Client().get("/tasks/?q=x")
    assert answer.status_code == 302
    assert "next=/tasks/%3Fq%3Dx" in answer.headers["Location"]


def test_a_failed_row_names_class_and_first_line_as_text() -> None:
    [task] = stored(name=HOSTILE[:40], queue="<b>q", kwargs="{}")
    fail(task, f"{HOSTILE}\nsecond line", "shop.errors.Declined")
    for address in ("/tasks/", "/"):
        page = text(client("view_task").get(address))
        assert "<code>Declined</code><span>&lt;img src=x onerror=alert(1)&gt; {{ 7|add:1 }}" in page
        assert "second line" not in page
        assert "<img src=x" not in page
        User.objects.all().delete()


def test_the_page_finds_error_class_message_submitter_and_id() -> None:
    failed, other = stored(2)
    fail(failed, "Payment declined")
    Task.objects.filter(pk=other).update(created_by=User.objects.create_user("maria"))
    browser = client("view_task")
    searches = {"runtimeerror": failed, "declined payment": failed, "maria": other}
    for words, found in {**searches, f"#{other}": other}.items():
        assert shown(browser.get("/tasks/", {"q": words})) == [found], words


def test_the_page_names_the_limit_of_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    stored(5)
    browser = client("view_task")
    assert "among the newest 100,000 tasks" in text(browser.get("/tasks/"))
    # The sequence of ids continues from test to test.
    monkeypatch.setattr(search, "REACH", 10**9)
    assert "5 tasks · live" in text(browser.get("/tasks/?q=shell"))
    monkeypatch.setattr(search, "REACH", 3)
    assert "3 tasks, among the newest 100,000 tasks" in text(browser.get("/tasks/?q=shell"))
    assert "No task matches: among the newest" in text(browser.get("/tasks/?q=nowhere"))


def test_the_address_holds_the_filter_and_fills_the_form() -> None:
    [wanted] = stored(queue="mail", tags=("nightly",))
    stored(queue="mail")
    stored(tags=("nightly",))
    Task.objects.update(status="failed")
    answer = client("view_task").get(
        "/tasks/?status=failed&queue=mail&name=shell&tag=nightly&q=true"
    )
    assert shown(answer) == [wanted]
    page = text(answer)
    assert 'name="q" value="true"' in page
    assert 'name="queue" value="mail"' in page
    assert 'name="name" value="shell"' in page
    assert 'value="failed" checked' in page
    assert '<input type="hidden" name="tag" value="nightly">' in page


def test_a_status_without_a_chip_can_be_removed() -> None:
    page = text(client("view_task").get("/tasks/?status=picked"))
    assert '<input type="hidden" name="status" value="picked">' in page
    assert "checked" not in page


def test_an_invalid_filter_is_named() -> None:
    stored()
    answer = client("view_task").get("/tasks/?status=nonsense")
    assert answer.status_code == 200
    assert "No task matches: status:" in text(answer)


def test_the_tasks_of_a_schedule_are_shown_only_to_those_who_may_view_schedules() -> None:
    run = a_run(nightly("nightly & co"), in_s(-60), status="failed")
    stored()
    browser = client("view_task", "view_schedule")
    page = text(browser.get(f"/schedules/{run.schedule_id}/"))
    [address] = re.findall(r'id="its-tasks" href="([^"]*)"', page)
    assert shown(browser.get(unescape(address))) == [run.task_id]
    assert shown(browser.get(f"{unescape(address)}&status=complete")) == []
    assert "schedule: No schedule has the name x." in text(browser.get("/tasks/?schedule=x"))
    User.objects.all().delete()
    browser = client("view_task")
    known, unknown = (
        text(browser.get("/tasks/", {"schedule": name})).replace(name, "?")
        for name in ("nightly & co", "x-y-z")
    )
    assert shown(browser.get(unescape(address))) == []
    for page in (known, unknown):
        assert "schedule: This needs the permission taskmaster_tasks.view_schedule." in page


def test_the_tasks_of_a_schedule_are_limited_to_its_newest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schedule = nightly()
    ids = [a_run(schedule, in_s(-60 * n), status="complete").task_id for n in range(1, 5)]
    stored(3)
    monkeypatch.setattr(search, "FEW", 2)
    answer = client("view_task", "view_schedule").get("/tasks/?schedule=nightly-backup")
    assert shown(answer) == ids[:1:-1]
    assert "among its newest 2 tasks" in text(answer)


def test_pages_neither_repeat_nor_skip_a_task_while_others_are_stored() -> None:
    ids = sorted(stored(2 * PAGE_ROWS + 5, queue="mail"), reverse=True)
    stored(3)
    browser = client("view_task")
    first = browser.get("/tasks/?queue=mail")
    assert 'rel="prev"' not in text(first)
    stored(4, queue="mail")
    second = browser.get(link(first, "next"))
    third = browser.get(link(second, "next"))
    assert shown(first) + shown(second) + shown(third) == ids
    assert 'rel="next"' not in text(third)
    back = browser.get(link(third, "prev"))
    assert shown(back) == shown(second)
    assert "new ones are shown at the top" in text(first)
    assert "new ones" not in text(back)


def test_the_page_above_the_newest_task_is_the_first_page() -> None:
    ids = stored(PAGE_ROWS + 2)
    browser = client("view_task")
    second = browser.get(link(browser.get("/tasks/?queue=default"), "next"))
    answer = browser.get(link(second, "prev"))
    assert answer.headers["Location"] == "/tasks/?queue=default"
    assert shown(browser.get(f"/tasks/?after={ids[1]}", headers=SCRIPT)) == ids[:1:-1]


@pytest.mark.parametrize("query", ["before=0", "before=1"])
def test_a_page_below_the_oldest_task_leads_to_the_newest(query: str) -> None:
    stored()
    page = text(client("view_task").get(f"/tasks/?{query}&queue=mail"))
    assert 'No older tasks. <a href="/tasks/?queue=mail">' in page


@pytest.mark.parametrize("query", ["before=x", "before=-1", f"before={10**30}", "after=%00x"])
def test_what_cannot_be_a_position_is_ignored_or_refused(query: str) -> None:
    [task] = stored()
    answer = client("view_task").get(f"/tasks/?{query}")
    assert answer.status_code == 400 or shown(answer) == [task]


def test_a_changed_filter_changes_the_address_and_a_refresh_does_not() -> None:
    stored()
    browser = client("view_task")

    def answer(query: str, current: str) -> Any:
        url = f"http://testserver/tasks/{current}"
        return browser.get(f"/tasks/{query}", headers={**SCRIPT, "HX-Current-URL": url}).headers

    assert answer("?status=failed", "")["HX-Push-Url"] == "/tasks/?status=failed"
    assert answer("?q=ma", "?q=m")["HX-Replace-Url"] == "/tasks/?q=ma"
    # A form sends no position: it leads to the first page.
    assert answer("?status=failed", "?status=failed&before=7")["HX-Push-Url"] == (
        "/tasks/?status=failed"
    )
    for query in ("", "?status=failed", "?before=7", "?status=failed&after=7"):
        assert not {"HX-Push-Url", "HX-Replace-Url"} & set(answer(query, query))


def test_an_invalid_address_of_a_script_counts_as_none() -> None:
    headers = {**SCRIPT, "HX-Current-URL": "http://[::1"}
    answer = client("view_task").get("/tasks/?status=failed", headers=headers)
    assert answer.headers["HX-Push-Url"] == "/tasks/?status=failed"


def test_the_dashboard_leads_to_the_list_with_its_filter() -> None:
    stored(queue="mail")
    QueueDepth.objects.create(queue="mail", pending=1, due=1, held=0, running=0)
    browser = client("view_task")
    assert 'href="/tasks/?queue=mail&amp;q=true">All matching' in text(
        browser.get("/?queue=mail&q=true")
    )
    page = text(browser.get("/"))
    for address in (
        "/tasks/", "/tasks/?status=waiting,pending,picked", "/tasks/?status=started",
        "/tasks/?status=complete", "/tasks/?status=failed", "/tasks/?queue=mail",
    ):  # fmt: skip
        assert f'href="{address}"' in page


def test_chips_list_the_tasks_that_the_counters_count() -> None:
    parked, pending, held, running = stored(4)
    for task, status in ((parked, "waiting"), (held, "picked"), (running, "started")):
        Task.objects.filter(pk=task).update(status=status)
    browser = client("view_task")
    listed = {
        "waiting,pending,picked": [held, pending, parked],
        "waiting": [parked],
        "started": [running],
    }
    for status, tasks in listed.items():
        answer = browser.get(f"/tasks/?status={status}")
        assert shown(answer) == tasks
        assert f'value="{status}" checked' in text(answer)
    summary = text(browser.get("/tasks/")).split('id="summary">')[1]
    assert summary.startswith('<a href="/tasks/?status=started">1 running</a>')
    assert '<a href="/tasks/?status=waiting,pending,picked">3 pending</a>' in summary
    assert '(<a href="/tasks/?status=waiting">1 parked</a>)' in summary


def test_staff_reach_the_bulk_actions_of_the_admin_with_the_filter() -> None:
    stored(queue="mail", tags=("nightly",))
    browser = client("view_task")
    admin = "/admin/taskmaster_tasks/task/"
    assert admin not in text(browser.get("/tasks/"))
    User.objects.update(is_staff=True)
    page = text(browser.get("/tasks/?queue=mail&status=pending&q=true"))
    address = f"{admin}?status=pending&queue=mail&q=true"
    assert f'href="{address.replace("&", "&amp;")}"' in page
    assert shown(browser.get("/tasks/?queue=mail&status=pending&q=true"))
    assert browser.get(address).context["cl"].result_count == 1
    answer = browser.get("/tasks/?status=waiting,pending")
    assert f'href="{admin}?status=waiting%2Cpending"' in text(answer)
    assert browser.get(f"{admin}?status=waiting%2Cpending").context["cl"].result_count == 1
    # The admin's list has no such filter, and a link must not drop it.
    assert admin not in text(browser.get("/tasks/?tag=nightly"))


def test_the_number_of_queries_does_not_depend_on_the_rows(
    django_assert_max_num_queries: Any,
) -> None:
    browser = client("view_task")
    for task in stored(30):
        fail(task, "no")
    with django_assert_max_num_queries(14):
        assert len(shown(browser.get("/tasks/"))) == 30
