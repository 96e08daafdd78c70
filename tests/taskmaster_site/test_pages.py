"""The front page and what stands around it."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from coordinator.models import Coordinator
from tasks import operations
from tasks.models import Task
from tests.tasks.sample import in_s, stored
from workers.models import Worker

pytestmark = pytest.mark.django_db


def client(*permissions: str) -> Client:
    user = User.objects.create_user("eve")
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    browser = Client()
    browser.force_login(user)
    return browser


def test_an_anonymous_visitor_gets_the_login_page() -> None:
    answer = Client().get("/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/login/?next=/")


def test_without_the_permission_the_page_says_which_one_is_missing() -> None:
    answer = client().get("/")
    assert answer.status_code == 403
    assert b"tasks.view_task" in answer.content


def test_counts_tasks_and_workers_are_shown() -> None:
    cancelled, *_ = stored(3)
    operations.cancel(cancelled)
    stored(scheduled_at=in_s(60))
    Worker.objects.create(
        id=uuid4(), name="heron", host="h", pid=1, pool="process", slots=4, busy=1
    )
    page = client("view_task", "view_worker").get("/").content.decode()
    assert "<strong>3</strong>" in page
    assert "oldest waits" in page
    assert "heron" in page
    assert "1 of 4 slots busy" in page
    assert page.count("cancelled</span>") == 1


def test_a_command_full_of_markup_is_shown_as_text() -> None:
    stored(kwargs='{"command":"echo <script>alert(1)</script> {{ settings.SECRET_KEY }}"}')
    page = client("view_task").get("/").content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; {{ settings.SECRET_KEY }}" in page


def test_a_chip_shows_tasks_of_its_kind_only() -> None:
    pending, cancelled = stored(2)
    operations.cancel(cancelled)
    page = client("view_task").get("/?status=cancelled").content.decode()
    assert f'id="task-{cancelled}"' in page
    assert f'id="task-{pending}"' not in page


def test_an_unknown_page_is_a_404_without_a_trace() -> None:
    answer = client("view_task").get("/nowhere/")
    assert answer.status_code == 404
    assert b"There is nothing here" in answer.content


def test_the_health_check_is_open_and_says_little() -> None:
    answer = Client().get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "coordinators": []})


def test_the_health_check_tells_of_coordinators_without_naming_them() -> None:
    now = timezone.now()
    ages = {"heard_at": now, "claimed_at": now, "flushed_at": None}
    for complaint in ("", "no claim succeeded for 40 s"):
        Coordinator.objects.create(
            id=uuid4(),
            lock_key=1,
            address="10.9.8.7:1",
            host="h",
            pid=1,
            complaint=complaint,
            **ages,
        )
    Coordinator.objects.create(
        id=uuid4(), lock_key=1, address="a", host="h", pid=1, online=False, **ages
    )
    frozen = Coordinator.objects.create(id=uuid4(), lock_key=1, address="a", host="h", pid=1)
    Coordinator.objects.filter(pk=frozen.pk).update(last_seen_at=now - timedelta(seconds=20))
    answer = Client().get("/healthz")
    assert "10.9.8.7" not in answer.content.decode()
    found = answer.json()["coordinators"]
    assert sorted(each["well"] for each in found) == [False, False, True]
    well = next(each for each in found if each["well"])
    assert well.keys() == {
        "well", "complaint", "loop_lag_ms", "seen_s", "heard_s", "claimed_s", "flushed_s",
    }  # fmt: skip
    assert well["flushed_s"] is None


def test_the_pages_load_nothing_from_elsewhere() -> None:
    Task.objects.all().delete()
    page = client("view_task").get("/").content.decode()
    assert "http://" not in page
    assert "https://" not in page
