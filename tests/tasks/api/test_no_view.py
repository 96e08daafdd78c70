"""Test that a user without the permission to view learns nothing from a change."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from taskmaster.tasks.events import channels
from taskmaster.tasks.models import Operation, Task
from taskmaster.workers.models import WorkerPool
from tests.factories import a_worker, in_s, stored, user_with
from tests.tasks.api.people import assert_problem, client_with

pytestmark = pytest.mark.django_db

SECRET = "pa55word"
#: Every permission except those to view.
BLIND = (
    *(f"taskmaster_tasks.{name}" for name in ("add_task", "change_task", "delete_task")),
    "taskmaster_tasks.submit_shell",
    *(f"taskmaster_workers.{name}" for name in ("change_worker", "kill_worker", "scale_pool")),
    *(f"taskmaster_workers.{name}_workerpool" for name in ("add", "change", "delete")),
    "taskmaster_workers.set_pool_environment",
)
VIEW_TASK, VIEW_WORKER = "taskmaster_tasks.view_task", "taskmaster_workers.view_worker"


@pytest.fixture
def client() -> APIClient:
    return client_with(*BLIND)


@pytest.mark.parametrize("status", ["pending", "failed", "complete", None])
def test_no_change_of_a_task_shows_anything(client: APIClient, status: str | None) -> None:
    task_id = 10**9
    if status is not None:
        [task_id] = stored(kwargs=f'{{"command":"{SECRET}"}}')
        Task.objects.update(status=status, errors=[{"message": SECRET}])
    before = list(Task.objects.values())
    later = in_s(3_600).isoformat()
    answers = [
        client.patch(f"/api/tasks/{task_id}/", {"scheduled_at": later}, "json"),
        client.post(f"/api/tasks/{task_id}/cancel/"),
        client.post(f"/api/tasks/{task_id}/retry/"),
        client.post("/api/tasks/retry/", {"ids": [task_id]}, "json"),
        *(
            client.post("/api/operations/", {"action": action, "filter": {}, **more}, "json")
            for action in ("cancel", "retry", "run_now", "delete")
            for more in ({}, {"dry_run": True}, {"confirm": False}, {"filter": {"q": SECRET}})
        ),
    ]
    for answer in answers:
        assert_problem(answer, HTTPStatus.FORBIDDEN, VIEW_TASK)
        assert SECRET not in answer.content.decode()
    assert list(Task.objects.values()) == before
    assert not Operation.objects.exists()


def test_an_operation_is_neither_shown_nor_changed(client: APIClient) -> None:
    known = client_with(VIEW_TASK, "taskmaster_tasks.change_task").post(
        "/api/operations/", {"action": "cancel", "filter": {}, "confirm": False}, "json"
    )
    for number in (known.json()["id"], 10**9):
        for way in ("confirm", "cancel"):
            answer = client.post(f"/api/operations/{number}/{way}/")
            assert_problem(answer, HTTPStatus.FORBIDDEN, VIEW_TASK)


def test_a_submission_answers_with_the_id_only(client: APIClient) -> None:
    answer = client.post("/api/tasks/", {"command": SECRET}, "json")
    assert answer.status_code == HTTPStatus.CREATED
    assert answer.json() == {"id": Task.objects.get().pk}


def test_no_change_of_a_worker_or_a_pool_shows_anything(client: APIClient) -> None:
    worker = a_worker(SECRET)
    WorkerPool.objects.create(name="herons", error=SECRET, last_log=SECRET)
    for answer in (
        *(
            client.post(f"/api/workers/{worker.pk}/{way}/")
            for way in ("drain", "undrain", "stop", "kill")
        ),
        *(
            client.post("/api/workers/scale/", {"pool": name, "count": count}, "json")
            for name in ("herons", "unknown")
            for count in (1, 10**6)
        ),
        client.patch("/api/pools/herons/", {"desired": 1}, "json"),
        client.patch("/api/pools/herons/", {"maximum": 9}, "json"),
        client.patch("/api/pools/unknown/", {}, "json"),
        client.delete("/api/pools/herons/"),
    ):
        assert_problem(answer, HTTPStatus.FORBIDDEN, VIEW_WORKER)
        assert SECRET not in answer.content.decode()
    made = client.post("/api/pools/", {"name": "storks"}, "json")
    assert (made.status_code, made.json()) == (HTTPStatus.CREATED, {"name": "storks"})


def test_pages_and_the_admin_show_nothing() -> None:
    user = user_with(*BLIND)
    user.is_staff = True
    user.save()
    browser = Client()
    browser.force_login(user)
    [task_id] = stored(kwargs=f'{{"command":"{SECRET}"}}')
    worker = a_worker(SECRET)
    pool = WorkerPool.objects.create(name="herons", error=SECRET)
    site = "admin:taskmaster_"
    refused: list[Any] = [
        browser.get(reverse(f"{site}tasks_task_changelist")),
        browser.get(reverse(f"{site}tasks_task_change", args=[task_id])),
        browser.get(reverse(f"{site}tasks_task_history", args=[task_id])),
        browser.post(reverse(f"{site}tasks_task_cancel", args=[task_id])),
        browser.post(reverse(f"{site}tasks_task_retry", args=[task_id])),
        browser.post(
            reverse(f"{site}tasks_task_changelist"),
            {"action": "cancel", "_selected_action": [task_id]},
        ),
        browser.get(reverse(f"{site}tasks_event_changelist")),
        browser.get(reverse(f"{site}workers_worker_change", args=[worker.pk])),
        browser.get(reverse(f"{site}workers_workerpool_changelist")),
        browser.get(reverse(f"{site}workers_workerpool_change", args=[pool.pk])),
        browser.get(reverse(f"{site}workers_workerpool_delete", args=[pool.pk])),
        browser.post(f"/tasks/{task_id}/cancel/"),
        browser.post(f"/tasks/{task_id}/retry/"),
        browser.post(f"/workers/{worker.pk}/drain/"),
        browser.post("/pools/herons/scale/3/"),
    ]
    for answer in refused:
        assert answer.status_code == HTTPStatus.FORBIDDEN, answer.request["PATH_INFO"]
        assert SECRET not in answer.content.decode()
    assert Task.objects.get().status == "pending"


def test_a_worker_channel_shows_errors_of_tasks_and_needs_both_permissions() -> None:
    needed = channels.permissions("worker-6f1c9c7e-0d3b-4a58-9f0e-3b1f6a1f2c55")
    assert set(needed) == {VIEW_TASK, VIEW_WORKER}
