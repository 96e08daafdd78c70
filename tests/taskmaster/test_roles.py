"""Walk every page and API endpoint as each role, and compare the answers with the table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, resolve

from taskmaster.roles import ADMIN as ADMIN_ROLE
from taskmaster.roles import ROLES, TABLE, VIEWER, permissions_of, roles_with
from taskmaster.tasks.bulk import backfill
from taskmaster.tasks.models import Operation, Task
from taskmaster.tasks.permissions import (
    ADD,
    CHANGE,
    CHANGE_SCHEDULE,
    DELETE,
    PAUSE_QUEUE,
    RUN_SCHEDULE,
    SUBMIT_SHELL,
    VIEW,
    VIEW_SCHEDULE,
)
from taskmaster.tasks.policies import pausing
from taskmaster.tasks.schedules import service
from taskmaster.workers import permissions as workers
from taskmaster.workers.models import WorkerPool
from tests.factories import a_worker, stored

pytestmark = pytest.mark.django_db

VIEW_WORKER = workers.VIEW
CALL = {"name": "examples.tasks.add", "args": [1, 2]}
SHELL = {"command": "true"}
HOURLY = {"task": "examples.tasks.add", "args": [1, 2], "cron": "0 * * * *"}
PAST = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T05:00:00Z"}
EDIT, RUN = (VIEW_SCHEDULE, CHANGE_SCHEDULE), (VIEW_SCHEDULE, RUN_SCHEDULE)
NO_ROLE, ANONYMOUS = "a user without a role", "an anonymous visitor"
#: Pages and endpoints that anyone may open, by URL name.
PUBLIC = {
    "login", "logout", "health", "console", "token", "schema", "docs", "not-found",
}  # fmt: skip


class Request(NamedTuple):
    """A request, and the permissions that it needs."""

    method: str
    address: str
    needs: tuple[str, ...]
    body: Any = None
    #: The fields of a form, in place of `body`.
    form: str = ""


PAGES = [
    Request("GET", "/", (VIEW,)),
    Request("GET", "/tasks/", (VIEW,)),
    Request("GET", "/dashboard/tasks/", (VIEW,)),
    Request("POST", "/pause/", (VIEW, PAUSE_QUEUE), form="kind=everything"),
    Request("POST", "/resume/", (VIEW, PAUSE_QUEUE), form="kind=queue&target=reports"),
    Request("GET", "/schedules/", (VIEW_SCHEDULE,)),
    Request("GET", "/schedules/{schedule}/", (VIEW_SCHEDULE,)),
    Request("GET", "/schedules/new/", EDIT),
    Request("GET", "/schedules/{schedule}/edit/", EDIT),
    Request("POST", "/schedules/preview/", EDIT),
    Request("POST", "/schedules/{schedule}/delete/", EDIT),
    Request("POST", "/schedules/pause/", RUN),
    Request("POST", "/schedules/resume/", RUN),
    *(
        Request("POST", f"/schedules/{{schedule}}/{verb}/", RUN)
        for verb in ("run", "pause", "resume", "skip", "backfill/preview")
    ),
    Request(
        "POST",
        "/schedules/{schedule}/backfill/",
        RUN,
        form="start=2026-01-01T00:00&end=2026-01-01T05:00&count=6",
    ),
    Request("POST", "/schedules/{schedule}/backfill/{backfill}/cancel/", RUN),
    Request("POST", "/schedules/{command}/run/", (*RUN, SUBMIT_SHELL)),
    Request("POST", "/schedules/{command}/resume/", (*RUN, SUBMIT_SHELL)),
    Request("GET", "/workers/", (VIEW_WORKER,)),
    Request("GET", "/tasks/{task}/", (VIEW,)),
    Request("POST", "/create/", (ADD,)),
    Request("POST", "/tasks/{task}/cancel/", (VIEW, CHANGE)),
    Request("POST", "/tasks/{failed}/retry/", (VIEW, CHANGE)),
    *(
        Request("POST", f"/workers/{{worker}}/{verb}/", (VIEW_WORKER, workers.CHANGE))
        for verb in ("drain", "undrain", "stop")
    ),
    Request("POST", "/workers/{worker}/kill/", (VIEW_WORKER, workers.KILL)),
    Request("POST", "/pools/herons/scale/2/", (VIEW_WORKER, workers.SCALE)),
]
API = [
    Request("GET", "/api/", ()),
    Request("GET", "/api/tasks/", (VIEW,)),
    Request("POST", "/api/tasks/", (ADD,), CALL),
    Request("POST", "/api/tasks/", (ADD, SUBMIT_SHELL), SHELL),
    Request("POST", "/api/tasks/bulk/", (ADD,), [CALL]),
    Request("POST", "/api/tasks/bulk/", (ADD, SUBMIT_SHELL), [CALL, SHELL]),
    Request("GET", "/api/tasks/{task}/", (VIEW,)),
    Request(
        "PATCH", "/api/tasks/{task}/", (VIEW, CHANGE), {"scheduled_at": "2099-01-01T00:00:00Z"}
    ),
    Request("GET", "/api/tasks/{task}/output/", (VIEW,)),
    Request("GET", "/api/tasks/{task}/events/", (VIEW,)),
    Request("POST", "/api/tasks/{task}/cancel/", (VIEW, CHANGE)),
    Request("POST", "/api/tasks/{failed}/retry/", (VIEW, CHANGE)),
    Request("POST", "/api/tasks/retry/", (VIEW, CHANGE), {"ids": ["FAILED"]}),
    Request("GET", "/api/operations/", (VIEW,)),
    Request("POST", "/api/operations/", (VIEW, CHANGE), {"action": "cancel", "filter": {}}),
    Request("POST", "/api/operations/", (VIEW, DELETE), {"action": "delete", "filter": {}}),
    Request("GET", "/api/operations/{operation}/", (VIEW,)),
    Request("POST", "/api/operations/{operation}/confirm/", (VIEW, CHANGE)),
    Request("POST", "/api/operations/{operation}/cancel/", (VIEW, CHANGE)),
    Request("GET", "/api/operations/{backfill}/", (VIEW_SCHEDULE,)),
    Request("POST", "/api/operations/{backfill}/cancel/", RUN),
    Request("GET", "/api/pauses/", (VIEW,)),
    Request("POST", "/api/pauses/", (VIEW, PAUSE_QUEUE), {"kind": "queue", "target": "mail"}),
    Request("DELETE", "/api/pauses/{pause}/", (VIEW, PAUSE_QUEUE)),
    Request("GET", "/api/schedules/", (VIEW_SCHEDULE,)),
    Request("POST", "/api/schedules/", EDIT, {"name": "new", **HOURLY}),
    Request(
        "POST",
        "/api/schedules/",
        (*EDIT, SUBMIT_SHELL),
        {"name": "new", "cron": "0 * * * *", **SHELL},
    ),
    Request("POST", "/api/schedules/preview/", EDIT, HOURLY),
    Request("GET", "/api/schedules/pause_all/", (VIEW_SCHEDULE,)),
    Request("POST", "/api/schedules/pause_all/", RUN),
    Request("POST", "/api/schedules/resume_all/", RUN),
    Request("GET", "/api/schedules/{schedule}/", (VIEW_SCHEDULE,)),
    Request("GET", "/api/schedules/{schedule}/preview/", (VIEW_SCHEDULE,)),
    Request("GET", "/api/schedules/{schedule}/runs/", (VIEW_SCHEDULE,)),
    Request("PATCH", "/api/schedules/{schedule}/", EDIT, {"priority": 1}),
    Request("PATCH", "/api/schedules/{schedule}/", (*EDIT, SUBMIT_SHELL), {**SHELL}),
    Request("DELETE", "/api/schedules/{schedule}/", EDIT),
    Request("POST", "/api/schedules/{schedule}/run/", RUN),
    Request("POST", "/api/schedules/{schedule}/pause/", RUN),
    Request("POST", "/api/schedules/{schedule}/resume/", RUN),
    Request("POST", "/api/schedules/{schedule}/skip/", RUN),
    Request("POST", "/api/schedules/{schedule}/backfill/", RUN, PAST),
    Request("POST", "/api/schedules/{schedule}/backfill/", RUN, {**PAST, "dry_run": True}),
    Request("PATCH", "/api/schedules/{command}/", (*EDIT, SUBMIT_SHELL), {"priority": 1}),
    Request("POST", "/api/schedules/{command}/run/", (*RUN, SUBMIT_SHELL)),
    Request("POST", "/api/schedules/{command}/resume/", (*RUN, SUBMIT_SHELL)),
    Request("POST", "/api/schedules/{command}/backfill/", (*RUN, SUBMIT_SHELL), PAST),
    Request("POST", "/api/schedules/{command}/pause/", RUN),
    Request("GET", "/api/logs/stream", (VIEW,)),
    Request("GET", "/api/logs/stream?channels=schedules", (VIEW_SCHEDULE,)),
    Request("GET", "/api/logs/stream?channels=dashboard-workers", (VIEW, VIEW_WORKER)),
    Request("GET", "/api/events/", (VIEW,)),
    Request("GET", "/api/stats/", (VIEW,)),
    Request("GET", "/api/shards/", (VIEW,)),
    Request("GET", "/shards/default/api/tasks/", (VIEW,)),
    Request("GET", "/metrics", (VIEW,)),
    Request("GET", "/api/workers/", (VIEW_WORKER,)),
    Request("GET", "/api/workers/{worker}/", (VIEW_WORKER,)),
    *(
        Request("POST", f"/api/workers/{{worker}}/{verb}/", (VIEW_WORKER, workers.CHANGE))
        for verb in ("drain", "undrain", "stop")
    ),
    Request("POST", "/api/workers/{worker}/kill/", (VIEW_WORKER, workers.KILL)),
    Request(
        "POST",
        "/api/workers/scale/",
        (VIEW_WORKER, workers.SCALE),
        {"pool": "herons", "count": 2},
    ),
    Request("GET", "/api/pools/", (VIEW_WORKER,)),
    Request("POST", "/api/pools/", (workers.ADD_POOL,), {"name": "storks", "maximum": 3}),
    Request("GET", "/api/pools/herons/", (VIEW_WORKER,)),
    Request("PATCH", "/api/pools/herons/", (VIEW_WORKER, workers.CHANGE_POOL), {"maximum": 9}),
    Request("PATCH", "/api/pools/herons/", (VIEW_WORKER, workers.SCALE), {"desired": 2}),
    Request(
        "PATCH",
        "/api/pools/herons/",
        (VIEW_WORKER, workers.CHANGE_POOL, workers.SET_ENVIRONMENT),
        {"environment": {}},
    ),
    Request("DELETE", "/api/pools/empty/", (VIEW_WORKER, workers.DELETE_POOL)),
]
#: Pages of the admin, which need staff status in addition.
ADMIN = [
    Request("GET", "/admin/taskmaster_tasks/task/", (VIEW,)),
    Request("GET", "/admin/taskmaster_tasks/task/add/", (ADD,)),
    Request("GET", "/admin/taskmaster_tasks/task/{task}/change/", (VIEW,)),
    Request("GET", "/admin/taskmaster_tasks/operation/", (VIEW,)),
    Request(
        "GET",
        "/admin/taskmaster_tasks/operation/{backfill}/change/",
        (VIEW, VIEW_SCHEDULE),
    ),
    Request("GET", "/admin/taskmaster_tasks/event/", (VIEW,)),
    Request("GET", "/admin/taskmaster_tasks/pause/", (VIEW,)),
    Request("GET", "/admin/taskmaster_tasks/pause/{pause}/change/", (VIEW,)),
    Request("GET", "/admin/taskmaster_tasks/schedule/", (VIEW_SCHEDULE,)),
    Request("GET", "/admin/taskmaster_tasks/schedule/{schedule}/change/", (VIEW_SCHEDULE,)),
    Request("GET", "/admin/taskmaster_workers/worker/", (VIEW_WORKER,)),
    Request("GET", "/admin/taskmaster_workers/workerpool/", (workers.VIEW_POOL,)),
    Request("GET", "/admin/taskmaster_workers/workerpool/add/", (workers.ADD_POOL,)),
    Request("GET", "/admin/taskmaster_workers/jointoken/", (workers.VIEW_TOKEN,)),
    Request("GET", "/admin/taskmaster_workers/jointoken/add/", (workers.MAKE_TOKEN,)),
    Request(
        "GET",
        "/admin/taskmaster_coordinator/coordinator/",
        ("taskmaster_coordinator.view_coordinator",),
    ),
]


@pytest.fixture
def user(db: None) -> User:
    return User.objects.create_user("eve", is_staff=True)


@pytest.fixture
def ids(user: User) -> dict[str, Any]:
    """Store the rows that the requests name, and return their ids."""
    task, failed = stored(2, name="examples.tasks.add", args="[1,2]", kwargs="{}")
    Task.objects.filter(pk=failed).update(status="failed")
    WorkerPool.objects.create(name="herons", desired=3, minimum=1, maximum=10)
    WorkerPool.objects.create(name="empty")
    operation = Operation.objects.create(
        action="cancel", filter={}, total=1, upper_id=task, created_by=user
    )
    hourly = service.create({"name": "hourly", **HOURLY}, user=None)
    command = service.create({"name": "command", "cron": "0 * * * *", **SHELL}, user=None)
    pause = pausing.pause("queue", "reports", "audit", user=None)
    return {
        "pause": pause.pk,
        "task": task,
        "failed": failed,
        "worker": a_worker().pk,
        "operation": operation.pk,
        "backfill": backfill.start(hourly, **PAST, user=None).pk,
        "schedule": hourly.pk,
        "command": command.pk,
    }


def send(browser: Client, request: Request, ids: dict[str, Any]) -> Any:
    """Send the request, and undo what it changed."""
    body = "" if request.body is None else json.dumps(request.body)
    with transaction.atomic():
        answer = browser.generic(
            request.method,
            request.address.format(**ids),
            request.form or body.replace('"FAILED"', str(ids["failed"])),
            content_type=(
                "application/x-www-form-urlencoded" if request.form else "application/json"
            ),
        )
        transaction.set_rollback(True)
    return answer


def outcome(answer: Any) -> str:
    """Classify the answer: allowed, refused, or a login is needed. Another error fails the test."""
    login = answer.headers.get("Location", "").partition("?")[0]
    if answer.status_code == HTTPStatus.UNAUTHORIZED or login in ("/login/", "/admin/login/"):
        return "login"
    if answer.status_code == HTTPStatus.FORBIDDEN:
        return "refused"
    # Without an ASGI server, a stream that is allowed answers 501.
    assert answer.status_code < 400 or answer.status_code == HTTPStatus.NOT_IMPLEMENTED, answer
    return "allowed"


@pytest.mark.parametrize("role", [*ROLES, NO_ROLE, ANONYMOUS])
def test_every_page_and_endpoint_answers_as_the_table_says(
    role: str, user: User, ids: dict[str, Any]
) -> None:
    browser = Client()
    if role in ROLES:
        user.groups.add(Group.objects.get(name=role))
    if role != ANONYMOUS:
        browser.force_login(user)
    has = permissions_of(role)
    wrong = []
    for request in (*PAGES, *API, *ADMIN):
        expected = "login" if role == ANONYMOUS else "refused"
        if role != ANONYMOUS and has >= set(request.needs):
            expected = "allowed"
        seen = outcome(send(browser, request, ids))
        if seen != expected:
            wrong.append(f"{request.method} {request.address}: {seen}, not {expected}")
    assert wrong == []


def test_every_permission_of_the_table_is_needed_somewhere() -> None:
    needed = {each for request in (*PAGES, *API, *ADMIN) for each in request.needs}
    # Revoking a token is an action of its list; tests/workers/admin/test_join_token.py covers it.
    assert {grant.permission for grant in TABLE} == needed | {workers.REVOKE_TOKEN}
    assert len({grant.permission for grant in TABLE}) == len(TABLE)
    assert all(roles_with(grant.permission) for grant in TABLE)


def test_every_url_is_walked_or_public() -> None:
    def names(resolver: URLResolver) -> Iterator[str]:
        for each in resolver.url_patterns:
            if isinstance(each, URLPattern):
                yield str(each.name)
            else:
                yield from names(each)

    [included] = [
        each
        for each in get_resolver().url_patterns
        if isinstance(each, URLResolver) and each.app_name == "taskmaster"
    ]
    example = {
        "task": 1,
        "failed": 1,
        "worker": UUID(int=1),
        "operation": 1,
        "schedule": 1,
        "pause": 1,
    }
    example["command"] = example["backfill"] = 1
    walked = {
        resolve(urlsplit(request.address.format(**example)).path).url_name
        for request in (*PAGES, *API)
    }
    assert set(names(included)) - {"None"} == walked | PUBLIC


def test_the_admin_has_every_permission_and_the_viewer_only_those_to_view() -> None:
    assert permissions_of(ADMIN_ROLE) == {grant.permission for grant in TABLE}
    assert all(".view_" in each for each in permissions_of(VIEWER))
    for role in ROLES:
        assert permissions_of(VIEWER) <= permissions_of(role)
