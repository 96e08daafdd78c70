"""Test GET /api/workers/ and the commands of workers."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from uuid import UUID, uuid4

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from tests.factories import a_worker
from tests.tasks.api.people import assert_problem, client_with

URL = "/api/workers/"


@pytest.fixture
def client(db: None) -> APIClient:
    """Return a client that can only view workers."""
    return client_with("taskmaster_workers.view_worker")


def test_draining_can_be_undone(db: None) -> None:
    worker = a_worker("one")
    operator = client_with("taskmaster_workers.view_worker", "taskmaster_workers.change_worker")
    drained = operator.post(f"{URL}{worker.id}/drain/")
    assert (drained.status_code, drained.json()["drain"]) == (HTTPStatus.OK, True)
    taken_back = operator.post(f"{URL}{worker.id}/undrain/")
    assert taken_back.json()["drain"] is False
    assert (
        client_with("taskmaster_workers.view_worker").post(f"{URL}{worker.id}/drain/").status_code
        == 403
    )
    worker.refresh_from_db()
    assert not worker.drain


def test_an_offline_or_unknown_worker_cannot_be_drained(db: None) -> None:
    gone = a_worker(status="offline")
    operator = client_with("taskmaster_workers.view_worker", "taskmaster_workers.change_worker")
    refused = operator.post(f"{URL}{gone.id}/drain/")
    assert_problem(refused, HTTPStatus.CONFLICT, "is offline; it cannot drain")
    unknown = operator.post(f"{URL}{uuid4()}/undrain/")
    assert_problem(unknown, HTTPStatus.NOT_FOUND, "There is no worker")


def test_stopping_and_killing_need_different_permissions(db: None) -> None:
    worker = a_worker("one")
    operator, killing = (
        client_with("taskmaster_workers.view_worker", "taskmaster_workers.change_worker"),
        client_with("taskmaster_workers.view_worker", "taskmaster_workers.kill_worker"),
    )
    assert_problem(killing.post(f"{URL}{worker.id}/stop/"), HTTPStatus.FORBIDDEN, "change_worker")
    assert_problem(operator.post(f"{URL}{worker.id}/kill/"), HTTPStatus.FORBIDDEN, "kill_worker")
    worker.refresh_from_db()
    assert worker.command == ""
    assert operator.post(f"{URL}{worker.id}/stop/").json()["command"] == "stop"
    assert killing.post(f"{URL}{worker.id}/kill/").json()["command"] == "kill"
    # The stronger command remains.
    assert operator.post(f"{URL}{worker.id}/stop/").json()["command"] == "kill"


def test_a_stopping_worker_cannot_be_undrained(db: None) -> None:
    worker = a_worker(drain=True)
    operator = client_with("taskmaster_workers.view_worker", "taskmaster_workers.change_worker")
    operator.post(f"{URL}{worker.id}/stop/")
    refused = operator.post(f"{URL}{worker.id}/undrain/")
    assert_problem(refused, HTTPStatus.CONFLICT, "was asked to stop")
    worker.refresh_from_db()
    assert worker.drain


@pytest.mark.parametrize("action", ["stop", "kill"])
def test_an_offline_or_unknown_worker_cannot_be_stopped_or_killed(db: None, action: str) -> None:
    gone = a_worker(status="offline")
    client = client_with(
        "taskmaster_workers.view_worker",
        "taskmaster_workers.change_worker",
        "taskmaster_workers.kill_worker",
    )
    refused = client.post(f"{URL}{gone.id}/{action}/")
    assert_problem(refused, HTTPStatus.CONFLICT, f"is offline; it cannot {action}")
    unknown = client.post(f"{URL}{uuid4()}/{action}/")
    assert_problem(unknown, HTTPStatus.NOT_FOUND, "There is no worker")
    gone.refresh_from_db()
    assert gone.command == ""


def test_a_worker_is_shown_in_the_list_and_by_id(client: APIClient) -> None:
    worker = a_worker(
        "one", queues=["q"], busy=3, rss_bytes=5_000_000_000, cpu=0.5, tasks_done=10, tasks_failed=1
    )
    shown = client.get(URL).json()["results"][0]
    # The list leaves out the task names. There may be thousands.
    assert {**shown, "tasks": None} == client.get(f"{URL}{worker.id}/").json()
    type(worker).objects.update(tasks=["shop.tasks.send"])
    assert client.get(f"{URL}{worker.id}/").json()["tasks"] == ["shop.tasks.send"]
    expected = {
        "id": str(worker.id),
        "name": "one",
        "status": "online",
        "executor": "thread",
        "queues": ["q"],
        "slots": 4,
        "busy": 3,
        "rss_bytes": 5_000_000_000,
        "cpu": 0.5,
        "tasks_done": 10,
        "tasks_failed": 1,
        "ended": "",
    }
    assert shown.items() >= expected.items()


def test_filter_by_status_name_and_pool(client: APIClient) -> None:
    a_worker("one", pool="birds")
    a_worker("two", status="offline")

    def names(query: str) -> list[str]:
        return [worker["name"] for worker in client.get(f"{URL}?{query}").json()["results"]]

    assert names("status=offline") == ["two"]
    assert names("status=online") == names("name=one") == ["one"]
    assert names("status=draining") == []
    assert (names("pool=birds"), names("pool=")) == (["one"], ["two", "one"])


def test_pages_neither_repeat_nor_skip_a_worker_while_others_register(client: APIClient) -> None:
    now = timezone.now()
    # Some have the same time, because they registered in one transaction.
    there = {
        str(a_worker(registered_at=now - timedelta(seconds=index // 4)).id) for index in range(12)
    }
    seen: list[str] = []
    address = f"{URL}?page_size=5"
    while address:
        page = client.get(address).json()
        seen += [worker["id"] for worker in page["results"]]
        a_worker(registered_at=timezone.now())
        address = page["next"]
    assert len(seen) == 12
    assert set(seen) == there


@pytest.mark.parametrize(
    ("query", "field"),
    [("status=gone", "status"), ("executor=thread", "executor"), ("cursor=x", "cursor")],
)
def test_an_invalid_query_is_refused_by_name(client: APIClient, query: str, field: str) -> None:
    assert_problem(client.get(f"{URL}?{query}"), HTTPStatus.BAD_REQUEST, field=field)


@pytest.mark.parametrize("worker_id", [str(UUID(int=0)), "5", "unknown"])
def test_an_unknown_worker_is_not_found(client: APIClient, worker_id: str) -> None:
    assert_problem(client.get(f"{URL}{worker_id}/"), HTTPStatus.NOT_FOUND)


@pytest.mark.django_db
def test_workers_need_authentication_and_a_permission() -> None:
    worker = a_worker("one")
    for address in (URL, f"{URL}{worker.id}/"):
        assert_problem(APIClient().get(address), HTTPStatus.UNAUTHORIZED)
        refused = client_with("taskmaster_tasks.view_task").get(address)
        assert_problem(refused, HTTPStatus.FORBIDDEN, "taskmaster_workers.view_worker")
