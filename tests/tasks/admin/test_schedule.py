"""Test schedules in the admin: the list, one schedule, and the actions."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from taskmaster.tasks.models import ScheduleRun
from tests.factories import in_s
from tests.schedule_rows import nightly
from tests.tasks.admin.pages import client, page

pytestmark = pytest.mark.django_db

SCHEDULES = "/admin/taskmaster_tasks/schedule/"


def act(browser: Client, action: str, *ids: int, **fields: str) -> Any:
    data = {"action": action, "_selected_action": [str(each) for each in ids], **fields}
    return browser.post(SCHEDULES, data, follow=True)


def test_the_list_shows_state_and_words() -> None:
    nightly()
    nightly("held", paused_at=in_s(-60))
    nightly("over", ended_at=in_s(-60), next_run_at=None)
    html = page(client("view_schedule").get(SCHEDULES))
    for text in ("nightly-backup", "every day at 02:30", ">active<", ">paused<", ">ended<"):
        assert text in html


def test_a_schedule_is_shown_read_only_with_a_link_to_its_page() -> None:
    schedule = nightly()
    html = page(client("view_schedule", "change_schedule").get(f"{SCHEDULES}{schedule.pk}/change/"))
    assert f'href="/schedules/{schedule.pk}/"' in html
    assert "30 2 * * *" in html
    assert 'name="_save"' not in html


def test_the_actions_pause_resume_and_run_through_the_service() -> None:
    first, second = nightly(), nightly("second")
    browser = client("view_schedule", "run_schedule")
    assert 'name="reason" data-of="pause_selected"' in page(browser.get(SCHEDULES))
    answer = act(browser, "pause_selected", first.pk, second.pk, reason=" new tax rates ")
    assert "2 schedules paused." in page(answer)
    first.refresh_from_db()
    assert (first.pause_reason, first.version) == ("new tax rates", 1)
    assert first.paused_by
    assert "1 schedule resumed." in page(act(browser, "resume_selected", first.pk))
    assert "1 schedule run." in page(act(browser, "run_selected", first.pk))
    assert ScheduleRun.objects.get().kind == "manual"


@pytest.mark.parametrize("reason", [" ", "x" * 301])
def test_a_pause_without_a_valid_reason_changes_nothing(reason: str) -> None:
    schedule = nightly()
    browser = client("view_schedule", "run_schedule")
    html = page(act(browser, "pause_selected", schedule.pk, reason=reason))
    assert "eason" in html.partition('class="messagelist"')[2].partition("</ul>")[0]
    schedule.refresh_from_db()
    assert (schedule.paused_at, schedule.version) == (None, 0)


def test_an_error_of_one_schedule_does_not_stop_the_others() -> None:
    shell = nightly("a-shell", task="shell", args=[], kwargs={"command": "true"})
    other = nightly("b-other")
    html = page(act(client("view_schedule", "run_schedule"), "run_selected", shell.pk, other.pk))

    assert "Schedule a-shell: This needs the permission" in html
    assert "1 schedule run." in html


def test_the_actions_need_the_permission_to_run() -> None:
    schedule = nightly()
    browser = client("view_schedule", "change_schedule")
    assert "pause_selected" not in page(browser.get(SCHEDULES))
    act(browser, "pause_selected", schedule.pk)
    schedule.refresh_from_db()
    assert schedule.paused_at is None
