"""Test workers and coordinators in the admin."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client

from taskmaster.coordinator.models import Coordinator
from taskmaster.workers.models import Worker, WorkerPool
from tests.factories import a_worker, user_with

pytestmark = pytest.mark.django_db


def client() -> Client:
    browser = Client()
    browser.force_login(User.objects.create_superuser("root"))
    return browser


def test_workers_are_listed_filtered_searched_and_shown() -> None:
    heron = Worker.objects.create(
        id=uuid4(),
        name="heron",
        host="h",
        pid=7,
        executor="process",
        slots=4,
        busy=3,
        rss_bytes=2**20,
    )
    Worker.objects.create(
        id=uuid4(), name="stork", host="h", pid=8, executor="thread", slots=1, status="offline"
    )
    browser = client()
    shown = browser.get("/admin/taskmaster_workers/worker/?status=online").content.decode()
    assert "heron" in shown
    assert "stork" not in shown
    assert "3 of 4" in shown
    found = browser.get("/admin/taskmaster_workers/worker/?q=stor").content.decode()
    assert "stork" in found
    assert "heron" not in found
    page = browser.get(f"/admin/taskmaster_workers/worker/{heron.pk}/change/").content.decode()
    assert '<span class="mark complete">' in page
    assert browser.post(f"/admin/taskmaster_workers/worker/{heron.pk}/delete/").status_code == 403


def test_online_workers_are_listed_first_with_pool_executor_and_how_the_others_ended() -> None:
    a_worker("heron", pool="birds", executor="async")
    gone = a_worker("gone", status="offline", ended="killed", pool="fish")
    browser = client()
    page = browser.get("/admin/taskmaster_workers/worker/").content.decode()
    assert page.index(">heron<") < page.index(">gone<")
    for cell in ("birds", "async", gone.short_id, "killed by an operator"):
        assert f">{cell}<" in page
    page = browser.get("/admin/taskmaster_workers/worker/?pool=fish").content.decode()
    assert ">heron<" not in page
    assert ">gone<" in page


def test_an_offline_worker_uses_no_cpu() -> None:
    a_worker(cpu=0.25)
    a_worker("gone", status="offline", cpu=3.5)
    page = client().get("/admin/taskmaster_workers/worker/").content.decode()
    assert re.findall(r'<td class="field-cpu_used">(.*?)</td>', page) == ["25%", "–"]


def test_selected_workers_are_drained_and_undrained() -> None:
    heron = Worker.objects.create(id=uuid4(), name="heron", host="h", pid=7, executor="x", slots=4)
    gone = Worker.objects.create(
        id=uuid4(), name="gone", host="h", pid=8, executor="x", slots=1, status="offline"
    )
    browser = client()
    chosen = {"_selected_action": [heron.pk, gone.pk]}
    page = browser.post(
        "/admin/taskmaster_workers/worker/", {"action": "drain_workers", **chosen}, follow=True
    ).content.decode()
    assert "1 worker draining." in page
    assert "is offline; it cannot drain" in page
    heron.refresh_from_db()
    assert heron.drain
    browser.post("/admin/taskmaster_workers/worker/", {"action": "undrain_workers", **chosen})
    heron.refresh_from_db()
    assert not heron.drain


def test_selected_workers_can_be_stopped_and_killing_needs_its_own_permission() -> None:
    heron = Worker.objects.create(id=uuid4(), name="heron", host="h", pid=7, executor="x", slots=4)
    user = user_with("taskmaster_workers.view_worker", "taskmaster_workers.change_worker")
    user.is_staff = True
    user.save()
    browser = Client()
    browser.force_login(user)
    page = browser.get("/admin/taskmaster_workers/worker/").content.decode()
    assert "stop_workers" in page
    assert "kill_workers" not in page
    chosen = {"_selected_action": [heron.pk]}
    browser.post("/admin/taskmaster_workers/worker/", {"action": "kill_workers", **chosen})
    heron.refresh_from_db()
    assert heron.command == ""
    page = browser.post(
        "/admin/taskmaster_workers/worker/", {"action": "stop_workers", **chosen}, follow=True
    ).content.decode()
    assert "1 worker stopping." in page
    client().post("/admin/taskmaster_workers/worker/", {"action": "kill_workers", **chosen})
    heron.refresh_from_db()
    assert heron.command == "kill"


def test_coordinators_are_listed() -> None:
    Coordinator.objects.create(id=uuid4(), lock_key=1, address="127.0.0.1:1", host="h", pid=1)
    shown = client().get("/admin/taskmaster_coordinator/coordinator/").content.decode()
    assert "127.0.0.1:1" in shown
    assert "online" in shown


def test_a_pool_is_validated_and_its_secrets_are_hidden() -> None:
    browser = client()
    fields = {
        "name": "storks", "provider": "local", "desired": 2, "minimum": 0, "maximum": 5,
        "concurrency": 2, "executor": "thread", "queues": "a,b", "stop_limit_s": 60,
        "environment": '{"API_TOKEN": "hush"}', "target_wait_s": 10, "cool_down_s": 60,
    }  # fmt: skip
    url = "/admin/taskmaster_workers/workerpool/"
    wrong = browser.post(f"{url}add/", {**fields, "desired": 6}).content.decode()
    assert "is 6; it must be from 0 to 5 for this pool." in wrong
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
    page = browser.post(url, chosen, follow=True).content.decode()
    assert "Pool storks scaled to 4 workers." in page


def test_a_refused_change_of_a_pool_reports_no_success() -> None:
    browser = client()
    pool = WorkerPool.objects.create(name="storks", desired=2)
    url = "/admin/taskmaster_workers/workerpool/"
    fields = {
        "name": "ibises", "provider": "compose", "desired": 2, "minimum": 0, "maximum": 5,
        "concurrency": 2, "executor": "thread", "queues": "", "stop_limit_s": 60,
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


def test_view_permission_on_a_pool_shows_no_secret() -> None:
    user = user_with("taskmaster_workers.view_workerpool")
    user.is_staff = True
    user.save()
    browser = Client()
    browser.force_login(user)
    pool = WorkerPool.objects.create(name="storks", environment={"API_TOKEN": "hush", "TZ": "UTC"})
    page = browser.get(f"/admin/taskmaster_workers/workerpool/{pool.pk}/change/").content.decode()
    assert "API_TOKEN" in page
    assert "UTC" in page
    assert "hush" not in page


def test_a_pool_shows_read_only_what_the_user_may_not_change() -> None:
    user = user_with("taskmaster_workers.view_workerpool", "taskmaster_workers.change_workerpool")
    user.is_staff = True
    user.save()
    browser = Client()
    browser.force_login(user)
    pool = WorkerPool.objects.create(name="storks", environment={"API_TOKEN": "hush"}, maximum=9)
    url = f"/admin/taskmaster_workers/workerpool/{pool.pk}/change/"
    page = browser.get(url).content.decode()
    assert "API_TOKEN" in page
    assert "hush" not in page
    assert 'name="environment"' not in page
    assert 'name="desired"' not in page
    fields = {
        "provider": "local", "desired": 7, "minimum": 0, "maximum": 8, "concurrency": 2,
        "executor": "thread", "queues": "", "environment": "{}", "stop_limit_s": 60,
        "target_wait_s": 10, "cool_down_s": 60,
    }  # fmt: skip
    assert browser.post(url, fields).status_code == 302
    pool.refresh_from_db()
    assert (pool.maximum, pool.desired, pool.environment) == (8, 0, {"API_TOKEN": "hush"})
