"""Test that the fields of a schedule are checked, each error names its field, and edits merge."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from taskmaster.tasks.errors import InvalidField
from taskmaster.tasks.models import Schedule, ScheduleRun
from taskmaster.tasks.schedules import service
from tests.tasks.schedules.sample import ADD, created, fields

pytestmark = pytest.mark.django_db

CRON = {"interval_s": None, "anchor": None, "cron": "0 3 * * *"}


@pytest.mark.parametrize(
    ("changes", "field", "rule"),
    [
        ({"name": None}, "name", "is required; give the schedule a name of its own."),
        ({"name": ""}, "name", "must not be empty."),
        ({"name": "x" * 101}, "name", "has 101 characters; the limit is 100."),
        ({"name": "a\nb"}, "name", "control characters"),
        ({"name": " nightly"}, "name", "spaces at its ends"),
        ({"name": 7}, "name", "must be a string, not a number."),
        ({"name": "\ud800"}, "name", "unpaired surrogate"),
        ({"task": None}, "task", "is required; give the name of a registered task, or shell."),
        ({"task": "examples.tasks.ad"}, "task", "examples.tasks.add"),
        ({"task": "x" * 201}, "task", "has 201 characters; the limit is 200."),
        ({"args": [1]}, "args", "missing argument 'b'; the signature is add(a, b)."),
        ({"args": {}}, "args", "must be a list, not an object."),
        ({"kwargs": []}, "kwargs", "must be an object, not a list."),
        ({"kwargs": {"c": 1}}, "kwargs", "add(a, b)"),
        ({"command": "true"}, "command", "cannot be combined with task"),
        ({"cwd": "/"}, "cwd", "requires command"),
        ({"task": None, "args": None, "command": ""}, "command", "non-empty string"),
        ({"task": None, "args": [1], "command": "true"}, "args", "cannot be combined with command"),
        ({"priority": 101}, "priority", "is 101; it must be from -100 to 100."),
        ({"queue": "no spaces"}, "queue", "is 'no spaces'"),
        ({"retry_base_s": 9, "retry_cap_s": 1}, "retry_base_s", "is 9; it must not exceed"),
        ({"tags": "nightly"}, "tags", "must be a list of strings"),
        ({"scheduled_at": "2099-01-01T00:00:00Z"}, "scheduled_at", "unknown field; valid fields"),
        ({"colour": "red"}, "colour", "unknown field; valid fields are name, task, command"),
        ({"paused_at": None, "next_due_at": 1}, "next_due_at", "unknown field"),
        ({"interval_s": None, "anchor": None}, "cron", "is required"),
        ({"cron": "0 3 * * *", "anchor": None}, "interval_s", "cannot be combined with cron"),
        ({**CRON, "cron": ""}, "cron", ""),
        ({**CRON, "cron": "0 0 30 2 *"}, "cron", ""),
        ({**CRON, "cron": "* * * * * *"}, "cron", ""),
        ({**CRON, "cron": "*" * 10_000}, "cron", ""),
        ({"timezone": "Europe/Berlln"}, "timezone", "Europe/Berlin"),
        ({"interval_s": 0.5}, "interval_s", "is 0.5; it must be from 1"),
        (
            {"starts_at": "2099-01-02T00:00:00Z", "ends_at": "2099-01-01T00:00:00Z"},
            "ends_at",
            "must not be before starts_at",
        ),
        ({"max_runs": 0}, "max_runs", "is 0; it must be from 1"),
        ({"missed_max": 0, "missed": "all"}, "missed_max", "is 0; it must be from 1"),
        ({"missed": "sometimes"}, "missed", "must be one of skip, latest, all"),
        ({"overlap": True}, "overlap", "must be one of"),
        ({"jitter_s": -1}, "jitter_s", "it must be from 0"),
    ],
)
def test_a_bad_field_is_named_with_its_rule_and_nothing_is_stored(
    changes: dict[str, Any], field: str, rule: str
) -> None:
    with pytest.raises(InvalidField) as caught:
        service.create(fields(**changes), user=None)
    assert caught.value.field == field
    assert rule in caught.value.rule
    assert not Schedule.objects.exists()
    stored = created()
    before = Schedule.objects.values().get()
    reset = {name: None for name in fields() if name not in fields(**changes)}
    with pytest.raises(InvalidField) as caught:
        service.update(stored, {**reset, **fields(**changes)}, user=None)
    assert (caught.value.field, rule in caught.value.rule) == (field, True)
    assert Schedule.objects.values().get() == before
    assert not ScheduleRun.objects.exists()


def test_options_that_are_not_given_stay_open_until_the_run() -> None:
    schedule = created(queue="mail", tags=[], timeout_s=0)
    assert (schedule.queue, schedule.tags, schedule.timeout_s) == ("mail", [], 0)
    assert schedule.priority is schedule.max_attempts is schedule.on_lost_contact is None


def test_arguments_keep_type_value_and_order() -> None:
    args = [{"b": 1.0, "a": [True, None, 1e16, -0.0]}, "漢"]
    schedule = created(args=args)
    assert repr(Schedule.objects.get(pk=schedule.pk).args) == repr(args)


def test_a_command_is_the_short_form_of_a_shell_schedule() -> None:
    schedule = created(task=None, args=None, command="seq 3", cwd="/tmp")
    assert (schedule.task, schedule.args) == ("shell", [])
    assert schedule.kwargs == {"command": "seq 3", "cwd": "/tmp"}
    changed = service.update(schedule, {"command": ["true"]}, user=None)
    assert changed.kwargs == {"command": ["true"]}
    back = service.update(schedule, {"task": ADD, "args": [1, 2], "kwargs": {}}, user=None)
    assert (back.task, back.args, back.kwargs) == (ADD, [1, 2], {})


def test_another_trigger_replaces_the_trigger() -> None:
    schedule = created(jitter_s=5)
    changed = service.update(schedule, {"cron": "30 2 * * *"}, user=None)
    assert (changed.trigger, changed.cron, changed.jitter_s) == ("cron", "30 2 * * *", 5)
    assert changed.interval_s is changed.anchor is None
    date = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    changed = service.update(schedule, {"dates": [date.isoformat()]}, user=None)
    assert (changed.trigger, changed.cron, changed.dates) == ("dates", "", [date])
    assert changed.next_due_at == date
    with pytest.raises(InvalidField, match="cannot be combined with"):
        service.update(schedule, {"cron": "* * * * *", "interval_s": 60}, user=None)
    with pytest.raises(InvalidField, match="cron: is required"):
        service.update(schedule, {"dates": None}, user=None)


def test_null_resets_a_field_and_others_stay() -> None:
    schedule = created(queue="mail", overlap="skip", max_runs=3)
    changed = service.update(schedule, {"queue": None, "overlap": None}, user=None)
    assert (changed.queue, changed.overlap, changed.max_runs) == (None, "allow", 3)


def test_a_schedule_whose_task_is_gone_can_be_renamed_and_retimed() -> None:
    schedule = created()
    Schedule.objects.update(task="shop.tasks.gone")
    changed = service.update(schedule, {"name": "old", "interval_s": 60}, user=None)
    assert (changed.name, changed.interval_s) == ("old", 60)
    with pytest.raises(InvalidField, match=r"task: 'shop\.tasks\.gone' is not a registered task"):
        service.update(schedule, {"args": [3, 4]}, user=None)
