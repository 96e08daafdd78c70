"""Test the schema of the API and its documentation page."""

from __future__ import annotations

import io
import re
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from django.contrib.staticfiles import finders
from django.core.management import call_command
from rest_framework.test import APIClient

from taskmaster.tasks.schedules.fields import FIELDS
from tests.tasks.api.people import client_with
from tests.tasks.schedules.sample import ALL

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def schema() -> Any:
    """Return the schema as the command writes it; check that it has no warnings."""
    out = io.StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=out)
    return yaml.safe_load(out.getvalue())


def test_the_schema_is_valid_and_served_to_anyone(schema: Any) -> None:
    response = APIClient().get("/api/schema/")
    assert response.status_code == HTTPStatus.OK
    assert yaml.safe_load(response.content) == schema


def test_the_schema_names_every_operation(schema: Any) -> None:
    operations = {
        operation["operationId"]: f"{method} {path}"
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    }
    assert operations == {
        "root": "get /api/",
        "list_tasks": "get /api/tasks/",
        "submit_task": "post /api/tasks/",
        "submit_tasks": "post /api/tasks/bulk/",
        "get_task": "get /api/tasks/{task_id}/",
        "reschedule_task": "patch /api/tasks/{task_id}/",
        "get_task_output": "get /api/tasks/{task_id}/output/",
        "cancel_task": "post /api/tasks/{task_id}/cancel/",
        "retry_tasks": "post /api/tasks/retry/",
        "retry_task": "post /api/tasks/{task_id}/retry/",
        "list_operations": "get /api/operations/",
        "start_operation": "post /api/operations/",
        "get_operation": "get /api/operations/{operation_id}/",
        "confirm_operation": "post /api/operations/{operation_id}/confirm/",
        "cancel_operation": "post /api/operations/{operation_id}/cancel/",
        "list_schedules": "get /api/schedules/",
        "create_schedule": "post /api/schedules/",
        "preview_schedule": "post /api/schedules/preview/",
        "get_pause_of_all_schedules": "get /api/schedules/pause_all/",
        "pause_all_schedules": "post /api/schedules/pause_all/",
        "resume_all_schedules": "post /api/schedules/resume_all/",
        "get_schedule": "get /api/schedules/{schedule_id}/",
        "change_schedule": "patch /api/schedules/{schedule_id}/",
        "delete_schedule": "delete /api/schedules/{schedule_id}/",
        "preview_stored_schedule": "get /api/schedules/{schedule_id}/preview/",
        "run_schedule": "post /api/schedules/{schedule_id}/run/",
        "pause_schedule": "post /api/schedules/{schedule_id}/pause/",
        "resume_schedule": "post /api/schedules/{schedule_id}/resume/",
        "skip_next_run": "post /api/schedules/{schedule_id}/skip/",
        "backfill_schedule": "post /api/schedules/{schedule_id}/backfill/",
        "list_schedule_runs": "get /api/schedules/{schedule_id}/runs/",
        "stream_events": "get /api/logs/stream",
        "stream_task_events": "get /api/tasks/{task_id}/events/",
        "list_events": "get /api/events/",
        "get_stats": "get /api/stats/",
        "list_shards": "get /api/shards/",
        "list_workers": "get /api/workers/",
        "get_worker": "get /api/workers/{worker_id}/",
        "drain_worker": "post /api/workers/{worker_id}/drain/",
        "undrain_worker": "post /api/workers/{worker_id}/undrain/",
        "stop_worker": "post /api/workers/{worker_id}/stop/",
        "kill_worker": "post /api/workers/{worker_id}/kill/",
        "scale_pool": "post /api/workers/scale/",
        "list_pools": "get /api/pools/",
        "create_pool": "post /api/pools/",
        "get_pool": "get /api/pools/{name}/",
        "change_pool": "patch /api/pools/{name}/",
        "delete_pool": "delete /api/pools/{name}/",
        "obtain_token": "post /api/token/",
    }


@pytest.mark.parametrize(
    ("path", "names"),
    [
        (
            "/api/tasks/",
            "status queue name tag created_after created_before scheduled_after scheduled_before "
            "finished_after finished_before schedule q cursor page_size If-None-Match",
        ),
        ("/api/operations/", "state action user cursor page_size If-None-Match"),
        (
            "/api/schedules/",
            "name task queue source owner state cursor page_size If-None-Match",
        ),
        (
            "/api/schedules/{schedule_id}/runs/",
            "schedule_id kind state cursor page_size If-None-Match",
        ),
        ("/api/workers/", "status pool name cursor page_size If-None-Match"),
        ("/api/tasks/{task_id}/output/", "task_id attempt stream plain"),
    ],
)
def test_the_schema_lists_the_parameters_of_a_list(schema: Any, path: str, names: str) -> None:
    parameters = schema["paths"][path]["get"]["parameters"]
    assert {each["name"] for each in parameters} == set(names.split())


