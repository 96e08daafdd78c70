"""Test the dashboard, its filters and its fragments."""

from __future__ import annotations

import json

import pytest
from django.test import Client

from taskmaster.taskmaster_site.pages.fragments import FRAGMENTS
from taskmaster.tasks import task_actions
from taskmaster.tasks.models import QueueDepth, Task
from tests.factories import a_worker, in_s, stored
from tests.taskmaster_site.pages.people import client, text

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true", "HX-Current-URL": "http://testserver/"}


def test_an_anonymous_visitor_gets_the_login_page() -> None:
    answer = Client().get("/?q=x")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/login/?next=/%3Fq%3Dx")


def test_a_script_without_a_session_is_redirected_to_the_login_page() -> None:
    answer = Client().get("/tasks/", headers=HTMX)
    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"].startswith("/admin/login/?next=")


def test_the_page_names_a_missing_permission() -> None:
    answer = client().get("/")
    assert answer.status_code == 403
    assert "taskmaster_tasks.view_task" in text(answer)


def test_the_first_response_contains_tasks_and_workers() -> None:
    cancelled, pending, _ = stored(3)
    task_actions.cancel(cancelled)
    stored(scheduled_at=in_s(60))
    a_worker(busy=1)
    page = text(client("view_task", "view_worker").get("/"))
    assert f'id="task-{pending}"' in page
    assert "heron" in page
    assert "1 of 4 slots busy" in page
    assert page.count("cancelled</span>") == 1


def test_parked_tasks_are_shown_with_their_badge_and_counted() -> None:
    [task_id] = stored(queue="mail")
    parked = {"waiting_reason": "unknown_name", "waiting_for": "shell"}
    Task.objects.filter(pk=task_id).update(status="waiting", **parked)
    QueueDepth.objects.create(queue="mail", pending=0, due=0, held=0, running=0, waiting=1)
    page = text(client("view_task").get("/?status=waiting"))
    assert '<span class="mark waiting">' in page
    assert "marks.svg#waiting" in page
    assert "1 parked" in FRAGMENTS["counters"]()
    assert "0 running · 1 parked" in FRAGMENTS["queues"]()


def test_workers_are_sorted_by_the_numbers_in_their_names() -> None:
    for name in ("w-10", "w-2", "w-²", "w-٣"):
        a_worker(name)
    cards = FRAGMENTS["workers"]()
    assert cards.index("w-²") < cards.index("w-2<") < cards.index("w-٣") < cards.index("w-10")


def test_workers_are_hidden_without_the_permission() -> None:
    a_worker()
    page = text(client("view_task").get("/"))
    assert "heron" not in page
    assert "dashboard-workers" not in page
    assert "taskmaster_workers.view_worker" in page


def test_buttons_are_shown_only_with_their_permission() -> None:
    page = text(client("view_task", "change_worker").get("/"))
    body = next(line for line in page.splitlines() if line.startswith("<body"))
    assert "may-change-workers" in body
    assert "may-kill-workers" not in body
    assert "create-form" not in page


def test_a_command_with_markup_is_shown_as_text() -> None:
    stored(kwargs='{"command":"echo <script>alert(1)</script> {{ settings.SECRET_KEY }}"}')
    page = text(client("view_task").get("/"))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; {{ settings.SECRET_KEY }}" in page


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("status=cancelled", 1),
        ("status=pending", 2),
        ("queue=mail", 1),
        ("tag=nightly", 1),
        ("q=mail", 1),
        ("q=nightly", 1),
        ("q=TRUE", 3),
        ("q=nothing", 0),
        ("status=pending&q=mail", 1),
    ],
)
def test_a_filter_shows_matching_tasks(query: str, number: int) -> None:
    [cancelled] = stored(1)
    task_actions.cancel(cancelled)
    stored(1, queue="mail")
    stored(1, tags=["nightly"])
    page = text(client("view_task").get(f"/tasks/?{query}", headers=HTMX))
    assert page.count('<tr id="task-') == number
    assert ("No task matches" in page) is (number == 0)


def test_digits_find_the_task_with_this_id() -> None:
    first, _ = stored(2)
    browser = client("view_task")
    assert f'<tr id="task-{first}"' in text(browser.get(f"/tasks/?q={first}", headers=HTMX))
    assert "No task matches" in text(browser.get(f"/tasks/?q={10**30}", headers=HTMX))


def test_an_invalid_filter_is_named() -> None:
    answer = client("view_task").get("/tasks/?status=nonsense", headers=HTMX)
    assert answer.status_code == 200
    assert "No task matches: status:" in text(answer)


def test_a_filter_has_a_url_that_can_be_opened() -> None:
    browser = client("view_task")
    answer = browser.get("/tasks/?status=failed&q=", headers=HTMX)
    assert answer.headers["HX-Push-Url"] == "/?status=failed"
    assert browser.get("/tasks/?status=failed").headers["Location"] == "/?status=failed"


def test_typing_a_search_adds_one_history_entry() -> None:
    answer = client("view_task").get("/tasks/?q=mai", headers=HTMX)
    assert answer.headers["HX-Replace-Url"] == "/?q=mai"
    assert "HX-Push-Url" not in answer.headers


def test_every_fragment_is_part_of_the_page_and_stable_without_changes() -> None:
    stored(2)
    a_worker(busy=2)
    page = text(client("view_task", "view_worker").get("/"))
    for name, render in FRAGMENTS.items():
        assert render() == render()
        if name == "charts":
            assert len(json.loads(render())["at"]) == 360
            assert 'id="charts"' in page
        else:
            assert f'data-fragment="{name}"' in page


def test_without_a_coordinator_the_page_shows_a_warning() -> None:
    assert "No coordinator is running" in text(client("view_task").get("/"))


def test_an_unknown_page_is_a_404_without_a_traceback() -> None:
    answer = client("view_task").get("/nowhere/")
    assert answer.status_code == 404
    assert "Page not found" in text(answer)
