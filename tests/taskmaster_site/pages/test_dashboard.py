"""Test the dashboard, its filters and its fragments."""

from __future__ import annotations

import json
import re
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from taskmaster.coordinator.models import Coordinator
from taskmaster.taskmaster_site.pages.fragments import FRAGMENTS
from taskmaster.tasks import task_actions
from taskmaster.tasks.models import QueueDepth, Statistic, Task
from tests.factories import a_worker, in_s, stored
from tests.taskmaster_site.pages.people import client, text

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true", "HX-Current-URL": "http://testserver/"}


def test_an_anonymous_visitor_gets_the_login_page() -> None:
    answer = Client().get("/?q=x")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/login/?next=/%3Fq%3Dx")


def test_a_script_without_a_session_is_redirected_to_the_login_page() -> None:
    answer = Client().get("/dashboard/tasks/", headers=HTMX)
    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"] == "/login/?reason=session-ended&next=/"


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
    assert '<em><a href="/tasks/?status=waiting">1 parked</a></em>' in FRAGMENTS["counters"]()
    assert "0 running · 1 parked" in FRAGMENTS["queues"]()
    stored(scheduled_at=in_s(60))
    assert '<em>none is due · <a href="/tasks/?status=waiting">' in FRAGMENTS["counters"]()


def test_held_tasks_only_are_named() -> None:
    Task.objects.filter(pk__in=stored(2)).update(status="picked")
    assert "<strong>2</strong>\n  <em>2 held</em>" in FRAGMENTS["counters"]()


def test_workers_are_sorted_by_the_numbers_in_their_names() -> None:
    for name in ("w-10", "w-2", "w-²", "w-٣"):
        a_worker(name)
    a_worker("w-1", status="draining")
    cards = FRAGMENTS["workers"]()
    places = [cards.index(f"{name}<") for name in ("w-²", "w-2", "w-٣", "w-10", "w-1")]
    assert places == sorted(places)
    assert "4 online, 1 draining" in cards


def test_two_workers_of_the_same_name_show_their_short_ids() -> None:
    herons, stork = (a_worker(), a_worker()), a_worker("stork")
    cards = FRAGMENTS["workers"]()
    assert all(f"heron <code>{heron.short_id}</code>" in cards for heron in herons)
    assert f"<code>{stork.short_id}</code>" not in cards


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
    page = text(client("view_task").get(f"/dashboard/tasks/?{query}", headers=HTMX))
    assert page.count('<tr id="task-') == number
    assert ("No task matches" in page) is (number == 0)


def test_digits_find_the_task_with_this_id() -> None:
    first, _ = stored(2)
    browser = client("view_task")
    assert f'<tr id="task-{first}"' in text(
        browser.get(f"/dashboard/tasks/?q={first}", headers=HTMX)
    )
    assert "No task matches" in text(browser.get(f"/dashboard/tasks/?q={10**30}", headers=HTMX))


def test_an_invalid_filter_is_named() -> None:
    answer = client("view_task").get("/dashboard/tasks/?status=nonsense", headers=HTMX)
    assert answer.status_code == 200
    assert "No task matches: status:" in text(answer)


def test_a_filter_has_a_url_that_can_be_opened() -> None:
    browser = client("view_task")
    answer = browser.get("/dashboard/tasks/?status=failed&q=", headers=HTMX)
    assert answer.headers["HX-Push-Url"] == "/?status=failed"
    assert browser.get("/dashboard/tasks/?status=failed").headers["Location"] == "/?status=failed"


def test_typing_a_search_adds_one_history_entry() -> None:
    answer = client("view_task").get("/dashboard/tasks/?q=mai", headers=HTMX)
    assert answer.headers["HX-Replace-Url"] == "/?q=mai"
    assert "HX-Push-Url" not in answer.headers


def test_every_fragment_is_part_of_the_page_and_stable_without_changes() -> None:
    stored(2)
    a_worker(busy=2)
    browser = client("view_task", "view_worker", "view_coordinator")
    page = text(browser.get("/")) + text(browser.get("/workers/"))
    for name, render in FRAGMENTS.items():
        assert render() == render()
        if name == "charts":
            assert len(json.loads(render())["at"]) == 360
            assert 'id="charts"' in page
        else:
            assert f'data-fragment="{name}"' in page


def test_the_counters_add_up_to_the_total_in_every_state_of_a_task() -> None:
    states = ("pending", "picked", "started", "complete", "failed", "cancelled")
    for number, (state, task_id) in enumerate(zip(states, stored(6), strict=True)):
        Task.objects.filter(pk=task_id).update(status=state, lease=number)
    Statistic.objects.create(
        at=timezone.now(), source=uuid4(), complete=1, failed=1, cancelled=1, wait=[], run=[]
    )
    page = FRAGMENTS["counters"]()
    shown = [int(number) for number in re.findall(r"<strong>(\d+)</strong>", page)]
    assert shown == [2, 1, 1, 1, 6]
    assert "1 cancelled" in page


def test_coordinators_have_a_card_for_users_who_may_view_them() -> None:
    Coordinator.objects.create(id=uuid4(), lock_key=1, address="10.0.0.7:50051", host="h", pid=1)
    page = text(client("view_task", "view_coordinator").get("/"))
    assert "10.0.0.7:50051" in page
    assert "Coordinators <small>1 online</small>" in page
    Coordinator.objects.update(last_seen_at=in_s(-60))
    assert "Coordinators <small>0 online</small>" in FRAGMENTS["coordinators"]()
    assert "dashboard,coordinators" in page
    User.objects.all().delete()
    page = text(client("view_task", "view_worker").get("/"))
    assert "10.0.0.7" not in page
    assert "coordinators" not in page.partition('data-stream="')[2].partition('"')[0]


def test_without_a_coordinator_the_page_shows_a_warning() -> None:
    assert "No coordinator is running" in text(client("view_task").get("/"))


def test_an_unknown_page_is_a_404_without_a_traceback() -> None:
    answer = client("view_task").get("/nowhere/")
    assert answer.status_code == 404
    assert "Page not found" in text(answer)
