"""Test the actions below /api/schedules/ and the list of runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import pytest
from rest_framework.test import APIClient

from taskmaster.tasks.bulk import backfill
from taskmaster.tasks.models import Operation, Schedule, ScheduleRun, Task
from taskmaster.tasks.permissions import RUN_SCHEDULE, VIEW, VIEW_SCHEDULE
from taskmaster.tasks.schedules import service
from tests.tasks.api.people import assert_problem, client_with
from tests.tasks.bulk.sample import an_operation, run_all
from tests.tasks.schedules.sample import ALL, ahead, created

pytestmark = pytest.mark.django_db

URL = "/api/schedules/"
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
RANGE = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T05:30:00Z"}


@pytest.fixture
def client() -> APIClient:
    return client_with(VIEW_SCHEDULE, RUN_SCHEDULE, VIEW)


@pytest.fixture
def schedule(db: None) -> Schedule:
    return created(interval_s=None, anchor=None, cron="0 * * * *")


def post(client: APIClient, schedule: Schedule, verb: str, **body: Any) -> Any:
    return client.post(f"{URL}{schedule.pk}/{verb}/", body, "json")


def test_a_schedule_is_run_now_and_for_a_missed_due_time(
    client: APIClient, schedule: Schedule
) -> None:
    run = post(client, schedule, "run")
    assert run.status_code == HTTPStatus.CREATED, run.content
    shown = run.json()
    assert (shown["kind"], shown["state"], shown["status"]) == ("manual", "created", "pending")
    assert shown["task_id"] == Task.objects.get().pk
    missed = post(client, schedule, "run", due_at="2026-01-01T03:00:00+01:00").json()
    assert missed["due_at"] == "2026-01-01T02:00:00Z"
    for body, rule in (
        ({"due_at": "2026-01-01T03:01:00Z"}, "is not a due time of the schedule"),
        ({"due_at": "soon"}, "is not a time such as"),
        ({"at": 1}, "unknown field; valid fields are due_at."),
    ):
        [field] = body
        answer = post(client, schedule, "run", **body)
        assert_problem(answer, HTTPStatus.BAD_REQUEST, rule, field=field)
    assert Task.objects.count() == 2


def test_a_repeated_key_runs_a_schedule_only_once(client: APIClient, schedule: Schedule) -> None:
    for verb, body, status in (("run", {}, 201), ("backfill", RANGE, 202)):
        address = f"{URL}{schedule.pk}/{verb}/"
        answers = [
            client.post(address, body, "json", headers={"Idempotency-Key": verb}) for _ in "ab"
        ]
        assert [each.status_code for each in answers] == [status, status]
        assert answers[0].json() == answers[1].json()
        assert answers[0].headers.get("Location") == answers[1].headers.get("Location")
    assert (Task.objects.count(), Operation.objects.count()) == (1, 1)


def test_a_schedule_that_cannot_run_is_a_conflict(client: APIClient, schedule: Schedule) -> None:
    Schedule.objects.update(task="shop.tasks.gone")
    for verb, body in (("run", {}), ("backfill", RANGE)):
        answer = post(client, schedule, verb, **body)
        assert_problem(answer, HTTPStatus.CONFLICT, "cannot run. task: 'shop.tasks.gone' is not")


def test_a_schedule_is_paused_and_resumed(client: APIClient, schedule: Schedule) -> None:
    paused = post(client, schedule, "pause", reason="data migration")
    assert paused.status_code == HTTPStatus.OK, paused.content
    shown = paused.json()
    assert (shown["state"], shown["pause_reason"]) == ("paused", "data migration")
    assert post(client, schedule, "pause").json()["pause_reason"] == "data migration"
    resumed = post(client, schedule, "resume").json()
    assert (resumed["state"], resumed["paused_at"], resumed["version"]) == ("active", None, 2)
    for body, rule in (
        ({"reason": 7}, "must be a string"),
        ({"reason": "x" * 301}, "the limit is 300"),
        ({"reason": None}, "must be a string, not null"),
        ({"why": "x"}, "unknown field; valid fields are reason."),
    ):
        [field] = body
        for verb in ("pause", "skip"):
            answer = post(client, schedule, verb, **body)
            assert_problem(answer, HTTPStatus.BAD_REQUEST, rule, field=field)
        answer = client.post(f"{URL}pause_all/", body, "json")
        assert_problem(answer, HTTPStatus.BAD_REQUEST, rule, field=field)


def test_the_next_run_is_skipped(client: APIClient, schedule: Schedule) -> None:
    skipped = post(client, schedule, "skip", reason="holiday")
    assert skipped.status_code == HTTPStatus.OK, skipped.content
    assert skipped.json()["state"] == "skipped"
    assert skipped.json()["reason"].endswith(": holiday")
    post(client, schedule, "pause")
    assert_problem(post(client, schedule, "skip"), HTTPStatus.CONFLICT, "is paused")


def test_a_back_fill_is_previewed_and_its_operation_followed(schedule: Schedule) -> None:
    client = client_with(VIEW_SCHEDULE, RUN_SCHEDULE)
    first, last = "2026-01-01T00:00:00Z", "2026-01-01T05:00:00Z"
    preview = post(client, schedule, "backfill", **RANGE, dry_run=True)
    assert (preview.status_code, preview.json()) == (
        HTTPStatus.OK, {"count": 6, "first": first, "last": last}
    )  # fmt: skip
    assert not Operation.objects.exists()
    answer = post(client, schedule, "backfill", **RANGE)
    assert answer.status_code == HTTPStatus.ACCEPTED, answer.content
    operation = Operation.objects.get()
    where = answer.headers["Location"]
    assert where == f"http://testserver/api/operations/{operation.pk}/"
    shown = answer.json()
    assert (shown["id"], shown["action"], shown["state"]) == (operation.pk, "backfill", "queued")
    assert (shown["schedule_id"], shown["schedule_name"]) == (schedule.pk, schedule.name)
    assert (shown["total"], shown["first_due_at"], shown["last_due_at"]) == (6, first, last)
    assert client.get(where).json() == shown
    run_all(operation)
    shown = client.get(where).json()
    assert (shown["state"], shown["done"], shown["created_until"]) == ("complete", 6, last)
    assert Task.objects.filter(schedule=schedule).count() == 6
    assert_problem(client.post(f"{where}cancel/"), HTTPStatus.CONFLICT, "is complete")


def test_a_bad_back_fill_is_refused(client: APIClient, schedule: Schedule) -> None:
    for body, field, rule in (
        ({"start": RANGE["start"]}, "end", "is required"),
        ({**RANGE, "end": "2099-01-01T00:00:00Z"}, "end", "is in the future"),
        ({**RANGE, "start": "2010-01-01T00:00:00Z"}, "end", "more than 100,000 due times"),
        ({**RANGE, "dry_run": 1}, "dry_run", "must be true or false"),
        ({**RANGE, "limit": 1}, "limit", "unknown field"),
    ):
        answer = post(client, schedule, "backfill", **body)
        assert_problem(answer, HTTPStatus.BAD_REQUEST, rule, field=field)


def test_a_back_fill_is_shown_to_users_who_may_view_schedules(schedule: Schedule) -> None:
    mine = backfill.start(schedule, RANGE["start"], RANGE["end"], user=None)
    other = an_operation("cancel", filter={})
    address = "/api/operations/"
    tasks, schedules, both = (
        client_with(VIEW), client_with(VIEW_SCHEDULE), client_with(VIEW, VIEW_SCHEDULE)
    )  # fmt: skip
    listed = [each["id"] for each in both.get(address).json()["results"]]
    assert listed == [other.pk, mine.pk]
    assert [each["id"] for each in tasks.get(address).json()["results"]] == [other.pk]
    assert_problem(schedules.get(address), HTTPStatus.FORBIDDEN, VIEW)
    for client, number, missing in (
        (tasks, mine.pk, VIEW_SCHEDULE),
        (schedules, other.pk, VIEW),
        (schedules, 10**9, VIEW),
    ):
        for answer in (
            client.get(f"{address}{number}/"),
            client.post(f"{address}{number}/cancel/"),
        ):
            assert_problem(answer, HTTPStatus.FORBIDDEN, missing)
            assert schedule.name not in answer.content.decode()
    answer = schedules.post(f"{address}{mine.pk}/cancel/")
    assert_problem(answer, HTTPStatus.FORBIDDEN, RUN_SCHEDULE)
    assert set(Operation.objects.values_list("state", flat=True)) == {"queued"}
    canceller = client_with(VIEW_SCHEDULE, RUN_SCHEDULE)
    assert canceller.post(f"{address}{mine.pk}/cancel/").json()["state"] == "cancelled"


def test_runs_are_listed_with_the_latest_due_time_first(
    client: APIClient, schedule: Schedule
) -> None:
    run_all(backfill.start(schedule, RANGE["start"], RANGE["end"], user=None))
    missed = ScheduleRun.objects.create(
        schedule=schedule,
        due_at=FIRST + timedelta(hours=2),
        last_due_at=FIRST + timedelta(hours=4),
        count=3,
        run_at=FIRST,
        state="missed",
        reason="No coordinator led.",
    )
    ahead(created())
    address = f"{URL}{schedule.pk}/runs/"
    seen: list[dict[str, Any]] = []
    following = f"{address}?page_size=2"
    while following:
        page = client.get(following).json()
        seen += page["results"]
        following = page["next"]
    assert len(seen) == 7
    assert [each["due_at"] for each in seen] == sorted(
        (each["due_at"] for each in seen), reverse=True
    )
    [shown] = client.get(f"{address}?state=missed").json()["results"]
    assert (shown["id"], shown["count"], shown["task_id"], shown["status"]) == (
        missed.pk, 3, None, None
    )  # fmt: skip
    assert shown["reason"] == "No coordinator led."
    assert len(client.get(f"{address}?kind=backfill").json()["results"]) == 6
    assert client.get(f"{address}?kind=manual").json()["results"] == []


def test_the_status_of_a_run_needs_the_permission_to_view_tasks(schedule: Schedule) -> None:
    service.run_now(schedule, user=None)
    for client, status in (
        (client_with(VIEW_SCHEDULE, RUN_SCHEDULE), None),
        (client_with(VIEW_SCHEDULE, RUN_SCHEDULE, VIEW), "pending"),
    ):
        [shown] = client.get(f"{URL}{schedule.pk}/runs/").json()["results"]
        assert shown["status"] == status
        assert post(client, schedule, "run").json()["status"] == status
        ScheduleRun.objects.exclude(pk=shown["id"]).delete()


def test_all_schedules_are_paused_and_resumed(client: APIClient, schedule: Schedule) -> None:
    address = f"{URL}pause_all/"
    assert client.get(address).json()["paused_at"] is None
    paused = client.post(address, {"reason": "power cut"}, "json")
    assert paused.status_code == HTTPStatus.OK, paused.content
    assert client.get(address).json() == paused.json()
    assert paused.json()["pause_reason"] == "power cut"
    resumed = client.post(f"{URL}resume_all/")
    assert resumed.json()["paused_at"] is None
    schedule.refresh_from_db()
    assert schedule.paused_at is None


def test_no_action_shows_anything_without_the_permission_to_view() -> None:
    secret = "pa55word"
    schedule = created(name=secret, task=None, args=None, command=secret)
    client = client_with(*(each for each in ALL if each != VIEW_SCHEDULE))
    before = Schedule.objects.values().get()
    answers = [
        client.get(URL),
        client.post(URL, {"name": secret}, "json"),
        client.post(f"{URL}preview/", {"task": "examples.tasks.ad"}, "json"),
        client.get(f"{URL}pause_all/"),
        client.post(f"{URL}pause_all/", {"reason": ""}, "json"),
        client.post(f"{URL}resume_all/"),
    ]
    for number in (schedule.pk, 10**9):
        address = f"{URL}{number}/"
        answers += [
            client.get(address),
            client.get(f"{address}runs/"),
            client.get(f"{address}preview/"),
            client.patch(address, {"colour": 1}, "json"),
            client.delete(address),
            *(
                client.post(f"{address}{verb}/", body, "json")
                for verb in ("run", "pause", "resume", "skip", "backfill")
                for body in ({}, RANGE, {**RANGE, "dry_run": True})
            ),
        ]
    for answer in answers:
        assert_problem(answer, HTTPStatus.FORBIDDEN, VIEW_SCHEDULE)
        assert secret not in answer.content.decode()
        assert "examples" not in answer.content.decode()
    assert Schedule.objects.values().get() == before
