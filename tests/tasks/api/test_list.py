"""Test GET /api/tasks/: filters and pages."""

from __future__ import annotations

import base64
from http import HTTPStatus
from urllib.parse import urlencode

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from taskmaster.tasks.lifecycle import Status
from taskmaster.tasks.models import Task
from tests.factories import in_s, stored
from tests.schedule_rows import a_run, nightly
from tests.tasks.api.people import assert_problem, client_with

URL = "/api/tasks/"


def ids(client: APIClient, **query: object) -> list[int]:
    """Return the ids on the first page of this query, in order."""
    response = client.get(f"{URL}?{urlencode(query)}")
    assert response.status_code == HTTPStatus.OK, response.content
    return [task["id"] for task in response.json()["results"]]


def cursor(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_lists_the_newest_first_without_arguments_and_results(client: APIClient) -> None:
    first, second = stored(2)
    body = client.get(URL).json()
    assert set(body) == {"next", "previous", "results"}
    assert [task["id"] for task in body["results"]] == [second, first]
    shown = body["results"][0]
    assert shown.keys() >= {"name", "status", "queue", "tags", "attempt", "worker", "created_at"}
    assert not shown.keys() & {"args", "kwargs", "result", "errors", "lease", "coordinator"}


def test_a_failed_task_names_its_error(client: APIClient) -> None:
    failed, complete, _ = stored(3)
    error = {"class": "raised", "exception": "builtins.OSError", "message": "disk full\nsecond"}
    Task.objects.update(errors=[error], status="complete")
    Task.objects.filter(pk=failed).update(status="failed")
    Task.objects.exclude(pk__in=[failed, complete]).update(errors=[], status="pending")
    listed = {task["id"]: task["error"] for task in client.get(URL).json()["results"]}
    assert [listed[failed], listed[complete]] == ["OSError: disk full", None]
    assert set(listed.values()) == {"OSError: disk full", None}
    assert client.get(f"{URL}{failed}/").json()["error"] == "OSError: disk full"


def test_filter_by_status(client: APIClient) -> None:
    by_status = dict(zip(Status, stored(len(Status)), strict=True))
    for status, task_id in by_status.items():
        Task.objects.filter(pk=task_id).update(status=status)
    for status, task_id in by_status.items():
        assert ids(client, status=status.value) == [task_id]
    both = [by_status[Status.FAILED], by_status[Status.COMPLETE]]
    assert ids(client, status="failed,complete") == sorted(both, reverse=True)
    assert len(ids(client, status="")) == len(Status)


def test_filter_by_queue_name_and_tag(client: APIClient) -> None:
    one = stored(queue="red")[0]
    two = stored(name="examples.tasks.add", kwargs="{}")[0]
    three = stored(tags=("nightly", "b"))[0]
    assert ids(client, queue="red") == [one]
    assert ids(client, name="examples.tasks.add") == [two]
    assert ids(client, tag="nightly") == ids(client, tag="b") == [three]
    assert ids(client, tag="night") == ids(client, queue="re") == ids(client, queue="gone") == []
    assert ids(client, queue="default", name="shell") == [three]


def test_filter_by_schedule(client: APIClient) -> None:
    url = f"{URL}?schedule="
    permitted = client_with("taskmaster_tasks.view_task", "taskmaster_tasks.view_schedule")
    nightly_run = a_run(nightly("nightly"), in_s(-60), status="failed").task_id
    a_run(nightly("other"), in_s(-60), status="failed")
    assert ids(permitted, schedule="nightly") == [nightly_run]
    assert ids(permitted, schedule="nightly", status="complete") == []
    unknown = permitted.get(f"{url}night")
    assert_problem(
        unknown, HTTPStatus.BAD_REQUEST, "No schedule has the name night.", field="schedule"
    )


def test_without_the_permission_the_filter_does_not_tell_whether_a_schedule_exists(
    client: APIClient,
) -> None:
    nightly("nightly")
    answers = [client.get(f"{URL}?schedule={name}") for name in ("nightly", "unknown")]
    for answer in answers:
        assert_problem(answer, HTTPStatus.FORBIDDEN, "taskmaster_tasks.view_schedule")
    assert answers[0].json() == answers[1].json()


def test_filter_by_creation(client: APIClient) -> None:
    task_id = stored()[0]
    moment = Task.objects.get().created_at
    assert ids(client, created_after=moment.isoformat()) == [task_id]
    assert ids(client, created_before=moment.isoformat()) == []
    assert ids(client, created_before=in_s(60).isoformat()) == [task_id]
    assert ids(client, created_after=in_s(60).isoformat()) == []


def test_filter_by_scheduled_time_in_any_zone(client: APIClient) -> None:
    now = stored()[0]
    later = stored(scheduled_at=in_s(7200))[0]
    assert ids(client, scheduled_after=in_s(3600).isoformat()) == [later]
    assert ids(client, scheduled_before=in_s(3600).astimezone(None).isoformat()) == [now]
    assert ids(client, scheduled_after="0001-01-01T00:00:00+14:00") == [later, now]
    assert ids(client, scheduled_after="9999-12-31T23:59:59-14:00") == []


@pytest.mark.parametrize(
    ("status", "field"),
    [("complete", "completed_at"), ("failed", "failed_at"), ("cancelled", "cancelled_at")],
)
def test_filter_by_end(client: APIClient, status: str, field: str) -> None:
    ended, _ = stored(2)
    Task.objects.filter(pk=ended).update(status=status, **{field: timezone.now()})
    assert ids(client, finished_after=in_s(-60).isoformat()) == [ended]
    assert ids(client, finished_before=in_s(60).isoformat()) == [ended]
    assert ids(client, finished_after=in_s(60).isoformat()) == []


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        ("colour=red", "colour", "unknown filter; valid filters are created_after"),
        ("status__in=failed", "status__in", "unknown filter"),
        ("offset=10", "offset", "unknown filter"),
        ("status=done", "status", "done"),
        ("status=failed,done", "status", "done"),
        ("created_after=yesterday", "created_after", "time with a time zone"),
        ("created_after=2030-01-01T00:00:00", "created_after", "time with a time zone"),
        ("created_after=2030-01-01T00:00:00+01:00", "created_after", "%2B"),
        ("finished_before=2030-13-01T00:00:00Z", "finished_before", "time with a time zone"),
        ("status=%25s", "status", "%s is not"),
        ("tag=%00", "tag", "Null characters"),
        ("page_size=0", "page_size", "from 1 to 500"),
        ("page_size=501", "page_size", "from 1 to 500"),
        ("page_size=ten", "page_size", "from 1 to 500"),
        ("page_size=-1", "page_size", "from 1 to 500"),
        ("page_size=" + "9" * 5000, "page_size", "from 1 to 500"),
        ("cursor=nonsense", "cursor", "is invalid; take it from"),
        ("cursor=%FF", "cursor", "is invalid; take it from"),
        (f"cursor={cursor('p=abc')}", "cursor", "is invalid; take it from"),
        (f"cursor={cursor('p=5&o=x')}", "cursor", "is invalid; take it from"),
    ],
)
def test_an_invalid_query_is_refused_by_name(
    client: APIClient, query: str, field: str, message: str
) -> None:
    assert_problem(client.get(f"{URL}?{query}"), HTTPStatus.BAD_REQUEST, message, field=field)


