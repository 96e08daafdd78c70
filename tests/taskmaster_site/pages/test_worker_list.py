"""Test the page of workers: order, filters, pages, permissions, and the coordinators beside it."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from taskmaster.coordinator.models import Coordinator
from taskmaster.taskmaster_site.pages import worker_list
from taskmaster.tasks.conf import settings
from taskmaster.workers.models import Worker
from tests.factories import a_worker
from tests.taskmaster_site.pages.people import client, text

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true", "HX-Current-URL": "http://testserver/workers/"}


def names(browser: Client, query: str = "") -> list[str]:
    """Return the names of the workers on a page, in order."""
    return re.findall(r'class="lead who".*?<b>(.*?)</b>', text(browser.get(f"/workers/{query}")))


def fleet() -> None:
    """Store workers of every status, the oldest first."""
    now = timezone.now()
    for age, (name, status, pool) in enumerate(
        (
            ("late", "offline", ""),
            ("stork", "online", "birds"),
            ("crane", "draining", "birds"),
            ("gone", "offline", "birds"),
            ("heron", "online", ""),
        )
    ):
        a_worker(name, status=status, pool=pool, registered_at=now + timedelta(seconds=age))


def test_online_workers_come_first_then_draining_then_offline_ones_the_newest_first() -> None:
    fleet()
    assert names(client("view_worker")) == ["heron", "stork", "crane", "gone", "late"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?status=draining", ["crane"]),
        ("?pool=birds", ["stork", "crane", "gone"]),
        ("?pool=birds&status=offline", ["gone"]),
        ("?pool=-", ["heron", "late"]),
        ("?pool=fish", []),
        ("?status=nonsense", ["heron", "stork", "crane", "gone", "late"]),
    ],
)
def test_the_address_holds_the_filter(query: str, expected: list[str]) -> None:
    fleet()
    assert names(client("view_worker"), query) == expected


def test_a_filter_that_a_script_sends_becomes_the_address() -> None:
    browser = client("view_worker")
    answer = browser.get("/workers/?status=offline&pool=", headers=HTMX)
    assert answer.headers["HX-Push-Url"] == "/workers/?status=offline"
    assert "<html" not in text(answer)
    same = {**HTMX, "HX-Current-URL": "http://testserver/workers/?status=offline&page=2"}
    answer = browser.get("/workers/?status=offline&page=2", headers=same)
    assert "HX-Push-Url" not in answer.headers


def test_an_invalid_address_of_a_script_counts_as_none() -> None:
    headers = {**HTMX, "HX-Current-URL": "http://[::1"}
    answer = client("view_worker").get("/workers/?status=offline", headers=headers)
    assert answer.headers["HX-Push-Url"] == "/workers/?status=offline"


def test_pages_keep_the_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_list, "ROWS", 2)
    fleet()
    browser = client("view_worker")
    assert names(browser, "?pool=birds") == ["stork", "crane"]
    page = text(browser.get("/workers/?pool=birds"))
    assert 'rel="next" href="?pool=birds&amp;page=2"' in page
    assert 'rel="prev"' not in page
    assert names(browser, "?pool=birds&page=2") == ["gone"]
    assert names(browser, "?pool=birds&page=99") == ["gone"]
    assert names(browser, "?page=x") == ["heron", "stork"]


@pytest.mark.parametrize(
    ("row", "remark"),
    [
        ({"status": "offline", "ended": "drained"}, "drained"),
        ({"status": "offline", "ended": "stopped"}, "stopped"),
        ({"status": "offline", "ended": "killed"}, "killed by an operator"),
        ({"status": "offline", "ended": "lost"}, "lost: it sent no last heartbeat"),
        ({"status": "offline"}, "unknown: its coordinator ended first"),
        ({"drain": True}, "drain requested"),
        ({"command": "stop"}, "stop requested"),
        ({"heartbeat_misses": 2, "command": "kill"}, "2 heartbeats missed, kill requested"),
    ],
)
def test_a_row_shows_how_the_worker_ended_or_what_was_requested(
    row: dict[str, object], remark: str
) -> None:
    a_worker(**row)
    page = text(client("view_worker").get("/workers/"))
    cell = re.search(r'<td class="remark" title="(.*?)">(.*?)</td>', page)
    assert cell is not None
    # A narrow window cuts the text off, not the title.
    assert cell[1] == re.sub("<.*?>", "", cell[2]) == remark


def test_a_row_has_pool_executor_figures_and_the_short_id() -> None:
    heron = a_worker(
        pool="birds", executor="async", busy=1, tasks_done=1_234, tasks_failed=5, queues=["mail"]
    )
    row = text(client("view_worker").get("/workers/")).partition("<tbody>")[2]
    assert f"<b>heron</b> <code>{heron.short_id}</code>" in row
    for label, value in (
        ("Pool", "birds"), ("Executor", "async"), ("Busy", "1 of 4"), ("Done", "1,234"),
        ("Failed", "5"),
    ):  # fmt: skip
        assert f'data-label="{label}">{value}</td>' in row


def test_an_offline_worker_uses_no_cpu() -> None:
    a_worker(cpu=0.25)
    a_worker("gone", status="offline", cpu=3.5)
    page = text(client("view_worker").get("/workers/"))
    assert re.findall('data-label="CPU">(.*?)</td>', page) == ["25 %", "–"]


def test_a_worker_that_was_not_seen_for_two_heartbeats_is_silent() -> None:
    for name, status in (("heron", "online"), ("stork", "online"), ("gone", "offline")):
        a_worker(name, status=status)
    seen_at = timezone.now() - timedelta(seconds=2 * settings().heartbeat_interval_s + 1)
    Worker.objects.exclude(name="heron").update(last_seen_at=seen_at)
    page = text(client("view_worker").get("/workers/"))
    assert "<b>2 online</b>. 0 of 8 slots busy. <b>1 silent.</b>" in page
    silent = re.findall(r'class="late">\s*<td class="lead who" title="(\w+) on', page)
    assert silent == ["stork"]


def test_only_workers_that_are_not_offline_have_buttons() -> None:
    heron, gone = a_worker(), a_worker("gone", status="offline")
    page = text(client("view_worker", "change_worker").get("/workers/"))
    assert f"/workers/{heron.pk}/drain/" in page
    assert f"/workers/{gone.pk}/" not in page
    assert 'class="if-change-workers"' in page


def test_the_page_needs_only_the_permission_to_view_workers_and_no_staff_flag() -> None:
    a_worker(busy=3)
    assert names(client("view_worker")) == ["heron"]
    assert Client().get("/workers/").headers["Location"] == "/login/?next=/workers/"


def test_the_page_shows_nothing_without_the_permission() -> None:
    a_worker(busy=3)
    browser = client("view_task", "change_worker", "view_coordinator")
    for headers in ({}, HTMX):
        answer = browser.get("/workers/?status=online", headers=headers)
        assert answer.status_code == 403
        assert "taskmaster_workers.view_worker" in text(answer)
        assert "heron" not in text(answer)
        assert "online" not in text(answer)


def test_coordinators_are_shown_only_with_their_own_permission() -> None:
    Coordinator.objects.create(id=uuid4(), lock_key=1, address="10.0.0.7:50051", host="h", pid=1)
    page = text(client("view_worker").get("/workers/"))
    assert "10.0.0.7" not in page
    assert "oordinators" not in page.partition("<main")[2].partition("</main")[0]


def test_a_viewer_of_coordinators_sees_them_above_the_list() -> None:
    Coordinator.objects.create(id=uuid4(), lock_key=1, address="10.0.0.7:50051", host="h", pid=1)
    page = text(client("view_worker", "view_coordinator").get("/workers/"))
    assert page.index("10.0.0.7:50051") < page.index("No workers yet.")
