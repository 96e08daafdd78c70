"""Test how the declared schedules get into the database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from taskmaster import Cron, Dates, Every
from taskmaster.tasks.errors import Conflict
from taskmaster.tasks.models import Schedule, ScheduleRun, Task
from taskmaster.tasks.models.schedule import RunState, ScheduleSource
from taskmaster.tasks.schedules import declarations, service, sync
from taskmaster.tasks.schedules.changes import NO_LONGER_DECLARED
from taskmaster.tasks.schedules.declarations import DeclaredSchedule
from taskmaster.tasks.schedules.sync import Difference
from taskmaster.tasks.timing.declared import ScheduleDeclaration
from tests.factories import in_s, stored
from tests.tasks.schedules.sample import left_behind

pytestmark = pytest.mark.django_db

ADD = "examples.tasks.add"


class Code:
    """The declarations, as the code of the moment has them."""

    def __init__(self) -> None:
        self.declared: dict[str, DeclaredSchedule] = {}

    def load(self) -> list[DeclaredSchedule]:
        return list(self.declared.values())

    def declare(self, name: str, schedule: ScheduleDeclaration, task: str = ADD) -> None:
        fields = {**schedule.call_fields(task), **schedule.schedule_fields()}
        self.declared[name] = DeclaredSchedule(name, fields, schedule.declared_in)


@pytest.fixture
def code(monkeypatch: pytest.MonkeyPatch) -> Code:
    code = Code()
    monkeypatch.setattr(declarations, "load", code.load)
    return code


def differences(**options: bool) -> dict[str, str]:
    report = sync.sync(**{"end": False, **options})
    return {each.name: each.difference for each in report.schedules}


def rows() -> list[Any]:
    return list(Schedule.objects.order_by("pk").values())


def nightly(**options: Any) -> Cron:
    return Cron("0 3 * * *", timezone="Europe/Berlin", args=[1, 2], **options)


def test_a_new_declaration_is_stored_with_its_next_run(code: Code) -> None:
    code.declare("nightly", nightly(overlap="skip", queue_name="reports", tags=["a"]))
    assert differences() == {"nightly": Difference.ADDED}
    schedule = Schedule.objects.get()
    assert (schedule.source, schedule.owner_id) == (ScheduleSource.CODE, None)
    assert (schedule.task, schedule.args, schedule.queue) == (ADD, [1, 2], "reports")
    assert (schedule.tags, schedule.priority, schedule.overlap) == (["a"], None, "skip")
    assert schedule.declared_in.startswith("tests/tasks/schedules/test_sync.py:")
    assert schedule.next_due_at is not None
    assert schedule.next_due_at > in_s(0)


def test_an_unchanged_declaration_changes_nothing_and_keeps_its_pause(code: Code) -> None:
    code.declare("nightly", nightly())
    code.declare("every", Every(90, args=[1, 2]))
    sync.sync(end=False)
    service.pause(Schedule.objects.get(name="nightly"), "audit", user=None)
    before = rows()
    assert set(differences().values()) == {Difference.UNCHANGED}
    assert rows() == before


def test_another_line_of_the_file_is_not_a_change(code: Code) -> None:
    code.declare("nightly", nightly())
    sync.sync(end=False)
    before = rows()[0]
    code.declared["nightly"] = replace(code.declared["nightly"], declared_in="shop/tasks.py:9")
    assert differences() == {"nightly": Difference.UNCHANGED}
    assert rows()[0] == {**before, "declared_in": "shop/tasks.py:9"}


def test_a_changed_declaration_computes_its_next_run_from_now_and_keeps_its_pause(
    code: Code,
) -> None:
    code.declare("nightly", nightly(priority=3))
    sync.sync(end=False)
    service.pause(Schedule.objects.get(), "audit", user=None)
    before = Schedule.objects.get()
    code.declare("nightly", Every(3600, args=[1, 2]))
    report = sync.sync(end=False)
    [changed] = report.of(Difference.CHANGED)
    assert {"trigger", "cron", "interval_s", "priority"} <= set(changed.detail.split(", "))
    after = Schedule.objects.get()
    assert (after.cron, after.interval_s, after.priority) == ("", 3600, None)
    assert after.version == before.version + 1
    assert (after.paused_at, after.pause_reason) == (before.paused_at, "audit")
    assert after.next_due_at is not None
    assert in_s(0) < after.next_due_at <= in_s(3600)


def test_a_change_withdraws_the_run_that_has_not_started(code: Code) -> None:
    code.declare("nightly", nightly())
    sync.sync(end=False)
    schedule = Schedule.objects.get()
    [task_id] = stored(scheduled_at=in_s(20))
    due_at = in_s(20)
    Task.objects.filter(pk=task_id).update(schedule=schedule, scheduled_for=due_at)
    run = ScheduleRun.objects.create(
        schedule=schedule, due_at=due_at, run_at=due_at, state=RunState.CREATED, task_id=task_id
    )
    code.declare("nightly", nightly(jitter=5))
    sync.sync(end=False)
    run.refresh_from_db()
    assert (run.state, run.reason) == (
        RunState.WITHDRAWN,
        "The declaration in code was changed.",
    )
    assert Task.objects.get(pk=task_id).status == "cancelled"


def test_the_start_of_a_coordinator_ends_nothing_and_the_command_does(code: Code) -> None:
    code.declare("nightly", nightly())
    code.declare("hourly", Every(3600, args=[1, 2]))
    sync.sync(end=False)
    del code.declared["hourly"]
    before = rows()
    assert differences() == {"nightly": Difference.UNCHANGED}
    assert differences(end=True, dry_run=True)["hourly"] == Difference.ENDED
    assert rows() == before
    assert differences(end=True)["hourly"] == Difference.ENDED
    ended = Schedule.objects.get(name="hourly")
    assert (ended.ended_reason, ended.next_due_at, ended.next_run_at) == (
        NO_LONGER_DECLARED,
        None,
        None,
    )
    assert ended.ended_at is not None
    assert ended.version == 1
    assert "hourly" not in differences(end=True)


def test_what_ended_by_itself_can_be_deleted_after_code_dropped_it(code: Code) -> None:
    code.declare("launch", Dates([in_s(-3600)], args=[1, 2]))
    sync.sync(end=True)
    ended_at = Schedule.objects.get().ended_at
    with pytest.raises(Conflict, match="is declared in code"):
        service.delete(Schedule.objects.get(), user=None)
    code.declared.clear()
    assert differences(end=True) == {"launch": Difference.ENDED}
    assert differences(end=True) == {}
    ended = Schedule.objects.get()
    assert (ended.ended_at, ended.ended_reason) == (ended_at, NO_LONGER_DECLARED)
    service.delete(ended, user=None)


def test_due_times_that_no_leader_searched_before_the_end_are_recorded(code: Code) -> None:
    code.declare("hourly", Every(3600, args=[1, 2]))
    sync.sync(end=False)
    due_times = left_behind(Schedule.objects.get(), 3)
    code.declared.clear()
    sync.sync(end=True)
    run = ScheduleRun.objects.get()
    assert (run.state, run.due_at, run.count) == ("missed", due_times[0], 3)
    assert run.reason == NO_LONGER_DECLARED


def test_only_a_declaration_continues_what_code_has_ended(code: Code) -> None:
    code.declare("nightly", nightly())
    sync.sync(end=False)
    declared = code.declared.pop("nightly")
    sync.sync(end=True)
    service.resume(service.pause(Schedule.objects.get(), "audit", user=None), user=None)
    assert Schedule.objects.get().ended_reason == NO_LONGER_DECLARED
    code.declared["nightly"] = declared
    assert differences() == {"nightly": Difference.CHANGED}
    continued = Schedule.objects.get()
    assert (continued.ended_at, continued.ended_reason) == (None, "")
    assert continued.next_due_at is not None


def test_a_name_of_the_console_is_refused_and_the_others_go_on(code: Code) -> None:
    kept = service.create({"name": "nightly", "command": "true", "interval_s": 60}, user=None)
    code.declare("nightly", nightly())
    code.declare("other", nightly())
    code.declare("unknown", nightly(), "no.such.task")
    report = sync.sync(end=True)
    refused = {each.name: each.detail for each in report.of(Difference.REFUSED)}
    assert refused["nightly"].startswith("name: 'nightly' belongs to a schedule of the console.")
    assert refused["unknown"].startswith("task: 'no.such.task' is not a registered task")
    assert [each.name for each in report.of(Difference.ADDED)] == ["other"]
    kept.refresh_from_db()
    assert (kept.source, kept.task, kept.ended_at) == ("console", "shell", None)


def test_a_dry_run_shows_the_difference_and_changes_nothing(code: Code) -> None:
    code.declare("nightly", nightly())
    assert differences(dry_run=True) == {"nightly": Difference.ADDED}
    assert rows() == []
    sync.sync(end=False)
    before = rows()
    code.declare("nightly", nightly(priority=5))
    assert differences(dry_run=True) == {"nightly": Difference.CHANGED}
    assert rows() == before


def test_dates_that_have_passed_are_stored_as_ended(code: Code) -> None:
    code.declare("launch", Dates([in_s(-3600), in_s(-7200)], args=[1, 2]))
    assert differences() == {"launch": Difference.ADDED}
    assert Schedule.objects.get().ended_at is not None
    assert differences(end=True) == {"launch": Difference.UNCHANGED}


def test_arguments_that_compare_equal_in_python_are_different(code: Code) -> None:
    code.declare("nightly", nightly())
    sync.sync(end=False)
    code.declare("nightly", Cron("0 3 * * *", timezone="Europe/Berlin", args=[True, 2]))
    assert differences() == {"nightly": Difference.CHANGED}
    assert Schedule.objects.get().args == [True, 2]


@pytest.mark.django_db(transaction=True)
def test_concurrent_coordinators_store_each_declaration_once(code: Code) -> None:
    for number in range(20):
        code.declare(f"s{number}", Every(timedelta(hours=1), args=[1, 2]))

    def start(_: int) -> list[str]:
        try:
            return [each.difference for each in sync.sync(end=False).schedules]
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(start, range(3)))
        assert Schedule.objects.count() == 20
        for number in range(20):
            code.declare(f"s{number}", Every(timedelta(hours=2), args=[1, 2]))
        found += threads.map(start, range(3))
    assert all(Difference.REFUSED not in each for each in found)
    assert set(Schedule.objects.values_list("version", "interval_s")) == {(1, 7200.0)}
