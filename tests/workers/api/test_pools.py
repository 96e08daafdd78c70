"""Test pools by REST."""

from __future__ import annotations

import json
from http import HTTPStatus
from urllib.parse import quote
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from taskmaster.tasks.events.publish import drain
from taskmaster.tasks.models import Event
from taskmaster.workers.models import Worker, WorkerPool
from tests.tasks.api.people import assert_problem, client_with

SCALE = "/api/workers/scale/"
URL = "/api/pools/"


@pytest.fixture
def herons(db: None) -> WorkerPool:
    return WorkerPool.objects.create(name="herons", desired=3, minimum=1, maximum=10)


@pytest.fixture
def client(db: None) -> APIClient:
    """Return a client with all permissions on pools."""
    return client_with(
        "taskmaster_workers.view_worker",
        "taskmaster_workers.scale_pool",
        "taskmaster_workers.add_workerpool",
        "taskmaster_workers.change_workerpool",
        "taskmaster_workers.delete_workerpool",
        "taskmaster_workers.set_pool_environment",
    )


def desired() -> int:
    return WorkerPool.objects.values_list("desired", flat=True).get(name="herons")


@pytest.mark.parametrize("url", [SCALE, SCALE.rstrip("/")])
def test_scaling_changes_the_desired_number(herons: WorkerPool, url: str) -> None:
    scaling = client_with("taskmaster_workers.view_worker", "taskmaster_workers.scale_pool")
    answer = scaling.post(url, {"count": 10, "pool": "herons"}, format="json")
    assert (answer.status_code, answer.json()["desired"]) == (HTTPStatus.OK, 10)
    assert desired() == 10


def test_scaling_without_a_name_scales_the_default_pool(db: None) -> None:
    WorkerPool.objects.get_or_create(name="default")
    client_with("taskmaster_workers.view_worker", "taskmaster_workers.scale_pool").post(
        SCALE, {"count": 2}, format="json"
    )
    assert WorkerPool.objects.get(name="default").desired == 2


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"count": -1}, "count", "is -1; it must be a whole number from 1 to 10"),
        ({"count": 2.5}, "count", "is 2.5"),
        ({"count": 2.0}, "count", "is 2.0"),
        ({"count": True}, "count", "is True"),
        ({"count": "3"}, "count", "is '3'"),
        ({"count": None}, "count", "is None"),
        ({"count": 11}, "count", "from 1 to 10"),
        ({"count": 0}, "count", "from 1 to 10"),
        ({"count": 10**30}, "count", "from 1 to 10"),
        ({}, "count", "is required"),
        ({"count": 3, "force": True}, "force", "unknown field"),
    ],
)
def test_an_invalid_count_is_refused_and_nothing_changes(
    herons: WorkerPool, client: APIClient, body: dict[str, object], field: str, message: str
) -> None:
    answer = client.post(SCALE, {"pool": "herons", **body}, format="json")
    assert_problem(answer, HTTPStatus.BAD_REQUEST, message, field=field)
    assert desired() == 3


