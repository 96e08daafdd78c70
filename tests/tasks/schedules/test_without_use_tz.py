"""Test schedules in a project without USE_TZ, where Django returns local times without a zone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from io import StringIO

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client, override_settings

from taskmaster.tasks.models import Schedule, ScheduleRun
from taskmaster.tasks.schedules import service
from taskmaster.tasks.utc_time import in_utc
from tests.tasks.schedules.sample import ADD, created, left_behind

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _without_use_tz() -> Iterator[None]:
    with override_settings(USE_TZ=False, TIME_ZONE="Europe/Berlin"):
        yield


def test_a_schedule_can_be_changed_paused_skipped_and_run() -> None:
    start = datetime.now(UTC) - timedelta(days=1)
    schedule = created(starts_at=start.isoformat(), jitter_s=60)
    due_times = left_behind(schedule, 2)
    assert service.update(schedule, {"jitter_s": 30}, user=None).version == 1
    missed = ScheduleRun.objects.get()
    assert (missed.due_at, missed.count) == (due_times[0], 2)
    assert service.update(schedule, {"jitter_s": 30}, user=None).version == 1
    skipped = service.skip_next(schedule, "", user=None)
    assert skipped.due_at == due_times[1] + timedelta(hours=1)
    service.pause(schedule, "", user=None)
    resumed = service.resume(schedule, user=None)
    assert resumed.next_due_at == skipped.due_at + timedelta(hours=1)
    service.run_now(schedule, user=None)
    assert service.preview_stored(schedule).rows[0].at == skipped.due_at
    service.pause_all("", user=None)
    left_behind(schedule, 1)
    service.resume_all(user=None)
    assert Schedule.objects.get().next_due_at == resumed.next_due_at


def test_dates_are_the_instants_that_were_given() -> None:
    # In Berlin, both are 02:30, since the clocks go back on this day.
    dates = [datetime(2030, 10, 27, 0, 30, tzinfo=UTC), datetime(2030, 10, 27, 1, 30, tzinfo=UTC)]
    given = [each.isoformat() for each in dates]
    service.create({"name": "two", "task": ADD, "args": [1, 2], "dates": given}, user=None)
    stored = Schedule.objects.get()
    assert stored.dates == dates
    assert stored.next_due_at == dates[0]


def test_a_repeated_local_time_keeps_its_fold() -> None:
    local = datetime(2030, 10, 27, 2, 30)
    assert in_utc(local) == datetime(2030, 10, 27, 0, 30, tzinfo=UTC)
    assert in_utc(local.replace(fold=1)) == datetime(2030, 10, 27, 1, 30, tzinfo=UTC)


def test_pages_and_the_command_line_show_schedules() -> None:
    schedule = created()
    service.pause(schedule, "", user=None)
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("ada", password="secret"))
    place = f"/schedules/{schedule.pk}/"
    for path in (
        "/schedules/",
        place,
        f"{place}edit/",
        f"/api{place}preview/",
        f"/api{place}runs/",
        "/admin/taskmaster_tasks/schedule/",
        "/metrics",
    ):
        assert client.get(path).status_code == HTTPStatus.OK, path
    for words in (["list"], ["show", schedule.name], ["preview", schedule.name]):
        call_command("taskmaster", "schedules", *words, stdout=StringIO())