def test_a_cursor_beyond_all_rows_returns_an_empty_page(client: APIClient) -> None:
    stored()
    assert ids(client, cursor=cursor("p=0")) == []


def test_pages_neither_repeat_nor_skip_a_task_while_others_are_stored(client: APIClient) -> None:
    there = stored(25)
    seen: list[int] = []
    address = f"{URL}?page_size=10&queue=default"
    while address:
        page = client.get(address).json()
        seen += [task["id"] for task in page["results"]]
        stored(7)
        address = page["next"]
    assert seen == sorted(there, reverse=True)


def test_previous_pages_have_the_same_tasks(client: APIClient) -> None:
    there = sorted(stored(30), reverse=True)
    first = client.get(f"{URL}?page_size=10").json()
    second = client.get(first["next"]).json()
    third = client.get(second["next"]).json()
    assert third["next"] is None
    assert first["previous"] is None
    stored(5)
    back = client.get(third["previous"]).json()
    assert [task["id"] for task in back["results"]] == there[10:20]
    assert back["results"] == second["results"]


def test_the_number_of_queries_does_not_depend_on_the_page_size(
    client: APIClient, django_assert_max_num_queries: pytest.FixtureRequest
) -> None:
    stored(60)
    # Queries: the token with its user, the permissions of the user and of the groups, the page.
    with django_assert_max_num_queries(4):  # type: ignore[operator]
        assert len(ids(client, page_size=60)) == 60