def test_an_unknown_pool_or_a_missing_provider_is_an_error(
    herons: WorkerPool, client: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = client.post(SCALE, {"count": 2, "pool": "storks"}, format="json")
    assert_problem(answer, HTTPStatus.NOT_FOUND, "There is no pool storks.")
    assert_problem(
        client.post(SCALE, {"count": 2, "pool": 7}, format="json"),
        HTTPStatus.BAD_REQUEST,
        field="pool",
    )
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent")
    WorkerPool.objects.update(provider="compose")
    answer = client.post(SCALE, {"count": 2, "pool": "herons"}, format="json")
    assert_problem(answer, HTTPStatus.SERVICE_UNAVAILABLE)
    assert desired() == 3


def test_each_action_needs_its_own_permission(herons: WorkerPool) -> None:
    viewer = client_with("taskmaster_workers.view_worker")
    assert viewer.get(f"{URL}herons/").json()["desired"] == 3
    refused = viewer.post(SCALE, {"count": 4, "pool": "herons"}, format="json")
    assert_problem(refused, HTTPStatus.FORBIDDEN, "taskmaster_workers.scale_pool")
    scaler = client_with("taskmaster_workers.view_worker", "taskmaster_workers.scale_pool")
    assert scaler.patch(f"{URL}herons/", {"desired": 4}, format="json").status_code == 200
    refused = scaler.patch(f"{URL}herons/", {"desired": 5, "maximum": 9}, format="json")
    assert_problem(refused, HTTPStatus.FORBIDDEN, "taskmaster_workers.change_workerpool")
    refused = scaler.post(URL, {"name": "storks"}, format="json")
    assert_problem(refused, HTTPStatus.FORBIDDEN, "taskmaster_workers.add_workerpool")
    refused = scaler.delete(f"{URL}herons/")
    assert_problem(refused, HTTPStatus.FORBIDDEN, "taskmaster_workers.delete_workerpool")
    blind = client_with("taskmaster_workers.scale_pool")
    assert_problem(blind.get(URL), HTTPStatus.FORBIDDEN, "taskmaster_workers.view_worker")
    assert_problem(APIClient().post(SCALE, {"count": 1}), HTTPStatus.UNAUTHORIZED)
    assert desired() == 4


def test_a_pool_is_created_changed_and_deleted(client: APIClient) -> None:
    fields = {
        "name": "storks",
        "desired": 2,
        "maximum": 5,
        "executor": "thread",
        "concurrency": 8,
        "queues": ["a", "b"],
        "environment": {"TZ": "UTC", "API_TOKEN": "hush"},
        "stop_limit_s": 60,
    }
    made = client.post(URL, fields, format="json")
    assert made.status_code == HTTPStatus.CREATED
    assert made.json().items() >= {
        **fields, "environment": {"TZ": "UTC", "API_TOKEN": "********"}, "state": "steady"
    }.items()  # fmt: skip
    assert "storks" in [pool["name"] for pool in client.get(URL).json()["results"]]
    assert_problem(client.post(URL, fields, format="json"), HTTPStatus.CONFLICT, "already exists")
    # The placeholder of a hidden value keeps the stored value.
    environment = {"TZ": "CET", "API_TOKEN": "********"}
    client.patch(f"{URL}storks/", {"environment": environment}, format="json")
    stored = WorkerPool.objects.get(name="storks")
    assert stored.environment == {"TZ": "CET", "API_TOKEN": "hush"}
    assert_problem(client.delete(f"{URL}storks/"), HTTPStatus.CONFLICT, "scale it to 0")
    client.patch(f"{URL}storks/", {"desired": 0}, format="json")
    worker = Worker.objects.create(
        id=uuid4(), name="s", host="h", pid=1, executor="thread", pool="storks", slots=1
    )
    assert_problem(client.delete(f"{URL}storks/"), HTTPStatus.CONFLICT, "1 running")
    moved = client.patch(f"{URL}storks/", {"provider": "compose"}, format="json")
    assert_problem(moved, HTTPStatus.CONFLICT, "to change its provider")
    worker.delete()
    assert client.delete(f"{URL}storks/").status_code == HTTPStatus.NO_CONTENT
    assert_problem(client.get(f"{URL}storks/"), HTTPStatus.NOT_FOUND, "no pool storks")


@pytest.mark.parametrize("name", ["\0", "\ud800", "a b"])
def test_an_invalid_name_is_not_found(client: APIClient, name: str) -> None:
    body = json.dumps({"count": 1, "pool": name})
    scaled = client.post(SCALE, body, content_type="application/json")
    assert_problem(scaled, HTTPStatus.NOT_FOUND, f"There is no pool {name!a}.")
    url = f"{URL}{quote(name, errors='replace')}/"
    for answer in (client.get(url), client.patch(url, {}, format="json"), client.delete(url)):
        assert answer.status_code == HTTPStatus.NOT_FOUND


@pytest.mark.parametrize(
    "name",
    ["DB_PASS", "SMTP_PWD", "TASKMASTER_DATABASE_DIRECT_URL", "TASKMASTER_SHARDS", "sentry_dsn"],
)
def test_values_with_names_like_passwords_are_hidden(
    herons: WorkerPool, client: APIClient, name: str
) -> None:
    WorkerPool.objects.update(environment={name: "hush", "TZ": "UTC"})
    shown = client.get(f"{URL}herons/").json()["environment"]
    assert shown == {name: "********", "TZ": "UTC"}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "Storks"}, "name"),
        ({"name": "-a"}, "name"),
        ({"name": "a\n"}, "name"),
        ({"provider": "nomad"}, "provider"),
        ({"desired": 9}, "desired"),
        ({"desired": 1, "minimum": 2}, "desired"),
        ({"minimum": 6}, "minimum"),
        ({"concurrency": 0}, "concurrency"),
        ({"executor": ["process"]}, "executor"),
        ({"queues": ["a b"]}, "queues.queue"),
        ({"environment": {"A": 1}}, "environment.A"),
        ({"environment": {"A=B": "1"}}, "environment.A=B"),
        ({"environment": {"TASKMASTER_SHUTDOWN_GRACE_S": "1"}},
         "environment.TASKMASTER_SHUTDOWN_GRACE_S"),
        ({"stop_limit_s": -1}, "stop_limit_s"),
        ({"stop_limit_s": "soon"}, "stop_limit_s"),
        ({"stop_limit_s": 10**400}, "stop_limit_s"),
        ({"target_wait_s": 0}, "target_wait_s"),
        ({"environment": {"A": "\ud800"}}, "environment.A"),
        ({"autoscale": 1}, "autoscale"),
        ({"actual": 3}, "actual"),
    ],
)  # fmt: skip
def test_an_invalid_field_is_named(
    client: APIClient, fields: dict[str, object], field: str
) -> None:
    body = json.dumps({"name": "storks", "maximum": 5, **fields})
    answer = client.post(URL, body, content_type="application/json")
    assert_problem(answer, HTTPStatus.BAD_REQUEST, field=field)
    assert not WorkerPool.objects.filter(name="storks").exists()


