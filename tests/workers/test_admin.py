"""Workers and coordinators in the admin."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client

from coordinator.models import Coordinator
from tests.tasks.api.people import user_with
from workers.models import Worker, WorkerPool

pytestmark = pytest.mark.django_db


def client() -> Client:
    browser = Client()
    browser.force_login(User.objects.create_superuser("root"))
    return browser


def test_workers_are_listed_filtered_searched_and_shown() -> None:
    heron = Worker.objects.create(
        id=uuid4(), name="heron", host="h", pid=7, pool="process", slots=4, busy=3, rss_bytes=2**20
    )
    Worker.objects.create(
        id=uuid4(), name="stork", host="h", pid=8, pool="threads", slots=1, status="offline"
    )
    browser = client()
    shown = browser.get("/admin/workers/worker/?status=online").content.decode()
    assert "heron" in shown
    assert "stork" not in shown
    assert "3 of 4" in shown
    found = browser.get("/admin/workers/worker/?q=stor").content.decode()
    assert "stork" in found
    assert "heron" not in found
    page = browser.get(f"/admin/workers/worker/{heron.pk}/change/").content.decode()
    assert '<span class="mark complete">' in page
    assert browser.post(f"/admin/workers/worker/{heron.pk}/delete/").status_code == 403


def test_selected_workers_are_drained_and_undrained() -> None:
    heron = Worker.objects.create(id=uuid4(), name="heron", host="h", pid=7, pool="x", slots=4)
    gone = Worker.objects.create(
        id=uuid4(), name="gone", host="h", pid=8, pool="x", slots=1, status="offline"
    )
    browser = client()
    chosen = {"_selected_action": [heron.pk, gone.pk]}
    said = browser.post(
        "/admin/workers/worker/", {"action": "drain_workers", **chosen}, follow=True
    ).content.decode()
    assert "1 worker draining." in said
    assert "is offline: there is nothing to drain" in said
    heron.refresh_from_db()
    assert heron.drain
    browser.post("/admin/workers/worker/", {"action": "undrain_workers", **chosen})
    heron.refresh_from_db()
    assert not heron.drain


def test_selected_workers_are_stopped_and_with_a_permission_of_its_own_killed() -> None:
    heron = Worker.objects.create(id=uuid4(), name="heron", host="h", pid=7, pool="x", slots=4)
    user = user_with("workers.view_worker", "workers.change_worker")
    user.is_staff = True
    user.save()
    browser = Client()
    browser.force_login(user)
    page = browser.get("/admin/workers/worker/").content.decode()
    assert "stop_workers" in page
    assert "kill_workers" not in page
    chosen = {"_selected_action": [heron.pk]}
    browser.post("/admin/workers/worker/", {"action": "kill_workers", **chosen})
    heron.refresh_from_db()
    assert heron.command == ""
    said = browser.post(
        "/admin/workers/worker/", {"action": "stop_workers", **chosen}, follow=True
    ).content.decode()
    assert "1 worker stopping." in said
    client().post("/admin/workers/worker/", {"action": "kill_workers", **chosen})
    heron.refresh_from_db()
    assert heron.command == "kill"


def test_coordinators_are_listed() -> None:
    Coordinator.objects.create(id=uuid4(), lock_key=1, address="127.0.0.1:1", host="h", pid=1)
    shown = client().get("/admin/coordinator/coordinator/").content.decode()
    assert "127.0.0.1:1" in shown
    assert "online" in shown


def test_a_pool_is_made_and_changed_by_the_rules_and_shows_no_secret() -> None:
    browser = client()
    fields = {
        "name": "storks", "provider": "local", "desired": 2, "minimum": 0, "maximum": 5,
        "concurrency": 2, "kind": "threads", "queues": "a,b", "stop_limit_s": 60,
        "environment": '{"API_TOKEN": "hush"}', "target_wait_s": 10, "cool_down_s": 60,
    }  # fmt: skip
    url = "/admin/workers/workerpool/"
    wrong = browser.post(f"{url}add/", {**fields, "desired": 6}).content.decode()
    assert "is 6; this pool takes from 0 to 5." in wrong
    assert browser.post(f"{url}add/", fields).status_code == 302
    pool = WorkerPool.objects.get(name="storks")
    assert (pool.desired, pool.queues) == (2, ["a", "b"])
    page = browser.get(f"{url}{pool.pk}/change/").content.decode()
    assert "hush" not in page
    shown = {**fields, "environment": '{"API_TOKEN": "********", "TZ": "UTC"}', "desired": 3}
    assert browser.post(f"{url}{pool.pk}/change/", shown).status_code == 302
    pool.refresh_from_db()
    assert (pool.desired, pool.environment) == (3, {"API_TOKEN": "hush", "TZ": "UTC"})
    chosen = {"_selected_action": [pool.pk], "action": "one_more"}
    said = browser.post(url, chosen, follow=True).content.decode()
    assert "Pool storks shall have 4 workers." in said


def test_what_is_refused_to_a_pool_is_not_called_done() -> None:
    browser = client()
    pool = WorkerPool.objects.create(name="storks", desired=2)
    url = "/admin/workers/workerpool/"
    fields = {
        "name": "ibises", "provider": "compose", "desired": 2, "minimum": 0, "maximum": 5,
        "concurrency": 2, "kind": "threads", "queues": "", "stop_limit_s": 60,
        "environment": "{}", "target_wait_s": 10, "cool_down_s": 60,
    }  # fmt: skip
    for path, sent, why in (
        (f"{pool.pk}/delete/", {"post": "yes"}, "scale it to 0"),
        (f"{pool.pk}/change/", fields, "to change its provider"),
        ("add/", {**fields, "name": "storks", "provider": "local"}, "already exists"),
    ):
        page = browser.post(url + path, sent, follow=True).content.decode()
        assert why in page
        assert "successfully" not in page
    assert "delete_selected" not in browser.get(url).content.decode()
    assert WorkerPool.objects.get(name="storks").provider == "local"
    assert not LogEntry.objects.exists()


def test_who_may_only_look_at_a_pool_sees_no_secret() -> None:
    user = user_with("workers.view_workerpool")
    user.is_staff = True
    user.save()
    browser = Client()
    browser.force_login(user)
    pool = WorkerPool.objects.create(name="storks", environment={"API_TOKEN": "hush", "TZ": "UTC"})
    page = browser.get(f"/admin/workers/workerpool/{pool.pk}/change/").content.decode()
    assert "API_TOKEN" in page
    assert "UTC" in page
    assert "hush" not in page
