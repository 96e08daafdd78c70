"""Test the task list of the admin: its cost is bounded, and estimates are marked."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from taskmaster.tasks.admin import changelist
from taskmaster.tasks.admin.changelist import EstimatingPaginator
from taskmaster.tasks.models import Task
from taskmaster.tasks.queries.search import FEW, REACH
from tests.factories import in_s, stored
from tests.tasks.admin.pages import LIST, client, page

pytestmark = pytest.mark.django_db


def listed(browser: Client, query: str = "") -> list[int]:
    return [task.pk for task in browser.get(LIST + query).context["cl"].result_list]


def skip_ids(count: int) -> None:
    """Advance the id sequence, as if this many tasks had been stored and deleted."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT setval(name, nextval(name) - 1 + %s) "
            "FROM (VALUES ('taskmaster_tasks_task_id_seq'::regclass)) AS sequence (name)",
            [count],
        )


def test_a_failed_task_names_its_error_and_is_found_by_it() -> None:
    [failed] = stored()
    stored()
    error = {"class": "raised", "exception": "builtins.OSError", "message": "<b>disk</b>"}
    Task.objects.filter(pk=failed).update(status="failed", errors=[error])
    browser = client("view_task")
    shown = page(browser.get(LIST))
    assert "<code>OSError</code><span>&lt;b&gt;disk&lt;/b&gt;</span>" in shown
    assert listed(browser, "?q=oserror") == listed(browser, f"?q=%23{failed}") == [failed]


def test_few_tasks_are_counted() -> None:
    stored(3)
    assert "3 tasks" in page(client("view_task").get(LIST))


def test_the_number_of_many_tasks_is_an_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changelist, "FEW", 80)
    monkeypatch.setattr(changelist, "REACH", 100)
    stored(5_000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE taskmaster_tasks_task")
    browser = client("view_task")
    with CaptureQueriesContext(connection) as asked:
        shown = browser.get(LIST)
    assert "about 5,000 tasks" in page(shown)
    assert "the pages show the newest 100 tasks" in page(shown)
    assert shown.context["cl"].paginator.num_pages == 2
    counts = [
        each["sql"]
        for each in asked
        if "COUNT(*)" in each["sql"] and "taskmaster_tasks_task" in each["sql"]
    ]
    assert counts
    assert all("LIMIT 81" in sql for sql in counts)
    assert len(listed(browser, "?p=2")) == 50
    assert browser.get(f"{LIST}?p=3").status_code == 302


def test_the_estimate_is_never_below_the_counted_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changelist, "FEW", 10)
    stored(30)
    paginator = EstimatingPaginator(Task.objects.order_by("pk"), 5)
    assert paginator.count >= 11
    assert paginator.estimated
    Task.objects.update(status="complete")
    shown = client("view_task").get(f"{LIST}?status=complete")
    monkeypatch.setattr(shown.context["cl"], "result_count", 11)
    assert shown.context["cl"].count_text == "more than 10 tasks"


@pytest.mark.parametrize(
    "query", ["?queue=mail", "?status=complete", "?name=shell", "?created=86400"]
)
def test_a_filter_without_an_index_searches_the_newest_tasks_and_shows_a_note(query: str) -> None:
    fields: dict[str, Any] = {"queue": "mail"}
    _, edge = stored(2, **fields)
    skip_ids(REACH - 2)
    [newest] = stored(1, **fields)
    Task.objects.update(status="complete")
    assert newest - REACH == edge - 1
    browser = client("view_task")
    assert listed(browser, query) == [newest, edge]
    assert "2 tasks, among the newest 100,000 tasks" in " ".join(
        page(browser.get(LIST + query)).split()
    )
    assert len(listed(browser)) == 3


@pytest.mark.parametrize("status", ["waiting", "pending", "picked", "started"])
def test_few_tasks_in_an_indexed_status_are_all_found(status: str) -> None:
    [old] = stored()
    skip_ids(REACH)
    stored()
    Task.objects.filter(pk=old).update(status=status)
    Task.objects.exclude(pk=old).update(status="complete")
    browser = client("view_task")
    assert listed(browser, f"?status={status}") == [old]
    assert listed(browser, "?status=waiting,pending,picked,started") == [old]
    assert listed(browser, f"?status={status},failed") == []
    assert (
        "among the newest" not in page(browser.get(f"{LIST}?status={status}")).split("</form>")[-2]
    )


def test_only_the_newest_of_many_tasks_in_an_indexed_status_are_searched() -> None:
    stored(FEW + 1)
    skip_ids(REACH)
    [newest] = stored()
    assert listed(client("view_task"), "?status=pending") == [newest]


def test_filters_by_time_of_creation() -> None:
    old, new = stored(2)
    Task.objects.filter(pk=old).update(created_at=in_s(-7_200))
    browser = client("view_task")
    assert listed(browser, "?created=3600") == [new]
    assert listed(browser, "?created=86400") == [new, old]
    assert listed(browser, "?created=nonsense") == [new, old]


@pytest.mark.parametrize(
    "query", ["?worker__startswith=a", "?status__exact=pending", "?result__x=1"]
)
def test_other_lookups_in_the_url_are_refused(query: str) -> None:
    assert client("view_task").get(LIST + query).status_code == 400


@pytest.mark.parametrize("query", ["?o=4", "?o=-5", "?o=x"])
def test_the_url_cannot_sort_by_a_column_without_an_index(query: str) -> None:
    first, second = stored(2)
    Task.objects.filter(pk=first).update(queue="zz", priority=5)
    assert listed(client("view_task"), query) == [second, first]


def test_filters_show_no_counts() -> None:
    stored(3)
    browser = client("view_task")
    with CaptureQueriesContext(connection) as asked:
        browser.get(f"{LIST}?_facets=True")
    assert not [each for each in asked if "FILTER" in each["sql"]]