@pytest.mark.django_db(transaction=True)
def test_the_activity_log_names_the_user_who_scaled() -> None:
    WorkerPool.objects.create(name="herons", desired=3)
    scaling = client_with("taskmaster_workers.view_worker", "taskmaster_workers.scale_pool")
    for _ in range(2):
        scaling.post(SCALE, {"count": 10, "pool": "herons"}, format="json")
    assert drain()
    [event] = Event.objects.filter(kind="operator")
    assert event.text == "scaled pool herons: 3 → 10"
    assert event.user.startswith("user-")


VIEW = "taskmaster_workers.view_worker"
ADD, CHANGE = "taskmaster_workers.add_workerpool", "taskmaster_workers.change_workerpool"
SCALING, SETTING = "taskmaster_workers.scale_pool", "taskmaster_workers.set_pool_environment"
#: Fields of a change, and the permissions that it needs.
CHANGES = [
    ({"desired": 5}, {SCALING}),
    ({"maximum": 20}, {CHANGE}),
    ({"desired": 5, "maximum": 20}, {SCALING, CHANGE}),
    ({"environment": {"TZ": "CET"}}, {SETTING, CHANGE}),
    ({"environment": {}, "desired": 5}, {SETTING, CHANGE, SCALING}),
    ({}, {CHANGE}),
]


@pytest.mark.parametrize(("fields", "needed"), CHANGES)
def test_each_field_of_a_change_needs_its_own_permission(
    herons: WorkerPool, fields: dict[str, object], needed: set[str]
) -> None:
    everything = {VIEW, SCALING, CHANGE, SETTING, ADD}
    for missing in (VIEW, *needed):
        answer = client_with(*(everything - {missing})).patch(f"{URL}herons/", fields, "json")
        assert_problem(answer, HTTPStatus.FORBIDDEN, missing)
    before = WorkerPool.objects.values().get(name="herons")
    assert (before["desired"], before["maximum"], before["environment"]) == (3, 10, {})
    allowed = client_with(VIEW, *needed).patch(f"{URL}herons/", fields, "json")
    assert allowed.status_code == HTTPStatus.OK


@pytest.mark.parametrize(
    ("fields", "needed"),
    [
        ({}, {ADD}),
        ({"desired": 0, "maximum": 3}, {ADD}),
        ({"desired": 1}, {ADD, SCALING}),
        ({"minimum": 1}, {ADD, SCALING}),
        ({"environment": {"TZ": "CET"}}, {ADD, SETTING}),
    ],
)
def test_each_field_of_a_new_pool_needs_its_own_permission(
    db: None, fields: dict[str, object], needed: set[str]
) -> None:
    body = {"name": "storks", **fields}
    for missing in needed:
        answer = client_with(*({SCALING, SETTING, ADD} - {missing})).post(URL, body, "json")
        assert_problem(answer, HTTPStatus.FORBIDDEN, missing)
    assert not WorkerPool.objects.filter(name="storks").exists()
    assert client_with(*needed).post(URL, body, "json").status_code == HTTPStatus.CREATED


@pytest.mark.parametrize(
    "name", ["PYTHONWARNINGS", "PYTHONPATH", "LD_PRELOAD", "TASKMASTER_COORDINATORS", "DOCKER_HOST"]
)
def test_a_variable_that_the_setting_does_not_list_is_refused(
    herons: WorkerPool, client: APIClient, name: str
) -> None:
    answer = client.patch(f"{URL}herons/", {"environment": {name: "x"}}, "json")
    rule = "which lists the variables that a pool may set: API_TOKEN, TASKMASTER_TASK_MODULES, TZ."
    assert_problem(answer, HTTPStatus.BAD_REQUEST, rule, field=f"environment.{name}")
    herons.refresh_from_db()
    assert herons.environment == {}
