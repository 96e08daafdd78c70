"""Test the buttons and marks of pauses on the pages."""

from __future__ import annotations

import pytest

from taskmaster.taskmaster_site.pages.fragments import FRAGMENTS
from taskmaster.tasks.models import Pause, QueueDepth
from taskmaster.tasks.policies import pausing
from tests.factories import stored
from tests.taskmaster_site.pages.people import client, press, text

pytestmark = pytest.mark.django_db

PERMITTED = ("view_task", "pause_queue")


def test_a_queue_is_paused_with_a_reason_and_shown_with_who_and_why() -> None:
    QueueDepth.objects.create(queue="mail", pending=3, due=3, held=0, running=0, waiting=0)
    browser = client(*PERMITTED)
    given = {"kind": "queue", "target": "mail", "reason": "the <server> moves"}
    answer = press(browser, "/pause/", **given)
    assert "The queue mail is paused. Running tasks continue." in text(answer)
    assert answer.headers["HX-Trigger"] == "taskmaster:changed"
    shown = FRAGMENTS["queues"]()
    assert "paused</span> by eve <time" in shown
    assert "“the &lt;server&gt; moves”" in shown
    assert 'aria-label="Resume the queue mail"' in shown
    [task_id] = stored(queue="mail")
    assert "The queue `mail` is paused by eve since " in text(browser.get(f"/tasks/{task_id}/"))
    again = press(browser, "/pause/", **given)
    assert again.status_code == 409
    assert "Resume it before you pause it again." in text(again)
    assert "is resumed." in text(press(browser, "/resume/", kind="queue", target="mail"))
    assert not Pause.objects.exists()
    assert press(browser, "/resume/", kind="queue", target="mail").status_code == 409
    assert press(browser, "/pause/", kind="queue", target="a b").status_code == 400


def test_paused_queues_without_tasks_and_paused_names_are_listed() -> None:
    pausing.pause("queue", "empty", "", user=None)
    pausing.pause("name", "shell", "wrong results", user=None)
    shown = FRAGMENTS["queues"]()
    assert "?queue=empty" in shown
    assert "<b>shell</b> <span>task name</span>" in shown
    assert "“wrong results”" in shown


def test_a_banner_is_on_every_page_while_everything_is_paused() -> None:
    browser = client(*PERMITTED, "view_schedule", "view_worker")
    addresses = ("/", "/tasks/", "/schedules/", "/workers/")
    banner = '<p class="pause-banner'
    assert not any(banner in text(browser.get(each)) for each in addresses)
    assert FRAGMENTS["pause_banner"]().strip() == ""
    press(browser, "/pause/", kind="everything", reason="power cut")
    for each in addresses:
        page = text(browser.get(each))
        assert banner in page, each
        assert "“power cut”" in page, each
    assert "“power cut”" in FRAGMENTS["pause_banner"]()
    assert "Resume everything" in FRAGMENTS["queues"]()


def test_the_banner_shows_nothing_to_a_user_who_may_not_view_tasks() -> None:
    pausing.pause("everything", "", "secret reason", user=None)
    browser = client("view_schedule")
    for address in ("/", "/schedules/"):
        assert "secret reason" not in text(browser.get(address))
