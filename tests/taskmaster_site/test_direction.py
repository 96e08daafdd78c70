"""Test that lists show characters that change the direction of text as codes."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client

from taskmaster.coordinator.models import Coordinator
from taskmaster.tasks.models import Event
from taskmaster.workers.models import WorkerPool
from tests.factories import a_worker, in_s
from tests.schedule_rows import a_run, nightly

pytestmark = pytest.mark.django_db

EVIL = "exe\u202egnp"


@pytest.mark.parametrize(
    "address",
    [
        "/admin/taskmaster_tasks/event/",
        "/admin/taskmaster_tasks/schedule/",
        "/admin/taskmaster_workers/worker/",
        "/admin/taskmaster_coordinator/coordinator/",
        "/workers/",
        "/schedules/",
        "/",
        "schedule",
    ],
)
def test_a_list_shows_the_code(address: str) -> None:
    Event.objects.create(kind="operator", text=f"because {EVIL}", user=EVIL, worker=EVIL)
    a_worker(EVIL, host=EVIL, queues=[EVIL], pool=EVIL)
    Coordinator.objects.create(id=uuid4(), lock_key=1, address=EVIL, host=EVIL, pid=1)
    WorkerPool.objects.create(name="storks", desired=2, error=EVIL, last_log=EVIL)
    schedule = nightly(EVIL, paused_at=in_s(-60), paused_by=EVIL, pause_reason=EVIL)
    a_run(schedule, in_s(-60), "refused", reason=EVIL)
    browser = Client()
    browser.force_login(User.objects.create_superuser("root"))
    if address == "schedule":
        address = f"/schedules/{schedule.pk}/"
    page = browser.get(address).content.decode()
    assert "exeU+202Egnp" in page
    # The title of the window, the values of fields and the filters of the admin stay as they are.
    for left_out in (r"<title>.*</title>", r' value="[^"]*"', r'(?s)<\w+ id="changelist-filter".*'):
        page = re.sub(left_out, "", page)
    assert re.findall("[^<>]*\u202e[^<>]*", page) == []
    assert "&lt;a " not in page
