"""Test the activity log in the admin."""

from __future__ import annotations

import pytest

from taskmaster.tasks.models import Event
from tests.tasks.admin.pages import client, page

pytestmark = pytest.mark.django_db

LOG = "/admin/taskmaster_tasks/event/"


@pytest.fixture(autouse=True)
def _events() -> None:
    Event.objects.create(
        kind="failed", text="raised <b>", task_id=7, task="shop.send", queue="mail"
    )
    Event.objects.create(kind="operator", text="cancelled 1,284 tasks", user="ann", count=1284)
    Event.objects.create(kind="online", text="is online", worker="worker-1")


def texts(query: str) -> set[str]:
    changes = client("view_task").get(LOG + query).context["cl"].result_list
    return {event.text for event in changes}


def test_the_log_links_to_tasks() -> None:
    shown = page(client("view_task").get(LOG))
    assert '<a href="/admin/taskmaster_tasks/task/7/change/">7 shop.send</a>' in shown
    assert "raised &lt;b&gt;" in shown
    assert '<span class="mark failed">failed</span>' in shown
    assert "1,284" in shown


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?kind=operator", {"cancelled 1,284 tasks"}),
        ("?queue=mail", {"raised <b>"}),
        ("?user=ann", {"cancelled 1,284 tasks"}),
        ("?q=worker-1", {"is online"}),
        ("?q=7", {"raised <b>"}),
        ("?q=shop", {"raised <b>"}),
        ("?q=nowhere", set()),
    ],
)
def test_filters_and_search(query: str, found: set[str]) -> None:
    assert texts(query) == found


def test_the_log_cannot_be_changed() -> None:
    browser = client("view_task", "add_event", "change_event", "delete_event")
    event = Event.objects.first()
    assert event is not None
    for verb in ("delete", "change"):
        browser.post(f"{LOG}{event.pk}/{verb}/")
    assert browser.post(f"{LOG}add/").status_code == 403
    assert Event.objects.count() == 3


def test_a_user_without_permission_cannot_read_the_log() -> None:
    assert client("view_event").get(LOG).status_code == 403
