"""Test /api/schedules/: create, list, show, change, delete and preview."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth import get_user_model
from rest_framework.test import APIClient

from taskmaster.tasks import fleet
from taskmaster.tasks.models import Schedule
from taskmaster.tasks.permissions import SUBMIT_SHELL
from taskmaster.tasks.schedules import service
from tests.tasks.api.people import assert_problem, client_with
from tests.tasks.schedules.sample import ADD, ALL, ahead, created, fields

pytestmark = pytest.mark.django_db

URL = "/api/schedules/"


@pytest.fixture
def client() -> APIClient:
    return client_with(*ALL)


def address(schedule: Schedule) -> str:
    return f"{URL}{schedule.pk}/"


def names(client: APIClient, **query: object) -> list[str]:
    """Return the names on the first page of this query, in order."""
    response = client.get(f"{URL}?{urlencode(query)}")
    assert response.status_code == HTTPStatus.OK, response.content
    return [each["name"] for each in response.json()["results"]]


def test_a_created_schedule_is_shown_with_its_words_and_next_run(client: APIClient) -> None:
    given = {
        "name": "nightly",
        "task": ADD,
        "args": [1, 2.0],
        "queue": "mail",
        "cron": "30 2 * * *",
        "timezone": "Europe/Berlin",
        "overlap": "skip",
    }
    made = client.post(URL, given, "json")
    assert made.status_code == HTTPStatus.CREATED, made.content
    schedule = Schedule.objects.get()
    assert made["Location"].endswith(address(schedule))
    shown = made.json()
    assert shown.pop("notice") == ""
    assert shown == client.get(address(schedule)).json()
    assert {name: shown[name] for name in given} == given
    assert (shown["words"], shown["state"]) == ("every day at 02:30", "active")
    assert shown["owner"] == schedule.owner.get_username()  # type: ignore[union-attr]
    assert shown["next_due_at"] == shown["next_run_at"]
    assert shown["interval_s"] is shown["dates"] is shown["priority"] is shown["tags"] is None
    assert (shown["trigger"], shown["missed"], shown["version"]) == ("cron", "latest", 0)


def test_a_repeated_key_creates_a_schedule_only_once(client: APIClient) -> None:
    given = fields()
    for replayed in (None, "true"):
        made = client.post(URL, given, "json", headers={"Idempotency-Key": "abc"})
        assert (made.status_code, made.get("Idempotency-Replayed")) == (201, replayed)
    assert Schedule.objects.count() == 1
    again = client.post(URL, given, "json")
    assert_problem(again, HTTPStatus.CONFLICT, f"Schedule {given['name']} already exists")


def test_a_task_that_only_workers_know_gives_a_notice(
    client: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "is_announced", lambda _: True)
    made = client.post(URL, fields(task="newcode.fresh"), "json").json()
    assert made["notice"].startswith("Only workers know newcode.fresh")


@pytest.mark.parametrize(
    ("changes", "field", "rule"),
    [
        ({"name": None}, "name", "is required"),
        ({"cron": "0 0 30 2 *", "interval_s": None, "anchor": None}, "cron", "0 0 28 2 *"),
        ({"timezone": "Mars/Olympus"}, "timezone", "is not a time zone"),
        ({"task": "examples.tasks.ad"}, "task", "examples.tasks.add"),
        ({"args": [1]}, "args", "missing argument 'b'"),
        ({"colour": "red"}, "colour", "unknown field"),
    ],
)
def test_a_bad_field_is_refused_by_name(
    client: APIClient, changes: dict[str, Any], field: str, rule: str
) -> None:
    bad = fields(**changes)
    for answer in (client.post(URL, bad, "json"), client.post(f"{URL}preview/", bad, "json")):
        if field != "name" or "preview" not in answer.request["PATH_INFO"]:
            assert_problem(answer, HTTPStatus.BAD_REQUEST, rule, field=field)
    assert not Schedule.objects.exists()


@pytest.mark.parametrize("body", ["[]", "7", "{", "null", '"x"'])
def test_a_body_that_is_not_an_object_is_refused(client: APIClient, body: str) -> None:
    schedule = created()
    for method, where in (
        ("POST", URL),
        ("POST", f"{URL}preview/"),
        ("PATCH", address(schedule)),
        *(("POST", f"{address(schedule)}{verb}/") for verb in ("run", "pause", "skip", "backfill")),
        ("POST", f"{URL}pause_all/"),
    ):
        answer = client.generic(method, where, body, content_type="application/json")
        assert answer.status_code == HTTPStatus.BAD_REQUEST, (where, answer.content)
        assert answer.json()["detail"]
    assert Schedule.objects.get().version == 0


def test_the_list_is_sorted_by_name_and_has_no_arguments(client: APIClient) -> None:
    for name in ("weekly", "daily", "monthly"):
        created(name=name, args=["s3cret", 1])
    page = client.get(f"{URL}?page_size=2").json()
    assert [each["name"] for each in page["results"]] == ["daily", "monthly"]
    assert not page["results"][0].keys() & {"args", "kwargs"}
    assert "s3cret" not in str(page)
    [last] = client.get(page["next"]).json()["results"]
    assert last["name"] == "weekly"


def test_the_list_can_be_filtered(client: APIClient) -> None:
    plain, paused, ended = created(name="a"), created(name="b"), created(name="c")
    shell = created(name="d", task=None, args=None, command="true", queue="mail")
    service.pause(paused, "", user=None)
    Schedule.objects.filter(pk=ended.pk).update(ended_at=ended.created_at, source="code")
    user = get_user_model().objects.first()
    assert user is not None
    Schedule.objects.filter(pk=shell.pk).update(owner=user)
    assert names(client, name="a") == [plain.name]
    assert names(client, task="shell") == names(client, queue="mail") == ["d"]
    assert names(client, owner=user.get_username()) == ["d"]
    assert names(client, owner="eve") == []
    assert names(client, source="code") == names(client, state="ended") == ["c"]
    assert names(client, state="paused") == ["b"]
    assert names(client, state="active") == ["a", "d"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("colour=red", "colour"),
        ("state=late", "state"),
        ("source=file", "source"),
        ("name=%00", "name"),
        ("cursor=nonsense", "cursor"),
        ("page_size=0", "page_size"),
    ],
)
def test_an_invalid_query_is_refused_by_name(client: APIClient, query: str, field: str) -> None:
    for path in (URL, f"{address(created())}runs/"):
        answer = client.get(f"{path}?{query}")
        if field not in ("name", "source") or path == URL:
            assert_problem(answer, HTTPStatus.BAD_REQUEST, field=field)


def test_the_number_of_queries_does_not_depend_on_the_page_size(
    client: APIClient, django_assert_max_num_queries: pytest.FixtureRequest
) -> None:
    for _ in range(5):
        created()
    # Queries: the token with its user, the permissions of the user and of the groups, the page.
    with django_assert_max_num_queries(4):  # type: ignore[operator]
        assert len(names(client)) == 5


def test_a_change_returns_the_schedule_and_withdraws_what_has_not_started(
    client: APIClient,
) -> None:
    schedule = created()
    run, _ = ahead(schedule)
    changed = client.patch(address(schedule), {"priority": 5}, "json")
    assert changed.status_code == HTTPStatus.OK, changed.content
    assert (changed.json()["priority"], changed.json()["version"]) == (5, 1)
    run.refresh_from_db()
    assert run.state == "withdrawn"
    assert changed["ETag"] == client.get(address(schedule))["ETag"]


def test_a_change_of_an_old_version_is_refused(client: APIClient) -> None:
    schedule = created()
    tag = client.get(address(schedule))["ETag"]
    # The next due time moves on, but no user has changed anything.
    Schedule.objects.update(next_run_at=schedule.created_at)
    assert client.get(address(schedule))["ETag"] != tag
    first = client.patch(address(schedule), {"priority": 5}, "json", headers={"If-Match": tag})
    assert first.status_code == HTTPStatus.OK
    for answer in (
        client.patch(address(schedule), {"priority": 6}, "json", headers={"If-Match": tag}),
        client.delete(address(schedule), headers={"If-Match": tag}),
    ):
        assert_problem(answer, HTTPStatus.PRECONDITION_FAILED, "has version 1 now, not 0")
    for header in ('"0-xyz"', "0", '"0-1","1-2"', '"' + "9" * 20 + '-1"'):
        answer = client.patch(address(schedule), {}, "json", headers={"If-Match": header})
        assert_problem(answer, HTTPStatus.BAD_REQUEST, "the ETag of a GET", field="If-Match")
    current = first["ETag"]
    for header in ("*", f"W/{current}", current):
        answer = client.patch(address(schedule), {}, "json", headers={"If-Match": header})
        assert answer.status_code == HTTPStatus.OK
    assert client.delete(address(schedule), headers={"If-Match": current}).status_code == 204


def test_an_unchanged_schedule_is_not_sent_twice(client: APIClient) -> None:
    where = address(created())
    for path in (URL, where, f"{where}runs/", f"{URL}pause_all/"):
        tag = client.get(path)["ETag"]
        again = client.get(path, headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (HTTPStatus.NOT_MODIFIED, b"")


def test_a_schedule_of_code_is_neither_changed_nor_deleted(client: APIClient) -> None:
    schedule = created()
    Schedule.objects.update(source="code", declared_in="shop/tasks.py:12")
    for answer in (
        client.patch(address(schedule), {"priority": 5}, "json"),
        client.delete(address(schedule)),
    ):
        assert_problem(answer, HTTPStatus.CONFLICT, "is declared in code (shop/tasks.py:12)")
    assert Schedule.objects.get().priority is None


def test_an_unknown_schedule_is_not_found(client: APIClient) -> None:
    created()
    for number in (10**9, 2**63, 10**19 - 1):
        answers = [
            client.get(f"{URL}{number}/"),
            client.get(f"{URL}{number}/runs/"),
            client.get(f"{URL}{number}/preview/"),
            client.patch(f"{URL}{number}/", {}, "json"),
            client.delete(f"{URL}{number}/"),
            *(
                client.post(f"{URL}{number}/{verb}/", {}, "json")
                for verb in ("run", "pause", "resume", "skip", "backfill")
            ),
        ]
        for answer in answers:
            assert_problem(answer, HTTPStatus.NOT_FOUND, f"There is no schedule {number}.")


def test_a_preview_shows_due_times_and_changes_of_the_clocks(client: APIClient) -> None:
    given = {"cron": "30 2 * * *", "timezone": "Europe/Berlin"}
    shown = client.post(f"{URL}preview/", given, "json").json()
    assert shown["words"] == "every day at 02:30"
    assert len(shown["rows"]) == 20
    assert {row["at"][11:19] for row in shown["rows"] if row["at"]} <= {"02:30:00", "03:00:00"}
    assert {row["at"][19:] for row in shown["rows"] if row["at"]} <= {"+01:00", "+02:00"}
    rows = [*shown["rows"], *shown["later_changes"]]
    assert {"clocks go forward", "clocks go back"} <= {row["mark"] for row in rows}
    assert any("does not exist on this day" in row["sentence"] for row in rows)
    assert not Schedule.objects.exists()

    schedule = created(**{**given, "interval_s": None, "anchor": None})
    assert client.get(f"{address(schedule)}preview/").json()["rows"] == shown["rows"]
    few = created(max_runs=2)
    stored = client.get(f"{address(few)}preview/").json()
    assert (len(stored["rows"]), stored["is_complete"]) == (2, True)


def test_a_shell_schedule_needs_a_permission_of_its_own() -> None:
    client = client_with(*(each for each in ALL if each != SUBMIT_SHELL))
    schedule = created(task=None, args=None, command="true")
    answers = [
        client.post(URL, {"name": "x", "cron": "* * * * *", "command": "true"}, "json"),
        client.patch(address(schedule), {"priority": 1}, "json"),
        *(
            client.post(f"{address(schedule)}{verb}/", body, "json")
            for verb, body in (
                ("run", {}),
                ("resume", {}),
                ("backfill", {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:00:00Z"}),
            )
        ),
    ]
    for answer in answers:
        assert_problem(answer, HTTPStatus.FORBIDDEN, SUBMIT_SHELL)
    assert client.get(address(schedule)).json()["kwargs"] == {"command": "true"}