def test_the_schema_lists_if_none_match_and_idempotency_key(schema: Any) -> None:
    for path in (
        "/api/tasks/",
        "/api/tasks/{task_id}/",
        "/api/stats/",
        "/api/events/",
        "/api/operations/",
        "/api/schedules/",
        "/api/schedules/{schedule_id}/",
        "/api/schedules/{schedule_id}/runs/",
    ):
        operation = schema["paths"][path]["get"]
        assert operation["responses"].keys() >= {"200", "304"}
        assert "ETag" in operation["responses"]["200"]["headers"]
    for path in (
        "/api/tasks/",
        "/api/tasks/bulk/",
        "/api/schedules/",
        "/api/schedules/{schedule_id}/run/",
        "/api/schedules/{schedule_id}/backfill/",
    ):
        operation = schema["paths"][path]["post"]
        assert "Idempotency-Key" in {each["name"] for each in operation["parameters"]}
        status = "202" if path.endswith("/backfill/") else "201"
        assert "Idempotency-Replayed" in operation["responses"][status]["headers"]
        assert "422" in operation["responses"]


def test_a_submission_has_no_defaults_in_the_schema(schema: Any) -> None:
    fields = schema["components"]["schemas"]["NewTask"]["properties"]
    assert {"queue", "priority", "on_lost_contact", "tags"} <= set(fields)
    assert [name for name, field in fields.items() if "default" in field] == []


def test_the_schema_lists_the_errors_of_every_operation(schema: Any) -> None:
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            refusals = [code for code in operation["responses"] if code >= "400"]
            assert refusals, path
            for code in refusals:
                assert "application/problem+json" in operation["responses"][code]["content"]


def test_a_task_response_matches_the_schema(schema: Any, client: APIClient) -> None:
    body = {"name": "examples.tasks.add", "args": [1, 2]}
    shown = client.post("/api/tasks/", body, format="json").json()
    assert set(shown) == set(schema["components"]["schemas"]["Task"]["properties"])
    listed = client.get("/api/tasks/").json()["results"][0]
    assert set(listed) == set(schema["components"]["schemas"]["TaskRow"]["properties"])


def test_a_schedule_and_its_runs_match_the_schema(schema: Any) -> None:
    schemas = schema["components"]["schemas"]

    def properties(name: str) -> set[str]:
        return set(schemas[name]["properties"])

    client = client_with(*ALL)
    given = {"name": "sum", "task": "examples.tasks.add", "args": [1, 2], "cron": "0 3 * * *"}
    made = client.post("/api/schedules/", given, "json").json()
    assert set(made) == properties("CreatedSchedule")
    address = f"/api/schedules/{made['id']}/"
    assert set(client.get(address).json()) == properties("Schedule")
    [listed] = client.get("/api/schedules/").json()["results"]
    assert set(listed) == properties("ScheduleRow")
    shown = client.get(f"{address}preview/").json()
    assert set(shown) == properties("Preview")
    assert set(shown["rows"][0]) == properties("PreviewRow")
    assert set(client.post(f"{address}run/").json()) == properties("ScheduleRun")
    assert set(client.get("/api/schedules/pause_all/").json()) == properties("AllSchedules")
    assert properties("NewSchedule") == set(FIELDS)
    headers = schema["paths"]["/api/schedules/{schedule_id}/"]["patch"]["parameters"]
    assert "If-Match" in {each["name"] for each in headers}


def test_the_docs_load_nothing_from_other_hosts() -> None:
    page = APIClient().get("/api/docs/")
    assert page.status_code == HTTPStatus.OK
    html = page.content.decode()
    loaded = re.findall(r"""(?:src|href)=["']([^"']+)""", html)
    assert len(loaded) >= 3
    for address in loaded:
        parts = urlsplit(address)
        assert not parts.netloc, address
        if parts.path.startswith("/static/"):
            assert finders.find(parts.path.removeprefix("/static/")), address
    script = APIClient().get("/api/docs/?script=").content.decode()
    for address in re.findall(r"""https?://[^"'\s]+""", html + script):
        assert urlsplit(address).hostname == "testserver", address


def test_the_root_links_to_existing_urls(client: APIClient) -> None:
    links = client.get("/api/").json()
    assert set(links) == {
        "tasks", "bulk", "operations", "schedules", "workers", "pools", "stats", "shards", "events",
        "stream", "token", "schema", "docs",
    }  # fmt: skip
    for name, address in links.items():
        if name == "stream":
            continue  # Endless response.
        assert client.get(address).status_code not in (HTTPStatus.NOT_FOUND, 500), address
